"""compare() and assert_matches() find what is wrong, and nothing else."""

import dataclasses
import math

import numpy as np
import pytest
import torch

import wgpu_rnn
from wgpu_rnn._comparison import compare_arrays
from wgpu_rnn.testing import assert_matches

MODULES = {
    "lstm": lambda: torch.nn.LSTM(4, 6, 2, batch_first=True, bidirectional=True, proj_size=3),
    "gru": lambda: torch.nn.GRU(4, 6),
    "rnn": lambda: torch.nn.RNN(4, 6, nonlinearity="relu", bias=False),
    "lstm-cell": lambda: torch.nn.LSTMCell(4, 6),
    "gru-cell": lambda: torch.nn.GRUCell(4, 6),
    "rnn-cell": lambda: torch.nn.RNNCell(4, 6, nonlinearity="relu"),
}


@pytest.mark.parametrize("kind", MODULES)
def test_devices_match(device, kind):
    module = MODULES[kind]()
    assert_matches(module, device)
    comparison = wgpu_rnn.compare(module, device)
    assert comparison.agrees and dataclasses.is_dataclass(comparison)
    names = ["h", "c"] if "cell" in kind else ["output", "h_n", "c_n"]
    assert [t.name for t in comparison.tensors] == names[: 3 if "lstm" in kind else -1]
    for tensor in comparison.tensors:
        # Both are near the definition in float64, and neither is it.
        assert 0 <= tensor.max_abs < 1e-6 and 0 < tensor.got_error < 1e-6 > tensor.want_error > 0
    table = str(comparison)
    assert str(module) in table and "agrees (atol 1e-05" in table and "does not" not in table
    assert all(len(line) > 10 for line in table.splitlines())


def test_the_definition_is_left_out_where_it_is_slow_or_unwanted(cpu, monkeypatch):
    module = torch.nn.GRU(4, 6)

    def errors(**options):
        tensors = wgpu_rnn.compare(module, cpu, **options).tensors
        return {tensor.got_error is None for tensor in tensors}

    assert errors() == {False} and errors(definition=False) == {True}
    monkeypatch.setattr(wgpu_rnn._compare, "_QUICK", 100)
    assert errors() == {True} and errors(definition=True) == {False}
    assert "  -" in str(wgpu_rnn.compare(module, cpu))


def test_states_lengths_and_packed_inputs(cpu, rng):
    module = torch.nn.LSTM(4, 6, batch_first=True)
    x = rng.normal(size=(3, 5, 4)).astype("f4")
    h = rng.normal(size=(1, 3, 6)).astype("f4")
    assert_matches(module, cpu, input=x, state=(h, h))
    assert_matches(module, cpu, input=torch.from_numpy(x), lengths=[2, 5, 1])
    rows = [torch.from_numpy(row[:n]) for row, n in zip(x, (2, 5, 1))]
    packed = torch.nn.utils.rnn.pack_sequence(rows, enforce_sorted=False)
    assert wgpu_rnn.compare(module, cpu, packed).agrees
    assert wgpu_rnn.compare(module, cpu, x[0]).tensors[0].shape == (5, 6)
    assert_matches(module, cpu, weights="f16", atol=1e-2)
    with pytest.raises(AssertionError):
        assert_matches(module, cpu, weights="f16")


def test_the_module_is_evaluated_and_left_in_its_mode(cpu):
    module = torch.nn.LSTM(4, 6, 3, dropout=0.9).train()
    before = torch.get_rng_state()
    assert_matches(module, cpu)
    assert module.training and torch.equal(torch.get_rng_state(), before)
    module.eval()
    assert_matches(module, cpu)
    assert not module.training
    with pytest.raises(wgpu_rnn.ShapeError):
        wgpu_rnn.compare(module.train(), cpu, np.zeros((3, 2, 5), np.float32))
    assert module.training


@pytest.mark.parametrize("kind", MODULES)
def test_an_altered_weight_is_found(cpu, kind):
    module = MODULES[kind]()
    cell = "cell" in kind
    made = getattr(wgpu_rnn, type(module).__name__)
    net = made.from_torch(module, device=cpu)
    assert_matches(module, net=net)
    with torch.no_grad():
        name = "weight_hh" if cell else "weight_ih_l0"
        getattr(module, "weight_ih" if cell else name)[3, 2] += 0.01
    with pytest.raises(AssertionError) as raised:
        assert_matches(module, net=net)
    first, *table = str(raised.value).splitlines()
    assert "expected" in first and "out of tolerance" in first
    assert "does not agree" in table[-1] and "want" in table[1]


def test_nan_is_found(cpu):
    module = torch.nn.GRU(4, 6)
    net = wgpu_rnn.GRU.from_torch(module, device=cpu)
    with torch.no_grad():
        module.weight_hh_l0[0, 0] = math.nan
    comparison = wgpu_rnn.compare(module, net=net)
    assert not comparison.agrees and comparison.tensors[0].max_abs == math.inf
    assert math.isnan(comparison.worst.want) and not math.isnan(comparison.worst.got)
    with pytest.raises(AssertionError, match="expected nan"):
        assert_matches(module, net=net)
    # The same NaN on both sides agrees.
    assert_matches(module, cpu)


def test_the_comparer_of_arrays():
    def compared(got, want, **kw):
        got, want = np.asarray(got, np.float32), np.asarray(want, np.float32)
        return compare_arrays("y", got, want, kw.get("atol", 1e-5), kw.get("rtol", 1.3e-6))

    nan, inf = math.nan, math.inf
    for got, want in [([1, nan, inf], [1, nan, inf]), ([], []), ([2.00001], [2]), ([0.0], [-0.0])]:
        assert compared(got, want).agrees, (got, want)
    for got, want in [
        ([1.0, 2.00002], [1.0, 2.0]),
        ([nan], [1.0]),
        ([1.0], [nan]),
        ([inf], [-inf]),
        ([inf], [3e38]),
        ([3e38], [inf]),
        ([0.0, 0.0], [0.5, 0.0]),
        ([1.0], [1.0, 1.0]),
        ([[1.0]], [1.0]),
    ]:
        assert not compared(got, want).agrees, (got, want)
    worst = compared([[0, 1, 5], [0, 0, 0.5]], [[0, 1, 5.001], [0, 0, 0]])
    assert (worst.index, worst.got, worst.want, worst.mismatches) == ((1, 2), 0.5, 0.0, 2)
    assert worst.max_abs == 0.5 and worst.max_rel == pytest.approx(0.001 / 5.001, rel=1e-3)
    assert not compared([1.0], [1.0000001], atol=0.0, rtol=0.0).agrees
    wrong = compare_arrays("y", np.zeros((2, 3)), np.zeros((3, 2)), 1e-5, 1e-6)
    whole = wgpu_rnn.Comparison("m", "d", 1e-5, 1e-6, (wrong,))
    assert whole.worst is wrong and "y has shape [2, 3], not [3, 2]" in str(whole)


def test_what_is_not_a_module_is_refused(cpu):
    for module, error, text in [
        (torch.nn.Linear(4, 6), TypeError, "takes a torch.nn.LSTM, GRU, RNN or one of their cells"),
        ("lstm", TypeError, "takes a module of torch.nn, got str"),
        (torch.nn.LSTM(4, 6).half(), wgpu_rnn.OptionError, "runs the module in float32"),
    ]:
        for call in (wgpu_rnn.compare, assert_matches):
            with pytest.raises(error, match=text):
                call(module, cpu)
    net = wgpu_rnn.GRU.from_torch(torch.nn.GRU(4, 6), device=cpu)
    with pytest.raises(TypeError, match="net should be a wgpu_rnn.LSTM"):
        wgpu_rnn.compare(torch.nn.LSTM(4, 6), net=net)


@pytest.mark.parametrize("name", ["atol", "rtol"])
@pytest.mark.parametrize(
    "value, error", [(math.nan, 0), (math.inf, 0), (-1e-9, 0), ("1", 1), (None, 1), (True, 1)]
)
def test_tolerances_that_nothing_exceeds_are_refused(cpu, name, value, error):
    module = torch.nn.GRU(4, 6)
    expected = [(wgpu_rnn.OptionError, "a finite number of at least 0"), (TypeError, "a number")]
    kind, text = expected[error]
    for call in (wgpu_rnn.compare, assert_matches):
        with pytest.raises(kind, match=f"{name} should be {text}"):
            call(module, cpu, **{name: value})
    assert wgpu_rnn.compare(module, cpu, **{name: np.float32(1)}).agrees


def test_nothing_to_compare_is_refused(cpu):
    for module, shape in [(torch.nn.GRU(4, 6), (3, 0, 4)), (torch.nn.GRUCell(4, 6), (0, 4))]:
        with pytest.raises(wgpu_rnn.OptionError, match=r"nothing to compare in .* shape \[\d, "):
            assert_matches(module, cpu, input=np.zeros(shape, np.float32))


def test_calls_that_do_not_fit_are_refused(cpu):
    cell, module = torch.nn.LSTMCell(4, 6), torch.nn.LSTM(4, 6)
    packed = torch.nn.utils.rnn.pack_sequence([torch.ones(3, 4)])
    for call, error, text in [
        (lambda: wgpu_rnn.compare(cell, cpu, lengths=[1]), wgpu_rnn.OptionError, "one step.*lengt"),
        (lambda: wgpu_rnn.compare(cell, cpu, packed), wgpu_rnn.OptionError, "is a PackedSequence"),
        (
            lambda: wgpu_rnn.compare(module, cpu, packed, lengths=[3]),
            wgpu_rnn.OptionError,
            "a PackedSequence has its own lengths",
        ),
        (lambda: wgpu_rnn.compare(module, cpu, definition=1), TypeError, "should be a bool"),
    ]:
        with pytest.raises(error, match=text):
            call()


def test_the_table_speaks_of_the_definition_only_where_it_ran(cpu):
    module = torch.nn.GRU(4, 6)
    assert "float64" in str(wgpu_rnn.compare(module, cpu))
    assert "float64" not in str(wgpu_rnn.compare(module, cpu, definition=False))
