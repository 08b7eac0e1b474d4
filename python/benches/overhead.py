"""What a call from Python adds to a call from Rust: python benches/overhead.py [DEVICE] [CALLS].

Times the calls of some networks in three ways, one after the other, and prints the medians and the
least times in microseconds: from Rust (``call.rs``, which cargo builds), from Python's main thread,
where Ctrl-C works, and from another thread. Python's calls copy the input and give numpy arrays.
"""

import functools
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np

import wgpu_rnn

#: Name, class, gates, sizes, steps, rows; call.rs has the same list.
CASES = [
    ("GRU(2, 3), 1 step of 1 row", wgpu_rnn.GRU, 3, (2, 3), 1, 1),
    ("LSTM(64, 128), 1 step of 1 row", wgpu_rnn.LSTM, 4, (64, 128), 1, 1),
    ("LSTM(64, 128), 10 steps of 8 rows", wgpu_rnn.LSTM, 4, (64, 128), 10, 8),
    ("LSTM(64, 128), 100 steps of 64 rows", wgpu_rnn.LSTM, 4, (64, 128), 100, 64),
]


def from_rust(device, calls):
    """Runs call.rs."""
    manifest = Path(__file__).parents[1] / "Cargo.toml"
    command = ["cargo", "run", "--release", "--quiet", "--manifest-path", manifest]
    command += ["--example", "call", "--", device, str(calls)]
    ran = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return [json.loads(line) for line in ran.stdout.splitlines()]


def network(device, made, gates, sizes):
    """Returns a network of random weights."""
    inputs, hidden = sizes
    random = np.random.default_rng(0)
    shapes = {
        "weight_ih_l0": (gates * hidden, inputs),
        "weight_hh_l0": (gates * hidden, hidden),
        "bias_ih_l0": (gates * hidden,),
        "bias_hh_l0": (gates * hidden,),
    }
    bound = hidden**-0.5
    tensors = {
        name: random.uniform(-bound, bound, shape).astype(np.float32)
        for name, shape in shapes.items()
    }
    return made.from_state_dict(tensors, device=device)


def times(call, calls):
    """Returns the least and the median time of a call."""
    found = []
    for at in range(calls + calls // 10):
        start = time.perf_counter_ns()
        results = call()
        if at >= calls // 10:
            found.append((time.perf_counter_ns() - start) / 1e3)
        del results
    found.sort()
    return found[0], found[len(found) // 2]


def in_thread(call, calls):
    """Times calls from a thread that is not the main one."""
    found = []
    thread = threading.Thread(target=lambda: found.append(times(call, calls)))
    thread.start()
    thread.join()
    return found[0]


def main():
    """Prints the table."""
    device = sys.argv[1] if len(sys.argv) > 1 else "cpu"
    calls = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    opened = wgpu_rnn.Device(device)
    print(f"{opened}: median (least) of {calls} calls in µs")
    print(f"{'network':38}{'Rust':>20}{'Python':>20}{'Python, thread':>20}")
    for case, rust in zip(CASES, from_rust(device, calls)):
        name, made, gates, sizes, steps, rows = case
        assert name == rust["name"], (name, rust["name"])
        net = network(opened, made, gates, sizes)
        call = functools.partial(net, np.zeros((steps, rows, sizes[0]), np.float32))
        cells = [(rust["least"], rust["median"]), times(call, calls), in_thread(call, calls)]
        print(f"{name:38}" + "".join(f"{f'{m:.1f} ({low:.1f})':>20}" for low, m in cells))


if __name__ == "__main__":
    main()
