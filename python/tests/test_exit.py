"""The end of a process while calls run on a driver, which must not be unloaded under them."""

from conftest import run_python

CALLS = """
import sys, threading, time
import numpy as np
import torch
import wgpu_rnn

net = wgpu_rnn.LSTM.from_torch(torch.nn.LSTM(8, 64), device=sys.argv[1])
x = np.zeros((int(sys.argv[2]), 8, 8), np.float32)
started = threading.Event()

def calls():
    while True:
        started.set()
        net(x)

threading.Thread(target=calls, daemon=True).start()
started.wait()
time.sleep(0.05)
print("the end")
"""


def test_a_process_ends_while_another_thread_calls(adapter):
    ran = run_python("-c", CALLS + "sys.exit(3)", adapter.name, "20")
    assert (ran.returncode, ran.stdout) == (3, "the end\n"), ran.stderr


def test_a_call_that_does_not_end_is_named(adapter):
    code = CALLS + "wgpu_rnn._native._at_exit(0.0)\nprint('not reached')"
    ran = run_python("-c", code, adapter.name, "400")
    assert (ran.returncode, ran.stdout) == (1, "the end\n"), ran.stderr
    assert "a call still runs on a device 0 s after the end" in ran.stderr


def test_calls_of_the_cpu_end_with_the_process():
    ran = run_python("-c", CALLS + "sys.exit(3)", "cpu", "20")
    assert (ran.returncode, ran.stdout) == (3, "the end\n"), ran.stderr


LATE = """
wgpu_rnn._native._at_exit()

def late():
    try:
        print(net(x)[0].shape)
    except wgpu_rnn.UnsupportedError as error:
        print("refused:", error)

thread = threading.Thread(target=late)
thread.start()
thread.join()
"""


def call_late(device):
    code = CALLS.replace("while True:", "while False:").replace("started.wait()\n", "") + LATE
    ran = run_python("-c", code, device, "20")
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()[-1]


def test_other_threads_start_no_call_after_the_end(adapter):
    assert call_late(adapter.name).startswith("refused: ")


def test_calls_of_the_cpu_need_no_driver():
    assert call_late("cpu") == "(20, 8, 64)"
