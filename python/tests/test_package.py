"""The package: stubs, docstrings, the README."""

import ast
import inspect
import re
import shutil
from pathlib import Path

import pytest
from conftest import run_python

import wgpu_rnn
from wgpu_rnn import _native, errors

ROOT = Path(wgpu_rnn.__file__).parent
README = Path(__file__).parents[1] / "README.md"


def stubs():
    """The functions and classes of the stub, by name."""
    tree = ast.parse((ROOT / "_native.pyi").read_text())
    nodes = (ast.FunctionDef, ast.ClassDef)
    return {node.name: node for node in tree.body if isinstance(node, nodes)}


def public(names):
    return {name for name in names if not name.startswith("__")}


def parameters(node):
    """The parameters of a function of the stub, without `self`."""
    return [arg.arg for arg in node.args.args if arg.arg != "self"]


def signature(function):
    return [name for name in inspect.signature(function).parameters if name != "self"]


def test_stubs_and_the_module_have_the_same_names():
    assert set(stubs()) == public(vars(_native)) - {"annotations"}
    for name, node in stubs().items():
        if isinstance(node, ast.ClassDef):
            members = {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
            assert public(members) == public(vars(getattr(_native, name))), name


def functions():
    for name, node in stubs().items():
        if isinstance(node, ast.FunctionDef):
            yield name, node, getattr(_native, name)
        else:
            for part in node.body:
                if isinstance(part, ast.FunctionDef) and not part.name.startswith("__"):
                    yield (
                        f"{name}.{part.name}",
                        part,
                        inspect.getattr_static(getattr(_native, name), part.name),
                    )


def test_stubs_and_the_module_have_the_same_signatures():
    compared = 0
    for name, node, found in functions():
        decorators = {part.id for part in node.decorator_list if isinstance(part, ast.Name)}
        if "property" in decorators:
            assert inspect.isgetsetdescriptor(found), name
            continue
        is_static = isinstance(found, staticmethod)
        assert ("staticmethod" in decorators) == is_static, name
        function = found.__func__ if is_static else found
        assert signature(function) == parameters(node), name
        compared += 1
    assert compared > 40, f"only {compared} signatures were compared"


def test_the_comparer_of_signatures_finds_differences():
    one = ast.parse("def f(self, a, b): ...").body[0]
    assert parameters(one) == ["a", "b"] != signature(lambda a, c: None)


def documented():
    """Each public class and function, and their public methods."""
    for name in wgpu_rnn.__all__:
        value = getattr(wgpu_rnn, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            yield name, value
        if inspect.isclass(value):
            for member, attribute in vars(value).items():
                if not member.startswith("_") or member == "__call__":
                    yield f"{name}.{member}", getattr(attribute, "__func__", attribute)
    yield "assert_matches", wgpu_rnn.testing.assert_matches


def test_everything_public_has_a_docstring_and_types():
    checked = 0
    for name, value in documented():
        if value is _native.Slot or isinstance(value, (str, tuple, type(None))):
            continue
        assert inspect.getdoc(value), f"{name} has no docstring"
        function = value.fget if isinstance(value, property) else value
        if inspect.isfunction(function):
            found = inspect.signature(function)
            assert found.return_annotation is not inspect.Signature.empty, name
            for parameter in list(found.parameters.values()):
                untyped = parameter.annotation is inspect.Parameter.empty
                assert not untyped or parameter.name in ("self", "cls"), f"{name}: {parameter}"
            checked += 1
    assert checked > 60, f"only {checked} functions were checked"


def test_all_names_exist_and_errors_are_builtin_errors():
    assert sorted(set(wgpu_rnn.__all__)) == sorted(wgpu_rnn.__all__)
    assert (ROOT / "py.typed").exists()
    for name in errors.__all__:
        error = getattr(errors, name)
        assert getattr(wgpu_rnn, name) is error
        assert issubclass(error, errors.RnnError), name
        if error is not errors.RnnError:
            assert issubclass(error, (ValueError, RuntimeError, MemoryError)), name
    core = Path(__file__).parents[1] / "src" / "errors.rs"
    used = set(re.findall(r'"(\w+Error)"', core.read_text()))
    assert used and used <= set(errors.__all__), used - set(errors.__all__)


def test_the_snippet_of_the_readme_runs(tmp_path):
    snippets = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.M | re.S)
    assert len(snippets) == 1
    # It reads a model of the checkout, whose folder it runs in.
    (tmp_path / "models").mkdir()
    shutil.copy(README.parents[1] / "models" / "shakespeare.safetensors", tmp_path / "models")
    code = snippets[0] + "\nprint('the end', piece.shape, for_bob.shape, packed_output.data.shape)"
    code += "\nassert classes.shape == (8, 100, 5)"
    ran = run_python("-c", code, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "agrees" in ran.stdout and "DeviceInfo(selector='cpu'" in ran.stdout
    sizes = "torch.Size([3, 2, 16]) torch.Size([16]) torch.Size([107, 128])"
    assert ran.stdout.endswith(f"the end {sizes}\n")


USE = """
from typing import Any

import numpy as np

import wgpu_rnn

Array = np.ndarray[Any, np.dtype[np.float32]]


def use(lstm: wgpu_rnn.LSTM, gru: wgpu_rnn.GRU, cell: wgpu_rnn.LSTMCell, x: Array) -> None:
    output, (h, c) = lstm(x, lengths=[1, 2])
    arrays: list[Array] = [output, h, c, *gru(x), *cell(x, (h, c)), gru.stream()(x)]
    text: str = "".join(wgpu_rnn.LanguageModel.load("model.pt").generate_text("a", max_tokens=3))
    table: wgpu_rnn.Comparison = wgpu_rnn.compare(None, "cpu", x)
    same: wgpu_rnn.GRU = wgpu_rnn.GRU.load("model.pt", device=gru.device)
    wrong: int = gru(x)[0]  # type: ignore[assignment]
    lstm(x, sizes=[1, 2])  # type: ignore[call-overload]
"""


def test_the_snippet_of_the_project_runs(tmp_path):
    text = (README.parents[1] / "README.md").read_text()
    (snippet,) = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    before = "import torch, wgpu_rnn\nmodule, x = torch.nn.LSTM(3, 5), torch.randn(7, 2, 3)\n"
    ran = run_python("-c", before + snippet, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "agrees" in ran.stdout


def test_types_are_sound(tmp_path):
    pytest.importorskip("mypy", reason="mypy checks the types where it is installed")
    (tmp_path / "use.py").write_text(USE)
    for what in (["-p", "wgpu_rnn"], ["use.py"]):
        ran = run_python("-m", "mypy", "--strict", "--no-error-summary", *what, cwd=tmp_path)
        assert ran.returncode == 0, ran.stdout + ran.stderr
