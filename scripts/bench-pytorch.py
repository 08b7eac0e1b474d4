#!/usr/bin/env python3
"""Times PyTorch at the shapes of `wgpu-rnn bench --json` reports: eager, CUDA graph, TF32, fp16.

    bench-pytorch.py OUT.json SECONDS MODEL REPORT.json...

Each way of a shape gets `device_us`, the time between two events of the stream, and `wall_us`, from
the input in host memory to output and states in host memory: the copies that `wgpu-rnn` makes. Both
are medians after a warm-up. Without CUDA only `eager` runs, on the CPU, with wall time alone.
SECONDS is the time limit for each way of a shape. MODEL is a safetensors file of a language model;
its eager loop gives the tokens per second. `scripts/report-device` calls this script.
"""

import json
import os
import struct
import sys
import time

import torch

KEYS = ["kind", "seq_len", "batch", "input_size", "hidden_size", "num_layers", "bidirectional"]
CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"
REPETITIONS = 20


def shapes_of(paths):
    shapes = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            for row in json.load(file)["rows"]:
                shape = {key: row[key] for key in KEYS}
                if shape not in shapes:
                    shapes.append(shape)
    return shapes


def module(shape):
    kind = shape["kind"]
    kinds = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
    more = {"nonlinearity": kind[4:]} if kind.startswith("rnn") else {}
    sizes = shape["input_size"], shape["hidden_size"], shape["num_layers"]
    net = kinds.get(kind, torch.nn.RNN)(*sizes, bidirectional=shape["bidirectional"], **more)
    return net.eval().to(DEVICE)


def median(times):
    return sorted(times)[len(times) // 2] if times else None


def repeat(run, budget):
    """The median of what `run` returns, after a warm-up of three runs or a tenth of the budget."""
    begin = time.perf_counter()
    for _ in range(3):
        run()
        if time.perf_counter() - begin > budget / 10:
            break
    begin, times = time.perf_counter(), []
    while not times or (len(times) < REPETITIONS and time.perf_counter() - begin < budget):
        times.append(run())
    return median(times)


def by_events(work):
    """`work` as a run that returns its time on the device in microseconds."""
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)

    def run():
        begin.record()
        work()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) * 1e3

    return run


def by_wall(net, host):
    """A run from host memory to host memory that returns its wall time in microseconds."""

    def run():
        start = time.perf_counter()
        output, state = net(host.to(DEVICE))
        for tensor in (output, *(state if isinstance(state, tuple) else (state,))):
            tensor.cpu()
        return (time.perf_counter() - start) * 1e6

    return run


def eager(net, host, budget):
    wall = repeat(by_wall(net, host), budget)
    there = host.to(DEVICE)
    device = repeat(by_events(lambda: net(there)), budget) if CUDA else None
    return {"device_us": device, "wall_us": wall}


def graph(net, host, budget):
    there = host.to(DEVICE)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            net(there)
    torch.cuda.current_stream().wait_stream(stream)
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        net(there)
    return {"device_us": repeat(by_events(captured.replay), budget), "wall_us": None}


def tf32(net, host, budget):
    set_tf32(True)
    try:
        return eager(net, host, budget)
    finally:
        set_tf32(False)


def fp16(net, host, budget):
    return eager(net.half(), host.half(), budget)


def set_tf32(on):
    torch.backends.cuda.matmul.allow_tf32 = on
    torch.backends.cudnn.allow_tf32 = on


def row(shape, budget):
    """Each way gets a fresh module; a way that fails has its error and no times."""
    ways = [("eager", eager)]
    if CUDA:
        ways += [("graph", graph), ("tf32", tf32), ("fp16", fp16)]
    result = dict(shape)
    for name, way in ways:
        try:
            torch.manual_seed(0)
            host = torch.rand(shape["seq_len"], shape["batch"], shape["input_size"]) * 2 - 1
            with torch.no_grad():
                result[name] = way(module(shape), host, budget)
        except Exception as error:  # other ways and shapes still run
            text = str(error).strip().splitlines()
            result[name] = {"device_us": None, "wall_us": None, "error": (text or [""])[0]}
    return result


def read_safetensors(path):
    types = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = bytearray(file.read())
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            values = torch.frombuffer(data[begin:end], dtype=types[entry["dtype"]])
            tensors[name] = values.reshape(entry["shape"]).float()
    return tensors


def tokens_per_second(path, seconds):
    """The eager loop of an LSTM language model: embed, step, decode, draw."""
    tensors = read_safetensors(path)
    tokens, features = tensors["encoder.weight"].shape
    layers = sum(name.startswith("rnn.weight_hh_l") for name in tensors)
    hidden = tensors["rnn.weight_hh_l0"].shape[1]
    net = torch.nn.LSTM(features, hidden, layers)
    recurrent = {name[4:]: tensor for name, tensor in tensors.items() if name.startswith("rnn.")}
    net.load_state_dict(recurrent)
    net = net.eval().to(DEVICE)
    encoder = tensors["encoder.weight"].to(DEVICE)
    weight, bias = tensors["decoder.weight"].to(DEVICE), tensors["decoder.bias"].to(DEVICE)
    token = torch.zeros(1, 1, dtype=torch.long, device=DEVICE)
    state, made = None, []

    def step(token, state):
        output, state = net(torch.nn.functional.embedding(token, encoder), state)
        logits = torch.nn.functional.linear(output[0], weight, bias)
        return torch.multinomial(torch.softmax(logits, -1), 1), state

    with torch.no_grad():
        for _ in range(50):
            token, state = step(token, state)
        token.cpu()
        begin, count = time.perf_counter(), 0
        while time.perf_counter() - begin < seconds:
            for _ in range(100):
                token, state = step(token, state)
                made.append(token)
            count += 100
            torch.cat(made).cpu()
            made.clear()
        return count / (time.perf_counter() - begin)


def main():
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    out, budget, model, reports = sys.argv[1], float(sys.argv[2]), sys.argv[3], sys.argv[4:]
    set_tf32(False)
    versions = f"PyTorch {torch.__version__}"
    if CUDA:
        versions += f", CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    result = {
        "versions": versions,
        "device": torch.cuda.get_device_name() if CUDA else "cpu",
        "rows": [],
        "tokens_per_second": None,
    }

    def save():
        with open(out + ".part", "w", encoding="utf-8") as file:
            json.dump(result, file, indent=1)
        os.replace(out + ".part", out)

    if os.path.exists(model):
        try:
            result["tokens_per_second"] = tokens_per_second(model, min(budget, 2.0))
        except Exception as error:  # the shapes still run
            print(f"bench-pytorch: no tokens per second: {error}", file=sys.stderr)
    # Keep the finished shapes if the time runs out.
    for shape in shapes_of(reports):
        result["rows"].append(row(shape, budget))
        save()
    save()


if __name__ == "__main__":
    main()
