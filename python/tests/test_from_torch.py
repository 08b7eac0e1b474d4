"""Modules of torch: what is read, and what is refused by name."""

import copy

import numpy as np
import pytest
import torch
from conftest import close

import wgpu_rnn
from wgpu_rnn.errors import OptionError

X = torch.linspace(-1, 1, 24).reshape(3, 2, 4)


def test_arguments_come_from_the_module(cpu):
    module = torch.nn.LSTM(4, 6, 2, bias=False, batch_first=True, bidirectional=True, proj_size=3)
    net = wgpu_rnn.LSTM.from_torch(module, device=cpu)
    assert net.config == {
        "kind": "lstm",
        "module": "LSTM",
        "input_size": 4,
        "hidden_size": 6,
        "num_layers": 2,
        "proj_size": 3,
        "bias": False,
        "batch_first": True,
        "bidirectional": True,
    }
    assert "LSTM(4, 6, proj_size=3, num_layers=2, bias=False" in repr(net) and "cpu" in repr(net)
    assert net.device is cpu


def test_the_weights_are_copied(cpu):
    module = torch.nn.GRU(4, 6)
    net = wgpu_rnn.GRU.from_torch(module, device=cpu)
    before = net(X)[0]
    with torch.no_grad():
        module.weight_ih_l0.add_(1)
    close(net(X)[0], before)
    close(wgpu_rnn.GRU.from_torch(module, device=cpu)(X), module(X))


def test_dropout_is_inactive_whatever_the_mode(cpu):
    module = torch.nn.LSTM(4, 6, 2, dropout=0.9).train()
    net = wgpu_rnn.LSTM.from_torch(module, device=cpu)
    assert module.training, "reading leaves the mode as it was"
    close(net(X), module.eval()(X))


def test_weight_norm_gives_its_present_weights(cpu):
    hooked = torch.nn.utils.weight_norm(torch.nn.LSTM(4, 6), "weight_hh_l0")
    with torch.no_grad():
        # The attribute weight_hh_l0 is old until the next call.
        hooked.weight_hh_l0_g.mul_(2)
    close(wgpu_rnn.LSTM.from_torch(hooked, device=cpu)(X), hooked(X))


@pytest.mark.skipif(
    not hasattr(torch.nn.utils.parametrizations, "weight_norm"),
    reason="this torch has no parametrizations.weight_norm",
)
def test_parametrised_modules_give_their_present_weights(cpu):
    module = torch.nn.utils.parametrizations.weight_norm(torch.nn.GRU(4, 6), "weight_hh_l0")
    with torch.no_grad():
        module.parametrizations.weight_hh_l0.original0.mul_(2)
    close(wgpu_rnn.GRU.from_torch(module, device=cpu)(X), module(X))


def test_own_parametrisations_are_evaluated(cpu):
    class Twice(torch.nn.Module):
        def forward(self, weight):
            return 2 * weight

    module = torch.nn.RNN(4, 6)
    torch.nn.utils.parametrize.register_parametrization(module, "weight_ih_l0", Twice())
    if hasattr(module, "_update_flat_weights"):
        close(wgpu_rnn.RNN.from_torch(module, device=cpu)(X), module(X))
    else:
        # An old torch runs such a module with the weights from before.
        with pytest.raises(OptionError, match="has parametrisations, which torch 1"):
            wgpu_rnn.RNN.from_torch(module, device=cpu)
    cell = torch.nn.GRUCell(4, 6)
    torch.nn.utils.parametrize.register_parametrization(cell, "weight_hh", Twice())
    h = torch.ones(2, 6)
    close(wgpu_rnn.GRUCell.from_torch(cell, device=cpu)(X[0], h), cell(X[0], h))


class OwnForward(torch.nn.LSTM):
    def forward(self, input, hx=None):
        return super().forward(2 * input, hx)


class OwnConstructor(torch.nn.LSTM):
    def __init__(self):
        super().__init__(4, 6)


def test_subclasses(cpu):
    with pytest.raises(OptionError, match="OwnForward has its own forward, which cannot run here"):
        wgpu_rnn.LSTM.from_torch(OwnForward(4, 6), device=cpu)
    module = OwnConstructor()
    close(wgpu_rnn.LSTM.from_torch(module, device=cpu)(X), module(X))
    patched = torch.nn.LSTM(4, 6)
    patched.forward = lambda input, hx=None: None
    with pytest.raises(OptionError, match="LSTM has its own forward"):
        wgpu_rnn.LSTM.from_torch(patched, device=cpu)


@pytest.mark.parametrize("register", ["register_forward_hook", "register_forward_pre_hook"])
def test_hooks_are_refused(cpu, register):
    def scale(module, *values):
        return None

    module = torch.nn.GRU(4, 6)
    handle = getattr(module, register)(scale)
    with pytest.raises(OptionError, match="the module has hooks, which cannot run here: .*scale"):
        wgpu_rnn.GRU.from_torch(module, device=cpu)
    handle.remove()
    wgpu_rnn.GRU.from_torch(module, device=cpu)


def test_other_modules_are_refused(cpu):
    for module, text in [
        (torch.nn.GRU(4, 6), "expected a torch.nn.LSTM, got torch.nn.modules.rnn.GRU"),
        (torch.nn.LSTMCell(4, 6), "expected a torch.nn.LSTM, got torch.nn.modules.rnn.LSTMCell"),
        (torch.nn.Sequential(torch.nn.LSTM(4, 6)), "expected a torch.nn.LSTM, got .*Sequential"),
        (torch.jit.script(torch.nn.LSTM(4, 6)), "expected a torch.nn.LSTM, got .*ScriptModule"),
        ({"weight_ih_l0": X}, "expected a torch.nn.LSTM, got dict"),
        (None, "expected a torch.nn.LSTM, got NoneType"),
    ]:
        with pytest.raises(TypeError, match=text):
            wgpu_rnn.LSTM.from_torch(module, device=cpu)
    with pytest.raises(TypeError, match="expected a torch.nn.GRUCell"):
        wgpu_rnn.GRUCell.from_torch(torch.nn.GRU(4, 6), device=cpu)


def test_dtypes_and_places_of_parameters(cpu):
    with pytest.raises(OptionError, match=r"weight_ih_l0 is torch.float64.*module.float\(\)"):
        wgpu_rnn.LSTM.from_torch(torch.nn.LSTM(4, 6).double(), device=cpu)
    with pytest.raises(OptionError, match="weight_ih_l0 is a tensor on meta"):
        wgpu_rnn.LSTM.from_torch(torch.nn.LSTM(4, 6, device="meta"), device=cpu)
    with pytest.raises(wgpu_rnn.OptionError, match="weight_ih_l0"):
        large = torch.nn.LSTM(4, 6)
        torch.nn.init.constant_(large.weight_ih_l0, 1e6)
        wgpu_rnn.LSTM.from_torch(large, device=cpu, weights="f16")


def test_copies_of_modules_and_options(cpu):
    module = copy.deepcopy(torch.nn.GRU(4, 6))
    for options, error, text in [
        ({"schedule": "fast"}, wgpu_rnn.UnknownNameError, "unknown schedule 'fast'"),
        ({"weights": "f8"}, wgpu_rnn.UnknownNameError, "f8"),
        ({"weights": None}, TypeError, "weights should be a str, got NoneType"),
        ({"device": 3}, TypeError, "device should be a wgpu_rnn.Device or a name, got int"),
        ({"device": "no such adapter"}, wgpu_rnn.NoAdapterError, "no such adapter"),
    ]:
        with pytest.raises(error, match=text):
            wgpu_rnn.GRU.from_torch(module, **{"device": cpu, **options})


def test_classes_are_made_by_their_methods():
    for made in (wgpu_rnn.LSTM, wgpu_rnn.GRUCell):
        with pytest.raises(TypeError, match="from_torch"):
            made(np.zeros(3), "cpu")


class Counted(torch.nn.Module):
    """Twice the weight in evaluation, and a buffer that counts its calls."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.seen = []

    def forward(self, weight):
        self.seen.append(self.training)
        self.calls += 1
        return 5 * weight if self.training else 2 * weight


@pytest.mark.parametrize("call", ["from_torch", "compare"])
def test_parametrisations_are_evaluated_and_left_as_they_were(cpu, call):
    module = torch.nn.GRUCell(4, 6)
    first, second = Counted(), Counted()
    for name, part in (("weight_hh", first), ("weight_ih", second)):
        torch.nn.utils.parametrize.register_parametrization(module, name, part, unsafe=True)
    module.train()
    second.eval()
    calls, kept = [first.calls.clone(), second.calls.clone()], [first.calls, second.calls]
    first.seen.clear()
    second.seen.clear()
    if call == "compare":
        assert wgpu_rnn.compare(module, cpu).agrees
    else:
        cell = wgpu_rnn.GRUCell.from_torch(module, device=cpu)
    assert set(first.seen) == set(second.seen) == {False}
    assert (module.training, first.training, second.training) == (True, True, False)
    assert first.calls is kept[0] and second.calls is kept[1]
    assert [first.calls, second.calls] == calls
    if call == "from_torch":
        h = torch.ones(2, 6)
        close(cell(X[0], h), module.eval()(X[0], h))


def test_spectral_norm_keeps_its_estimate(cpu):
    module = torch.nn.utils.parametrizations.spectral_norm(torch.nn.GRUCell(4, 6), "weight_hh")
    before = copy.deepcopy(module.state_dict())
    cell = wgpu_rnn.GRUCell.from_torch(module.train(), device=cpu)
    assert module.training
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name
    h = torch.ones(2, 6)
    close(cell(X[0], h), module.eval()(X[0], h))


def test_a_nonlinearity_that_torch_does_not_run_is_refused(cpu):
    module = torch.nn.RNN(4, 6)
    module.nonlinearity = "relu"
    with pytest.raises(OptionError, match="'relu', but torch runs its mode, which is 'RNN_TANH'"):
        wgpu_rnn.RNN.from_torch(module, device=cpu)
    module.mode = "RNN_RELU"
    close(wgpu_rnn.RNN.from_torch(module, device=cpu)(X), module(X))


class OwnOrder(torch.nn.LSTM):
    def permute_hidden(self, hx, permutation):
        return hx


class OwnChecks(torch.nn.LSTM):
    def check_forward_args(self, *arguments):
        return None


def test_methods_that_change_results_are_refused(cpu):
    with pytest.raises(OptionError, match="OwnOrder has its own permute_hidden"):
        wgpu_rnn.LSTM.from_torch(OwnOrder(4, 6), device=cpu)
    module = OwnChecks(4, 6)
    close(wgpu_rnn.LSTM.from_torch(module, device=cpu)(X), module(X))


@pytest.mark.parametrize("kind", ["forward_hook", "forward_pre_hook"])
def test_hooks_of_all_modules_are_refused(cpu, kind):
    def scale(module, *values):
        return None

    module = torch.nn.GRU(4, 6)
    handle = getattr(torch.nn.modules.module, f"register_module_{kind}")(scale)
    try:
        with pytest.raises(OptionError, match="torch has hooks for all modules.*scale"):
            wgpu_rnn.GRU.from_torch(module, device=cpu)
    finally:
        handle.remove()
    wgpu_rnn.GRU.from_torch(module, device=cpu)


def test_weights_of_complex_numbers_are_refused(cpu):
    for call in (
        lambda module: wgpu_rnn.LSTM.from_torch(module, device=cpu),
        lambda module: wgpu_rnn.compare(module, cpu),
    ):
        with pytest.raises(OptionError, match="is torch.complex64") as raised:
            call(torch.nn.LSTM(4, 6).to(torch.complex64))
        assert "float()" not in str(raised.value)
