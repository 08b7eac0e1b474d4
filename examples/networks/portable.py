"""Networks with weights that any language can make, for the scripts next to this file.

A tensor is `base + scale * u(name, i)` in float32, for its name in the model's state dict and its
index i in memory order:

    h = FNV-1a of the name's UTF-8 bytes, in 32 bits
    x = h + i * 0x9E3779B9, then  x ^= x >> 16;  x *= 0x7FEB352D;  x ^= x >> 15;
                                  x *= 0x846CA68B;  x ^= x >> 16,  all modulo 2^32
    u = (x >> 8) / 2^23 - 1, which is exact in float32 and lies in [-1, 1)

so that `u("a", i)` * 2^23 is -1290697, 2310581 and 1225423 for the first three i. The matrix of a
Fourier transform follows a formula (`FORMULAS`) in float64 and is rounded to float32. The metadata
`weights` of a file is a JSON list of `{"name", "shape", "scale", "base"}` and `{"name", "shape",
"formula"}`, where `scale` and `base` are exact in float32.
"""

import argparse
import json
import math
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

sys.path.append(str(Path(__file__).parents[2] / "tests/fixtures"))
from chains import operation  # noqa: E402
from network_files import PREFIX, check_network, distance, read_network  # noqa: E402
from network_files import write_network  # noqa: E402

__all__ = ["Network", "frames", "main", "operation", "uniform"]

# Values


def uniform(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Values of [-1, 1) in float32 that depend on the name and on each one's index alone."""
    start = 0x811C9DC5
    for byte in name.encode():
        start = (start ^ byte) * 0x01000193 % 2**32
    x = np.arange(math.prod(shape), dtype=np.uint32) * np.uint32(0x9E3779B9) + np.uint32(start)
    x = (x ^ (x >> 16)) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * np.uint32(0x846CA68B)
    x ^= x >> 16
    return ((x >> 8) / 2.0**23 - 1).astype(np.float32).reshape(shape)


def angles(size: int) -> np.ndarray:
    """2 pi k n / size for the size / 2 + 1 bins k and the samples n, reduced to one turn."""
    bins, samples = np.arange(size // 2 + 1), np.arange(size)
    return 2 * np.pi * (np.outer(bins, samples) % size) / size


def dft(size: int) -> np.ndarray:
    """Rows that give the real parts of a real signal's spectrum, and then the imaginary parts."""
    return np.concatenate([np.cos(angles(size)), -np.sin(angles(size))])


def hann_dft(size: int) -> np.ndarray:
    """`dft` of a signal under a periodic Hann window."""
    return dft(size) * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size))


def inverse_dft(size: int) -> np.ndarray:
    """Columns that give the signal back from the parts that `dft` gives."""
    share = np.full(size // 2 + 1, 2 / size)  # of a bin and its mirror
    share[[0, -1]] = 1 / size
    return dft(size).T * np.concatenate([share, share])


# The size of a transform follows from the shape of its weight.
FORMULAS = {
    "dft": lambda shape: dft(shape[-1]),
    "hann_dft": lambda shape: hann_dft(shape[-1]),
    "inverse_dft": lambda shape: inverse_dft(shape[0]),
}


def make_weight(weight: dict) -> np.ndarray:
    shape = tuple(weight["shape"])
    if "formula" in weight:
        matrix = FORMULAS[weight["formula"]](shape)
        return matrix.astype(np.float32, order="C").reshape(shape)
    scale, base = np.float32(weight["scale"]), np.float32(weight["base"])
    return base + scale * uniform(weight["name"], shape)


def make_weights(weights: list[dict]) -> dict[str, np.ndarray]:
    return {PREFIX + weight["name"]: make_weight(weight) for weight in weights}


def frames(name: str, count: int, batch: int, size: int, hop: int) -> np.ndarray:
    """Overlapping frames (T, B, size) of noise whose loudness changes every 256 samples."""
    samples = hop * (count - 1) + size
    loudness = np.repeat(uniform(f"{name} loudness", (batch, samples // 256 + 1)) ** 2, 256, 1)
    signal = loudness[:, :samples] * uniform(name, (batch, samples))
    windows = np.lib.stride_tricks.sliding_window_view(signal, size, axis=1)[:, ::hop]
    return np.ascontiguousarray(windows.transpose(1, 0, 2))


# Networks


@dataclass(frozen=True)
class Network:
    """A model, called as `model(frames, state)` for its output and next state, and its chain.

    `definition` holds the operations of `tests/fixtures/chains.py`, `formulas` the names of the
    weights that have one.
    """

    name: str
    model: nn.Module
    definition: list[dict]
    inputs: np.ndarray
    formulas: dict[str, str] = field(default_factory=dict)

    def weights(self) -> list[dict]:
        """Matrices of variance 2 / fan_in, as for ReLU; biases near 0, weights of norms near 1."""
        weights = []
        for name, value in self.model.state_dict().items():
            weight = {"name": name, "shape": list(value.shape)}
            if name in self.formulas:
                weights.append(weight | {"formula": self.formulas[name]})
                continue
            fan_in = math.prod(value.shape[1:])
            scale = math.sqrt(6 / fan_in) if value.dim() > 1 else 0.5
            base = 1.0 if name.endswith("weight") and value.dim() == 1 else 0.0
            weights.append(weight | {"scale": float(np.float32(scale)), "base": base})
        return weights

    @torch.no_grad()
    def load(self) -> dict[str, np.ndarray]:
        """Put the weights into the model and return them."""
        weights = make_weights(self.weights())
        state = {name.removeprefix(PREFIX): torch.from_numpy(v) for name, v in weights.items()}
        self.model.eval().load_state_dict(state)
        return weights

    @torch.no_grad()
    def write(self, path: Path, with_weights: bool) -> None:
        """Write the model's results; frame by frame, it must give the same ones."""
        tensors = {"input": self.inputs} | self.load()
        output = self.model(torch.from_numpy(self.inputs), None)[0].numpy()
        streamed, state = [], None
        for frame in torch.from_numpy(self.inputs):
            result, state = self.model(frame[None], state)
            streamed.append(result.numpy())
        assert distance(np.concatenate(streamed), output) < 1e-5, f"{self.name} does not stream"
        weights = None if with_weights else self.weights()
        write_network(path, self.definition, tensors, output, weights)

    @torch.inference_mode()
    def time(self, threads: int, seconds: float = 3.0) -> tuple[float, float]:
        """Median and minimum of the microseconds a frame, of one row in a stream.

        On busy cores the median of two threads is far from the minimum: they wait for each other.
        """
        torch.set_num_threads(threads)
        self.load()
        inputs = torch.from_numpy(self.inputs[:, :1])
        times, state, end = [], None, time.perf_counter() + seconds
        while time.perf_counter() < end:
            for frame in inputs:
                start = time.perf_counter()
                _, state = self.model(frame[None], state)
                times.append(time.perf_counter() - start)
        return 1e6 * np.median(times), 1e6 * min(times)


def main(network: Network) -> None:
    parser = argparse.ArgumentParser(description=f"Write the network {network.name}.")
    parser.add_argument("path", type=Path, nargs="?", help="a safetensors file to write")
    parser.add_argument("--without-weights", action="store_true", help="name them in the metadata")
    parser.add_argument("--time", action="store_true", help="print PyTorch's time per frame")
    options = parser.parse_args()
    if options.path is None and not options.time:
        parser.error("give a path, --time or both")
    if options.path is not None:
        torch.set_num_threads(1)  # the order of PyTorch's sums may depend on it
        network.write(options.path, not options.without_weights)
        metadata, tensors = read_network(options.path)
        tensors |= make_weights(json.loads(metadata.get("weights", "[]")))
        check_network(options.path, metadata, tensors)
        print(f"{options.path}: {options.path.stat().st_size} bytes, checked")
    if options.time:
        for threads in (1, 2):
            median, least = network.time(threads)
            print(f"{network.name}, {threads} threads: {median:.0f} us a frame, least {least:.0f}")
