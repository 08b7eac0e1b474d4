#!/usr/bin/env python3
"""Times PyTorch, and ONNX Runtime if installed, at the shapes of a `wgpu-rnn bench --json` report.

    pytorch.py REPORT.json OUT.json [SECONDS]

Writes rows for `wgpu-rnn bench --with`, in the form of `wgpu-rnn bench --json`. wall_us is the time
from the input in host memory to the output in host memory. gpu_us, on CUDA, is the time of the
forward pass between two events of the stream. TF32 is off: CUDA computes in f32 as the others do.
SECONDS is the time limit for each shape on each system (default: 10).
"""

import json
import math
import os
import platform
import sys
import time

import torch


def shapes_of(report):
    keys = ["kind", "seq_len", "batch", "input_size", "hidden_size", "num_layers", "bidirectional"]
    shapes = []
    for row in report["rows"]:
        shape = {key: row[key] for key in keys}
        if shape not in shapes:
            shapes.append(shape)
    return shapes


def module(shape):
    kinds = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn_tanh": torch.nn.RNN, "rnn_relu": torch.nn.RNN}
    more = {"nonlinearity": shape["kind"][4:]} if shape["kind"].startswith("rnn") else {}
    return kinds[shape["kind"]](
        shape["input_size"], shape["hidden_size"], shape["num_layers"], bidirectional=shape["bidirectional"], **more
    ).eval()


def spread(times):
    times = sorted(times)
    rank = lambda share: times[max(math.ceil(len(times) * share), 1) - 1]
    return {"median": rank(0.5), "min": times[0], "p95": rank(0.95)}


def measure(run, budget):
    """Times `run`, which returns its time on the device in microseconds, or None."""
    begin = time.perf_counter()
    while True:
        run()
        if time.perf_counter() - begin > budget / 10:
            break
    wall, device = [], []
    begin = time.perf_counter()
    while not wall or (len(wall) < 50 and time.perf_counter() - begin < budget):
        start = time.perf_counter()
        took = run()
        wall.append((time.perf_counter() - start) * 1e6)
        if took is not None:
            device.append(took)
    return wall, device


def row(system, device, backend, driver, shape, wall, gpu):
    wall_us, gpu_us = spread(wall), spread(gpu) if gpu else None
    steps = shape["seq_len"] * shape["num_layers"]
    return {
        "system": system, "device": device, "backend": backend, "driver": driver, **shape, "dtype": "f32",
        "wall_us": wall_us, "gpu_us": gpu_us, "us_per_step": (gpu_us or wall_us)["median"] / steps,
        "repetitions": len(wall),
    }  # fmt: skip


def on_cpu(net, x):
    def run():
        net(x)

    return run


def on_cuda(net, x):
    net = net.cuda()
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)

    def run():
        there = x.cuda()
        begin.record()
        output, _ = net(there)
        end.record()
        output.cpu()
        return begin.elapsed_time(end) * 1e3

    return run


def on_onnx_runtime(net, x):
    import inspect
    import io
    import warnings

    import onnxruntime

    # Newer versions have two exporters. The older one writes one operator for each layer.
    known = inspect.signature(torch.onnx.export).parameters
    which = {"dynamo": False} if "dynamo" in known else {}
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (x,), file, input_names=["x"], **which)
    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    feed = {"x": x.numpy()}

    def run():
        session.run(None, feed)

    return run


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as file:
        shapes = shapes_of(json.load(file))
    out, budget = sys.argv[2], float(sys.argv[3]) if len(sys.argv) == 4 else 10.0
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    version = f"PyTorch {torch.__version__}"
    systems = [(version, "cpu", "cpu", f"{torch.get_num_threads()} threads", on_cpu)]
    if torch.cuda.is_available():
        driver = f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
        systems.append((version, torch.cuda.get_device_name(), "CUDA", driver, on_cuda))
    try:
        import onnxruntime

        systems.append((f"ONNX Runtime {onnxruntime.__version__}", "cpu", "cpu", "", on_onnx_runtime))
    except ImportError:
        print("ONNX Runtime is not installed: left out", file=sys.stderr)
    rows = []
    for shape in shapes:
        for system, device, backend, driver, build in systems:
            try:
                torch.manual_seed(0)
                x = torch.rand(shape["seq_len"], shape["batch"], shape["input_size"]) * 2 - 1
                with torch.no_grad():
                    wall, gpu = measure(build(module(shape), x), budget)
            except Exception as error:  # keep the rows of other systems and shapes
                print(f"{system} on {device}: {shape} left out: {error}", file=sys.stderr)
                continue
            rows.append(row(system, device, backend, driver, shape, wall, gpu))
            print(f"{system} on {device}: {shape} {rows[-1]['wall_us']['median'] / 1e3:.3f} ms", file=sys.stderr)
    machine = {"os": platform.system(), "arch": platform.machine(), "python": platform.python_version()}
    with open(out + ".part", "w", encoding="utf-8") as file:
        json.dump({"machine": machine, "rows": rows}, file, indent=2)
    os.replace(out + ".part", out)


if __name__ == "__main__":
    main()
