"""Devices and modules that the tests share.

``WGPU_RNN_TEST_ADAPTERS`` names the adapters, by parts of their names with commas between them. A
missing adapter skips its tests with a reason, or fails them with ``WGPU_RNN_REQUIRE_ADAPTERS=1``.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import wgpu_rnn

ADAPTERS = [
    name.strip()
    for name in os.environ.get("WGPU_RNN_TEST_ADAPTERS", "llvmpipe").split(",")
    if name.strip()
]
REQUIRED = os.environ.get("WGPU_RNN_REQUIRE_ADAPTERS", "") not in ("", "0")

# A shell lets its background jobs ignore SIGINT, and Python then leaves it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The CPU of a test machine has few cores, and the modules are small.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def open_device():
    """Opens each device once: an adapter runs a self-test."""
    opened = {}

    def open_one(name):
        if name not in opened:
            found = [info.name for info in wgpu_rnn.devices()]
            there = name == "cpu" or any(name.lower() in one.lower() for one in found)
            opened[name] = wgpu_rnn.Device(name) if there else found
        device = opened[name]
        if isinstance(device, list):
            text = f"no adapter has '{name}' in its name; there are {device}"
            if REQUIRED:
                pytest.fail(text)
            pytest.skip(text)
        return device

    return open_one


@pytest.fixture(params=["cpu", *ADAPTERS])
def device(request, open_device):
    """The CPU, and each adapter."""
    return open_device(request.param)


@pytest.fixture(params=ADAPTERS)
def adapter(request, open_device):
    """Each adapter."""
    return open_device(request.param)


@pytest.fixture
def cpu(open_device):
    """The CPU."""
    return open_device("cpu")


@pytest.fixture
def rng():
    """Random numbers, the same in each run."""
    return np.random.default_rng(7)


@pytest.fixture(autouse=True)
def seeded():
    """Modules have the same weights in each run."""
    torch.manual_seed(7)


def run_python(*arguments, **options):
    """Runs Python with this package in another process."""
    package = str(Path(wgpu_rnn.__file__).parents[1])
    path = os.pathsep.join([package, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    environment = {**os.environ, "PYTHONPATH": path}
    if not package.endswith("site-packages"):
        environment["MYPYPATH"] = package
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        **options,
    )


def close(got, want, atol=1e-5, rtol=1.3e-6):
    """Asserts that results, nested as PyTorch returns them, are equal within the tolerance."""
    if isinstance(want, tuple) and not hasattr(want, "batch_sizes"):
        assert type(got) is tuple and len(got) == len(want), type(got)
        for one, other in zip(got, want):
            close(one, other, atol, rtol)
        return
    if hasattr(want, "batch_sizes"):
        assert type(got) is type(want)
        assert torch.equal(got.batch_sizes, want.batch_sizes)
        for one, other in (
            (got.sorted_indices, want.sorted_indices),
            (got.unsorted_indices, want.unsorted_indices),
        ):
            assert (one is None) == (other is None) and (one is None or torch.equal(one, other))
        got, want = got.data, want.data
    if isinstance(got, torch.Tensor):
        assert not got.requires_grad and got.dtype == torch.float32
        got = got.numpy()
    want = want.detach().numpy() if isinstance(want, torch.Tensor) else want
    assert got.dtype == np.float32 and got.shape == want.shape, (got.shape, want.shape)
    np.testing.assert_allclose(got, want, rtol=rtol, atol=atol, equal_nan=True)
