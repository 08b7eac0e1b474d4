"""Objects of the package: how they are made, and that they stay in their process."""

import copy
import pickle

import pytest
import torch

import wgpu_rnn

MADE = {
    wgpu_rnn.LSTM: r"make a network by LSTM.from_torch\(module\)",
    wgpu_rnn.GRUCell: r"make a cell by GRUCell.from_torch\(module\)",
    wgpu_rnn.Stream: r"make a stream by the method stream\(\) of a network",
    wgpu_rnn.CellStream: r"make a stream by the method stream\(\) of a network or a cell",
    wgpu_rnn.Network: "make a network by Sequential",
    wgpu_rnn.NetworkStream: r"make a stream by the method stream\(\) of a network",
    wgpu_rnn.Pool: r"make a pool by the method pool\(\) of a network",
    wgpu_rnn.LanguageModel: r"make a model by LanguageModel.load\(path\)",
    wgpu_rnn.StateDict: r"use StateDict.open\(path\)",
}


@pytest.mark.parametrize("made", MADE, ids=lambda made: made.__name__)
def test_classes_say_how_their_objects_are_made(made):
    for arguments in ((), (1,), (1, 1), (4, 6, 2), (None, None, None, None)):
        with pytest.raises(TypeError, match=MADE[made]):
            made(*arguments)
    with pytest.raises(TypeError, match=MADE[made]):
        made(input_size=4, hidden_size=6)


def test_objects_stay_in_their_process(cpu):
    gru = torch.nn.GRU(4, 6)
    net = wgpu_rnn.GRU.from_torch(gru, device=cpu)
    cell = wgpu_rnn.GRUCell.from_torch(torch.nn.GRUCell(4, 6), device=cpu)
    network = wgpu_rnn.Sequential(4).rnn("").from_state_dict(gru.state_dict(), device=cpu)
    again, carried = "load it again, from its", "give it the state"
    for one, text in [
        (net, again),
        (cell, again),
        (network, again),
        (net.stream(), carried),
        (cell.stream(), carried),
        (net.pool(1), "carry states"),
        (network.stream(), carried),
        (cpu, "open it by its name in the process"),
        (wgpu_rnn.StateDict.from_mapping(gru.state_dict()), "open its file in the process"),
    ]:
        name = f"a wgpu_rnn.{type(one).__name__} cannot be copied or pickled"
        for call in (pickle.dumps, copy.deepcopy, copy.copy):
            with pytest.raises(TypeError, match=f"{name}.*: .*{text}"):
                call(one)


def test_entries_and_comparisons_travel(cpu):
    info = wgpu_rnn.devices()[-1]
    assert pickle.loads(pickle.dumps(info)) == info
    comparison = wgpu_rnn.compare(torch.nn.GRU(4, 6), cpu)
    assert copy.deepcopy(comparison) == pickle.loads(pickle.dumps(comparison)) == comparison
