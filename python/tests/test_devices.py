"""Devices: listing, opening, sharing."""

import pytest
import torch

import wgpu_rnn


def test_devices_are_listed_and_open(device):
    listed = wgpu_rnn.devices()
    assert listed[-1].selector == listed[-1].name == "cpu"
    assert [info.selector for info in listed[:-1]] == [str(at) for at in range(len(listed) - 1)]
    (info,) = [info for info in listed if info.name == device.name][:1]
    assert info.backend == device.backend and info.driver == device.driver
    assert info.is_software == device.is_software
    assert device.is_gpu == (device.name != "cpu") and not device.is_lost()
    assert device.name in repr(device)


def test_a_device_opens_by_its_entry_and_its_index(device):
    (info, *_) = [info for info in wgpu_rnn.devices() if info.name == device.name]
    opened = wgpu_rnn.Device(info, self_test=False)
    assert opened.name == device.name
    module = torch.nn.GRU(4, 6)
    wgpu_rnn.testing.assert_matches(module, opened)


def test_networks_share_the_device_of_a_name():
    module = torch.nn.GRU(4, 6)
    nets = [wgpu_rnn.GRU.from_torch(module, device="cpu") for _ in range(2)]
    assert nets[0].device is nets[1].device
    assert wgpu_rnn.Device("cpu") is not wgpu_rnn.Device("cpu")
    assert wgpu_rnn.GRU.from_torch(module).device.name


def test_case_does_not_matter():
    assert wgpu_rnn.Device("CPU").name == "cpu" and wgpu_rnn.Device("Auto").name
    module = torch.nn.GRU(4, 6)
    nets = [wgpu_rnn.GRU.from_torch(module, device=name) for name in ("cpu", "Cpu")]
    assert nets[0].device is nets[1].device


def test_options_of_opening(device):
    small = wgpu_rnn.Device(device.name, memory_budget=1 << 16, self_test=False)
    with pytest.raises(wgpu_rnn.LimitError, match="memory_budget") as raised:
        wgpu_rnn.LSTM.from_torch(torch.nn.LSTM(64, 256), device=small)
    assert isinstance(raised.value, RuntimeError)
    limits = {"max_buffer_size": 1 << 20}
    wgpu_rnn.testing.assert_matches(torch.nn.GRU(4, 6), wgpu_rnn.Device(device.name, limits=limits))


def test_errors_of_opening():
    for call, error, text in [
        (lambda: wgpu_rnn.Device("no such adapter"), wgpu_rnn.NoAdapterError, "no such adapter"),
        (lambda: wgpu_rnn.Device("99"), wgpu_rnn.NoAdapterError, "no adapter 99"),
        (lambda: wgpu_rnn.Device("all"), wgpu_rnn.UnknownNameError, "several devices"),
        (lambda: wgpu_rnn.Device(""), wgpu_rnn.UnknownNameError, "names no device"),
        (lambda: wgpu_rnn.Device(3), TypeError, "a device has a name, a str, got int"),
        (lambda: wgpu_rnn.Device("cpu", limits=[1]), TypeError, "limits should be a dict .* list"),
        (lambda: wgpu_rnn.Device("cpu", limits="ab"), TypeError, "limits should be a dict .* str"),
        (lambda: wgpu_rnn.Device("cpu", limits={1: 1}), TypeError, "limit should be a str, got in"),
        (lambda: wgpu_rnn.Device("cpu", self_test="no"), TypeError, "self_test should be a bool"),
        (lambda: wgpu_rnn.Device("cpu", threads=0), wgpu_rnn.OptionError, "threads is 0"),
        (lambda: wgpu_rnn.Device("cpu", threads=-1), wgpu_rnn.OptionError, "threads should be"),
        (
            lambda: wgpu_rnn.Device("cpu", limits={"speed": 3}),
            wgpu_rnn.UnknownNameError,
            "unknown limit 'speed'",
        ),
    ]:
        with pytest.raises(error, match=text):
            call()


def test_a_lost_device_says_so(adapter):
    lost = wgpu_rnn.Device(adapter.name, self_test=False)
    module = torch.nn.GRU(4, 6)
    net = wgpu_rnn.GRU.from_torch(module, device=lost)
    stream = net.stream()
    x = torch.zeros(3, 1, 4)
    stream(x)
    lost._native.destroy()
    assert lost.is_lost()
    for call in (lambda: net(x), lambda: stream(x), lambda: net.pool(1).open()):
        with pytest.raises(wgpu_rnn.DeviceLostError, match="device lost") as raised:
            call()
        assert isinstance(raised.value, RuntimeError)
    # Another device of the adapter goes on.
    wgpu_rnn.testing.assert_matches(module, adapter)
