"""Threads, signals, memory and processes."""

import _thread
import gc
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from conftest import close, run_python

import wgpu_rnn
from wgpu_rnn import _native


def test_eight_threads_share_a_network(device, rng):
    module = torch.nn.LSTM(4, 6, 2)
    net = wgpu_rnn.LSTM.from_torch(module, device=device)
    inputs = [rng.normal(size=(1 + n % 5, 1 + n % 3, 4)).astype("f4") for n in range(16)]
    with torch.no_grad():
        want = [module(torch.from_numpy(x)) for x in inputs]
    start = threading.Barrier(8)

    def work(thread):
        start.wait()
        for turn in range(len(inputs)):
            at = (thread + turn) % len(inputs)
            close(net(inputs[at]), want[at])

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))


def test_eight_threads_share_a_stream_and_a_pool(cpu):
    module = torch.nn.GRU(4, 6)
    net = wgpu_rnn.GRU.from_torch(module, device=cpu)
    stream, pool = net.stream(), net.pool(8)
    x = np.ones((1, 1, 4), np.float32)

    def work(_):
        slot = pool.open()
        for _ in range(20):
            stream(x)
            assert pool.tick([(slot, x[0, 0])])[0].shape == (6,)
        return pool.state(slot)

    with ThreadPoolExecutor(8) as threads:
        states = list(threads.map(work, range(8)))
    close(stream.state(), module(torch.ones(160, 1, 4))[1])
    for state in states:
        np.testing.assert_array_equal(state, states[0])


def test_other_threads_run_during_a_call(slow):
    """Python's lock is free: another thread counts while this one computes."""
    net, x = slow
    seen = []
    running = threading.Event()

    def count():
        while not running.is_set():
            seen.append(len(seen))
            running.wait(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    before = len(seen)
    net(x)
    after = len(seen)
    running.set()
    thread.join()
    assert after - before > 10, "the other thread stood still"


STEPS = 3000


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads Linux's /proc")
def test_ten_thousand_calls_do_not_grow(cpu):
    module = torch.nn.LSTM(8, 16)
    net = wgpu_rnn.LSTM.from_torch(module, device=cpu)
    cell = wgpu_rnn.LSTMCell.from_torch(torch.nn.LSTMCell(8, 16), device=cpu)
    x, tensor = np.ones((3, 8, 8), np.float32), torch.ones(3, 8, 8)
    stream, pool = net.stream(8), net.pool(8)
    slot = pool.open()
    packed = torch.nn.utils.rnn.pack_sequence([torch.ones(3, 8), torch.ones(2, 8)])

    def calls(count):
        for _ in range(count // 5):
            _, state = net(x)
            net(tensor, state, lengths=[3, 2, 1, 0, 3, 3, 3, 3])
            stream(x)
            pool.tick([(slot, x[0, 0])])
            cell(x[0])
        for _ in range(count // 100):
            net(packed)
            with pytest.raises(wgpu_rnn.ShapeError):
                net(x[:, :, :5])
        gc.collect()

    calls(2000)
    grown = []
    for _ in range(3):
        before = resident()
        calls(10_000)
        grown.append(resident() - before)
    # A leak of one output of each call, [3, 8, 16], would be 15 MB each time. The drivers of other
    # tests may take memory at any time.
    assert min(grown) < 4 << 20, f"10,000 calls took {grown} bytes"


@pytest.fixture(scope="module")
def slow():
    """A network and an input whose call takes about a second, on one core."""
    one = wgpu_rnn.Device("cpu", threads=1)
    module = torch.nn.LSTM(256, 512)
    net = wgpu_rnn.LSTM.from_torch(module, device=one)
    return net, np.ones((STEPS, 8, 256), np.float32)


@pytest.fixture
def interrupt():
    """Sends Ctrl-C a moment after the start of a call."""
    timers = []

    def after(seconds):
        timers.append(threading.Timer(seconds, lambda: os.kill(os.getpid(), signal.SIGINT)))
        timers[-1].start()

    yield after
    for timer in timers:
        timer.join()


@pytest.mark.skipif(os.name == "nt", reason="os.kill ends a process of Windows")
def test_ctrl_c_ends_a_call_and_the_network_lives_on(slow, interrupt):
    net, x = slow
    small = np.ones((2, 1, 256), np.float32)
    want = net(small)
    for _ in range(2):
        interrupt(0.1)
        with pytest.raises(KeyboardInterrupt):
            net(x)
        assert _native._abandoned_calls() == 1, "the call returned while its work ran on"
        close(net(small), want)
        _native._wait_for_abandoned(60.0)
        assert _native._abandoned_calls() == 0
    close(net(small), want)


@pytest.mark.skipif(os.name == "nt", reason="os.kill ends a process of Windows")
def test_ctrl_c_loses_the_state_of_a_stream(slow, interrupt):
    net, x = slow
    stream = net.stream(8)
    interrupt(0.1)
    with pytest.raises(KeyboardInterrupt):
        stream(x)
    for call in (lambda: stream(x[:2]), stream.state):
        with pytest.raises(wgpu_rnn.StateLostError, match="a call that was interrupted"):
            call()
    assert _native._abandoned_calls() == 1, "the refusals waited for the call"
    stream.reset()
    close(stream(x[:2]), net(x[:2])[0])


@pytest.mark.skipif(os.name == "nt", reason="os.kill ends a process of Windows")
def test_ctrl_c_loses_the_states_of_a_tick(slow, interrupt):
    net, x = slow
    pool = net.pool(9, steps=STEPS)
    slots = [pool.open() for _ in range(9)]
    frames = np.ascontiguousarray(x.swapaxes(0, 1))
    interrupt(0.1)
    with pytest.raises(KeyboardInterrupt):
        pool.tick(zip(slots, frames))
    step = x[0, 0]
    results = pool.tick([(slots[0], step), (slots[8], step), (slots[1], step)])
    assert isinstance(results[0], wgpu_rnn.StateLostError)
    assert isinstance(results[2], wgpu_rnn.StateLostError)
    assert results[1].shape == (512,)
    with pytest.raises(wgpu_rnn.StateLostError, match="a tick that was interrupted"):
        pool.state(slots[0])
    pool.reset(slots[0])
    np.testing.assert_array_equal(pool.tick([(slots[0], step)])[0], results[1])
    pool.close(slots[1])
    assert not np.asarray(pool.state(pool.open())[0]).any()


@pytest.mark.skipif(os.name == "nt", reason="os.kill ends a process of Windows")
def test_a_signal_handler_that_returns_ends_nothing(slow, interrupt):
    net, x = slow
    seen = []
    before = signal.signal(signal.SIGINT, lambda *_: seen.append(_native._abandoned_calls()))
    try:
        interrupt(0.1)
        output, _ = net(x)
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [0] and output.shape == (STEPS, 8, 512)


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="needs SIGALRM")
def test_the_exception_of_any_handler_ends_a_call(slow):
    net, x = slow

    def expire(*_):
        raise TimeoutError("too long")

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        with pytest.raises(TimeoutError, match="too long"):
            net(x)
    finally:
        signal.signal(signal.SIGALRM, before)
    _native._wait_for_abandoned(60.0)


def test_interrupt_main_works_too(slow):
    net, x = slow
    timer = threading.Timer(0.1, _thread.interrupt_main)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        net(x)
    timer.join()
    _native._wait_for_abandoned(60.0)


SMALL = """
import os, sys
import numpy as np
import wgpu_rnn
def gru():
    rows = {"weight_ih_l0": (9, 2), "weight_hh_l0": (9, 3), "bias_ih_l0": 9, "bias_hh_l0": 9}
    tensors = {name: np.ones(shape, np.float32) for name, shape in rows.items()}
    return wgpu_rnn.GRU.from_state_dict(tensors, device="cpu")
x = np.ones((400, 64, 2), np.float32)
"""


@pytest.mark.parametrize("long", [False, True])
def test_a_panic_is_an_error(long):
    """Whatever happens in a call, Python gets an exception that programs catch."""
    for _ in range(2):
        with pytest.raises(wgpu_rnn.GpuError, match="a defect of this library.*: on purpose"):
            _native._panic("on purpose", long)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_refuses_devices_of_its_parent():
    code = (
        SMALL
        + """
net = gru()
net(x)
child = os.fork()
if child == 0:
    try:
        net(x)
    except RuntimeError as error:
        text = str(error)
        assert isinstance(error, wgpu_rnn.ForkError) and "spawn" in text, text
        try:
            gru()
        except RuntimeError:
            os._exit(3)
    os._exit(4)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
net(x)
print("done")
"""
    )
    ran = run_python("-c", code)
    assert ran.stdout == "done\n", ran.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_before_the_first_device_is_harmless():
    code = (
        SMALL
        + """
child = os.fork()
gru()(x)
if child == 0:
    os._exit(3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
print("done")
"""
    )
    ran = run_python("-c", code)
    assert ran.stdout == "done\n", ran.stderr


def test_torch_is_not_imported():
    code = (
        SMALL
        + """
gru()(x)
print(sorted(name for name in sys.modules if name.split(".")[0] == "torch"))
"""
    )
    ran = run_python("-c", code)
    assert ran.stdout == "[]\n", ran.stderr


@pytest.mark.skipif(os.name == "nt", reason="os.kill ends a process of Windows")
def test_a_program_ends_after_ctrl_c(device):
    """The process ends in order although a call runs on."""
    code = (
        SMALL
        + f"""
import signal, threading
shapes = {{"weight_ih_l0": (1536, 256), "weight_hh_l0": (1536, 512)}}
tensors = {{name: np.zeros(shape, np.float32) for name, shape in shapes.items()}}
net = wgpu_rnn.GRU.from_state_dict(tensors, device={device.name!r})
threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
net(np.zeros(({STEPS // 50 if device.is_gpu else STEPS}, 8, 256), np.float32))
"""
    )
    ran = run_python("-c", code)
    assert ran.returncode in (-signal.SIGINT, 130, 1), (ran.returncode, ran.stderr)
    assert ran.stderr.rstrip().endswith("KeyboardInterrupt"), ran.stderr
