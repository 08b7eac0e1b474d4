"""Files, state dicts and their errors."""

import io
import json
import os

import numpy as np
import pytest
import torch
from conftest import close

import wgpu_rnn
from wgpu_rnn import StateDict
from wgpu_rnn._state_dict import _bytes, _safetensors

X = torch.linspace(-1, 1, 24).reshape(3, 2, 4)


def save_file(tensors, path):
    """Writes a file of safetensors."""
    path.write_bytes(_safetensors([(name, *_bytes(name, t)) for name, t in tensors.items()]))


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = torch.nn.LSTM(4, 6, 2, batch_first=True)
        self.norm = torch.nn.BatchNorm1d(6)
        self.cell = torch.nn.RNNCell(4, 6, nonlinearity="relu")


@pytest.fixture
def model():
    return Model().eval()


def test_files_of_torch_save(cpu, model, tmp_path):
    path = tmp_path / "model.pt"
    torch.save({"epoch": 3, "net": model.state_dict()}, path)
    net = wgpu_rnn.LSTM.load(path, "encoder.", device=cpu, batch_first=True)
    close(net(X), model.encoder(X))
    again = wgpu_rnn.LSTM.load(str(path), "encoder.", device=cpu, key="net", batch_first=True)
    close(again(X), model.encoder(X))
    cell = wgpu_rnn.RNNCell.load(path, "cell.", device=cpu, nonlinearity="relu")
    close(cell(X[0]), model.cell(X[0]))


def test_one_state_dict_serves_several_networks(cpu, model, tmp_path):
    torch.save(model.state_dict(), tmp_path / "model.pt")
    weights = StateDict.open(tmp_path / "model.pt")
    assert "encoder.weight_ih_l0" in weights and "encoder" not in weights
    assert weights.shape("encoder.weight_ih_l1") == (24, 6) and weights.shape("x") is None
    assert weights.dtype("norm.num_batches_tracked") == "I64"
    assert len(weights) == len(model.state_dict()) and "PyTorch" in repr(weights)
    np.testing.assert_array_equal(
        weights.tensor("cell.bias_hh"), model.cell.bias_hh.detach().numpy()
    )
    renamed = weights.renamed({"encoder.": "rnn."})
    net = wgpu_rnn.LSTM.load(renamed, "rnn.", device=cpu, batch_first=True)
    close(net(X), model.encoder(X))
    with pytest.raises(TypeError, match="key= belongs to a path"):
        wgpu_rnn.LSTM.load(weights, "encoder.", device=cpu, key="net")


def test_mappings_of_tensors_and_of_arrays(cpu, model):
    tensors = model.state_dict()
    net = wgpu_rnn.LSTM.from_state_dict(tensors, "encoder.", device=cpu, batch_first=True)
    close(net(X), model.encoder(X))
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    net = wgpu_rnn.LSTM.from_state_dict(arrays, "encoder.", device=cpu, batch_first=True)
    close(net(X), model.encoder(X))
    big = {name: array.astype(array.dtype.newbyteorder(">")) for name, array in arrays.items()}
    net = wgpu_rnn.LSTM.from_state_dict(big, "encoder.", device=cpu, batch_first=True)
    close(net(X), model.encoder(X))


def test_safetensors_and_shards(cpu, model, tmp_path):
    data = StateDict.from_mapping(model.encoder.state_dict())
    assert data.names == sorted(model.encoder.state_dict())
    tensors = model.encoder.state_dict()
    save_file(tensors, tmp_path / "whole.safetensors")
    names = list(tensors)
    parts = {"a.safetensors": names[:3], "b.safetensors": names[3:]}
    for file, some in parts.items():
        save_file({name: tensors[name] for name in some}, tmp_path / file)
    index = {"weight_map": {name: file for file, some in parts.items() for name in some}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    paths = [tmp_path / file for file in parts]
    for path in (tmp_path / "whole.safetensors", paths, tmp_path / "model.safetensors.index.json"):
        net = wgpu_rnn.LSTM.load(path, device=cpu, batch_first=True)
        close(net(X), model.encoder(X))


def test_errors_of_files(cpu, tmp_path):
    with pytest.raises(FileNotFoundError) as raised:
        wgpu_rnn.LSTM.load(tmp_path / "missing.pt", device=cpu)
    assert raised.value.filename == str(tmp_path / "missing.pt") and raised.value.errno == 2
    with pytest.raises(wgpu_rnn.FileError, match="the folder has none of"):
        wgpu_rnn.LSTM.load(tmp_path, device=cpu)
    (tmp_path / "text.pt").write_text("no tensors")
    with pytest.raises(wgpu_rnn.FileError, match="text.pt"):
        wgpu_rnn.LSTM.load(tmp_path / "text.pt", device=cpu)
    torch.save({"a": {"w": X}, "b": {"w": X}}, tmp_path / "two.pt")
    with pytest.raises(wgpu_rnn.FileError, match="a, b"):
        StateDict.open(tmp_path / "two.pt")


def test_errors_of_state_dicts(cpu, model):
    tensors = dict(model.state_dict())
    load = wgpu_rnn.LSTM.from_state_dict
    with pytest.raises(
        wgpu_rnn.NoRecurrentWeightsError, match="recurrent weights are under: cell., encoder."
    ):
        load(tensors, "decoder.", device=cpu)
    with pytest.raises(wgpu_rnn.StateDictError, match='Unexpected key.*"cell.weight_hh"'):
        wgpu_rnn.RNNCell.from_state_dict(
            {
                **tensors,
                "weight_ih": tensors["cell.weight_ih"],
                "weight_hh": tensors["cell.weight_hh"],
            },
            device=cpu,
        )
    missing = {name: t for name, t in tensors.items() if name != "encoder.bias_hh_l1"}
    with pytest.raises(ValueError, match='Missing key.*"encoder.bias_hh_l1"'):
        load(missing, "encoder.", device=cpu)
    wrong = {**tensors, "encoder.bias_hh_l1": X}
    with pytest.raises(ValueError, match="size mismatch for encoder.bias_hh_l1"):
        load(wrong, "encoder.", device=cpu)
    double = {name: t.double() for name, t in tensors.items()}
    with pytest.raises(ValueError, match=r"found F64, .*tensor.to\(torch.float32\)"):
        load(double, "encoder.", device=cpu)
    with pytest.raises(wgpu_rnn.NoRecurrentWeightsError, match="those of LSTM, not of GRU"):
        wgpu_rnn.GRU.from_state_dict(tensors, "encoder.", device=cpu)
    for value, text in [(3.0, "should be a torch tensor or a numpy array"), (X.to("meta"), "meta")]:
        with pytest.raises((TypeError, ValueError), match=text):
            load({"weight_ih_l0": value}, device=cpu)
    with pytest.raises(TypeError, match="expected float32"):
        load({"weight_ih_l0": X.to(torch.complex64)}, device=cpu)
    for call in (load, wgpu_rnn.LSTM.load):
        with pytest.raises(TypeError, match="prefix should be a str, got int"):
            call(StateDict.from_mapping(tensors), 3, device=cpu)
    with pytest.raises(TypeError, match="key should be a str, got int"):
        StateDict.open("model.pt", key=3)
    with pytest.raises(TypeError, match="a mapping from names to tensors, got list"):
        load([1], device=cpu)
    with pytest.raises(TypeError, match="from_state_dict"):
        wgpu_rnn.LSTM.load(tensors, device=cpu)


def test_unused_tensors_are_an_error_or_a_warning(cpu, model, caplog):
    tensors = {**model.encoder.state_dict(), "attention.weight": X}
    with pytest.raises(wgpu_rnn.StateDictError, match="attention.weight"):
        wgpu_rnn.LSTM.from_state_dict(tensors, device=cpu)
    with caplog.at_level("WARNING", "wgpu_rnn"):
        net = wgpu_rnn.LSTM.from_state_dict(
            tensors, device=cpu, batch_first=True, allow_unused=True
        )
    assert "attention.weight" in caplog.text
    close(net(X), model.encoder(X))


def test_folded_weights(cpu, tmp_path):
    module = torch.nn.utils.weight_norm(torch.nn.GRU(4, 6), "weight_hh_l0")
    torch.save(module.state_dict(), tmp_path / "norm.pt")
    with pytest.raises(wgpu_rnn.StateDictError, match="weight_hh_l0_g"):
        wgpu_rnn.GRU.load(tmp_path / "norm.pt", device=cpu)
    folded = StateDict.open(tmp_path / "norm.pt").folded()
    close(wgpu_rnn.GRU.load(folded, device=cpu)(X), module(X))


@pytest.mark.parametrize(
    "path, text",
    [
        (b"ok.pt", "path should be a path, .* got bytes; os.fsdecode"),
        (None, "path should be a path, which is a str or a pathlib.Path, got NoneType$"),
        (0, "path should be a path, .* got int$"),
        (io.BytesIO(), "path should be a path, .* got _io.BytesIO; pass the path of the file"),
        ([b"ok.pt"], r"path\[0\] should be a path, .* got bytes; os.fsdecode"),
        (["ok.pt", None], r"path\[1\] should be a path, .* got NoneType"),
    ],
)
def test_what_is_no_path_is_refused(cpu, path, text):
    for call in (StateDict.open, lambda path: wgpu_rnn.LSTM.load(path, device=cpu)):
        with pytest.raises(TypeError, match=text):
            call(path)


def test_paths_of_bytes_are_refused(tmp_path):
    class Bytes(os.PathLike):
        def __fspath__(self):
            return b"ok.pt"

    with pytest.raises(TypeError, match=r"got .*Bytes; os.fsdecode\(\) makes"):
        StateDict.open(Bytes())
    torch.save({"weight": X}, tmp_path / "words.pt")
    with pytest.raises(TypeError, match="vocabulary should be a path, .* got bytes"):
        wgpu_rnn.LanguageModel.load(tmp_path / "words.pt", device="cpu", vocabulary=b"words.txt")


def test_names_of_tensors_are_checked(cpu):
    for tensors, error, text in [
        ({1: X}, TypeError, "the name of a tensor is a str, got 1, int"),
        ({"__metadata__": X}, wgpu_rnn.OptionError, "cannot have the name __metadata__"),
    ]:
        with pytest.raises(error, match=text):
            wgpu_rnn.LSTM.from_state_dict(tensors, device=cpu)


def test_negated_tensors_have_their_values(cpu, model):
    tensors = model.encoder.state_dict()
    for dtype in (torch.float32, torch.bfloat16):
        negated = StateDict.from_mapping({"w": torch._neg_view(X.to(dtype))})
        np.testing.assert_array_equal(negated.tensor("w"), -X.to(dtype).float().numpy())
    views = {name: torch._neg_view(-tensor) for name, tensor in tensors.items()}
    net = wgpu_rnn.LSTM.from_state_dict(views, device=cpu, batch_first=True)
    close(net(X), model.encoder(X))


def test_options_are_bools(cpu, model):
    tensors = model.encoder.state_dict()
    load = wgpu_rnn.LSTM.from_state_dict
    for name in ("batch_first", "allow_unused"):
        for value in ("False", 1, None) if name == "allow_unused" else ("False", 1):
            with pytest.raises(TypeError, match=f"{name} should be a bool, got"):
                load(tensors, device=cpu, **{name: value})
    assert load(tensors, device=cpu, batch_first=np.bool_(True)).config["batch_first"] is True
