"""Inputs, runs and comparisons for the tests of `examples/ray_batches.py`.

The tests need ray[data] and pyarrow. Where these are missing they are skipped, or fail with
``WGPU_RNN_REQUIRE_RAY=1``.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
    import ray  # noqa: F401
except ImportError as error:
    if os.environ.get("WGPU_RNN_REQUIRE_RAY", "") not in ("", "0"):
        raise
    pytest.skip(f"{error.name} is not installed", allow_module_level=True)

import wgpu_rnn

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
sys.path.insert(0, str(EXAMPLES))
import ray_batches  # noqa: E402
import sequence_files  # noqa: E402

BLOCK = 2000
INPUT, HIDDEN, LONGEST = 4, 8, 24
PREFIX = "encoder."


def write_tensors(path, shapes, rng):
    """Random tensors as safetensors: the length of the header, the header in JSON, values."""
    header, values = {}, b""
    for name, shape in shapes.items():
        data = (rng.standard_normal(shape) * 0.4).astype("<f4").tobytes()
        place = [len(values), len(values) + len(data)]
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": place}
        values += data
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + values)


def write_weights(path, rng):
    """The state dict of nn.LSTM(INPUT, HIDDEN)."""
    gates = 4 * HIDDEN
    shapes = {"weight_ih_l0": (gates, INPUT), "weight_hh_l0": (gates, HIDDEN)}
    shapes |= {"bias_ih_l0": (gates,), "bias_hh_l0": (gates,)}
    write_tensors(path, {PREFIX + name: shape for name, shape in shapes.items()}, rng)


def sequences_table(rows, rng, first=0):
    """A table of `rows` sequences of mixed lengths, with ids from `first` on, and names."""
    lengths = rng.integers(1, LONGEST + 1, rows)
    offsets = np.append(0, np.cumsum(lengths)).astype(np.int32)
    values = rng.standard_normal((offsets[-1], INPUT)).astype(np.float32)
    steps = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), INPUT)
    ids = np.arange(first, first + rows)
    return pa.table(
        {
            "id": ids,
            "name": pa.array([f"recording {i % 100}" for i in ids]),
            "x": pa.ListArray.from_arrays(pa.array(offsets), steps),
        }
    )


def write_inputs(folder, files, rows, rng):
    """Files of `rows` rows each, in two folders, with row groups that no block fits."""
    tables = []
    for number in range(files):
        path = folder / f"day{number // 2}" / f"part{number}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        tables.append(sequences_table(rows, rng, number * rows))
        pq.write_table(tables[-1], path, row_group_size=1500)
    return pa.concat_tables(tables)


def rows_in_turn(net, table, most=1000):
    """The results of a network over `table`: calls of neighbouring rows, in the table's order."""
    last, outputs, lengths = [], [], []
    for begin in range(0, table.num_rows, most):
        chunk = table["x"].slice(begin, most).combine_chunks()
        counts = np.diff(np.asarray(chunk.offsets))
        values = chunk.flatten().flatten().to_numpy().reshape(-1, INPUT)
        valid = np.arange(counts.max()) < counts[:, None]
        inputs = np.zeros((*valid.shape, INPUT), np.float32)
        inputs[valid] = values
        output, (h_n, _) = net(inputs, lengths=counts)
        last.append(h_n[0])
        outputs.append(output[valid])
        lengths.append(counts)
    return np.concatenate(last), np.concatenate(outputs), np.concatenate(lengths)


def read_results(folder):
    """All rows of the output files, in the order of the files' names."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".parquet", ".arrow"))
    tables = []
    for path in paths:
        if path.suffix == ".parquet":
            tables.append(pq.ParquetFile(path).read())
        else:
            with pa.OSFile(str(path)) as file:
                tables.append(pa.ipc.open_file(file).read_all())
    return pa.concat_tables(tables)


def bits(column):
    """The numbers of a column of lists, as integers: equal bits are equal integers."""
    array = column.combine_chunks()
    while pa.types.is_nested(array.type):
        array = array.flatten()
    values = array.to_numpy(zero_copy_only=False)
    return values.view(np.uint32) if values.dtype == np.float32 else values


def assert_same_rows(got, want):
    """Fails with the ids of rows that are lost, doubled, unknown, out of order or altered."""
    got_ids, want_ids = got["id"].to_pylist(), want["id"].to_pylist()
    lost = sorted(set(want_ids) - set(got_ids))
    assert not lost, f"{len(lost)} rows are lost, the first is {lost[0]}"
    unknown = sorted(set(got_ids) - set(want_ids))
    assert not unknown, f"{len(unknown)} rows are unknown, the first is {unknown[0]}"
    doubled = len(got_ids) - len(set(got_ids))
    assert not doubled, f"{doubled} rows are there twice"
    assert got_ids == want_ids, "the rows have another order"
    assert got.column_names == want.column_names, f"columns are {got.column_names}"
    for name in want.column_names:
        if not pa.types.is_nested(want[name].type):
            assert got[name].to_pylist() == want[name].to_pylist(), f"{name} differs"
            continue
        assert got[name].type == want[name].type, f"{name}: {got[name].type}"
        found, wanted = bits(got[name]), bits(want[name])
        assert len(found) == len(wanted), f"{name} has another number of values"
        assert np.array_equal(found, wanted), f"{name}: {np.sum(found != wanted)} values differ"
        if pa.types.is_list(want[name].type):
            offsets = [table[name].combine_chunks().offsets for table in (got, want)]
            assert offsets[0].equals(offsets[1]), f"{name} has other lengths"


@pytest.fixture
def weights(tmp_path, rng):
    path = tmp_path / "weights.safetensors"
    write_weights(path, rng)
    return path


@pytest.fixture
def small(tmp_path, rng):
    """2 files of 2,500 rows: 4 blocks, of 2,000 and 500 rows."""
    return write_inputs(tmp_path / "in", 2, 2500, rng)


@pytest.fixture
def arguments(tmp_path, weights):
    """Makes a command line; a later option replaces an earlier one."""

    def make(*more):
        fixed = ["--input", tmp_path / "in", "--output", tmp_path / "out", "--weights", weights]
        fixed += ["--kind", "lstm", "--prefix", PREFIX, "--device", "cpu", "--schedule", "step"]
        fixed += ["--rows-per-block", BLOCK, "--workers", 0]
        return [str(word) for word in [*fixed, *more]]

    return make


@pytest.fixture
def here(arguments):
    """Runs without Ray, in this process."""
    return lambda *more: ray_batches.run(ray_batches.parser().parse_args(arguments(*more)))


@pytest.fixture
def wanted(weights):
    """Computes results with one network, without the code under test."""

    def compute(table):
        device = wgpu_rnn.Device("cpu")
        net = wgpu_rnn.LSTM.load(weights, PREFIX, device=device, batch_first=True, schedule="step")
        last, output, lengths = rows_in_turn(net, table)
        table = table.select(["id", "name"]).append_column("h_n", sequence_files.vectors(last))
        return table.append_column("output", sequence_files.vector_lists(output, lengths))

    return compute
