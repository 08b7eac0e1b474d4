"""`examples/ray_batches.py` without Ray: columns, results, errors, and runs that go on."""

import fcntl
import os
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

import batch_files
import wgpu_rnn
from batch_files import INPUT, assert_same_rows, pa, pq, read_results
from batch_files import arguments, here, small, wanted, weights  # noqa: F401
from batch_files import ray_batches, sequence_files
from sequence_files import BatchError


def rewrite(tmp_path, table):
    """Replaces all inputs by one file."""
    shutil.rmtree(tmp_path / "in", ignore_errors=True)
    (tmp_path / "in").mkdir()
    pq.write_table(table, tmp_path / "in" / "one.parquet", row_group_size=700)


def with_x(table, values, kind):
    """A table whose sequences are `values` of the type `kind`."""
    where = table.column_names.index("x")
    return table.set_column(where, "x", pa.array(values, kind))


def left_in(folder):
    """All files below a folder, with hidden ones, but not the lock and the manifest."""
    names = (path.name for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in names if name not in (".lock", "_run.json"))


# Results


@pytest.mark.parametrize("file_format", ["parquet", "arrow"])
@pytest.mark.parametrize("rows_per_call", [1, 7, 256])
def test_rows_have_the_bits_of_calls_in_turn(
    tmp_path, small, here, wanted, rows_per_call, file_format
):
    options = ["--results", "h_n", "output", "--format", file_format]
    done = here("--rows-per-call", rows_per_call, *options)
    assert (done["blocks"], done["rows"], done["deaths"]) == (4, 5000, 0)
    assert done["steps"] <= done["computed"]
    assert_same_rows(read_results(tmp_path / "out"), wanted(small))


def test_padding_is_little(small, here):
    done = here("--rows-per-call", 64)
    assert done["steps"] == sum(map(len, small["x"].to_pylist()))
    assert done["computed"] < 1.06 * done["steps"]  # Without sorting it is almost double.


def test_long_sequences_share_no_call():
    lengths = np.array([3, 1 << 20, 2, 1 << 20, 1])
    groups = [rows.tolist() for rows in sequence_files.calls(lengths, 16, 100)]
    assert groups == [[4, 2, 0], [1], [3]]
    assert [len(rows) for rows in sequence_files.calls(np.full(10, 5), 4, 4)] == [4, 4, 2]


FLOAT = pa.float32()
COLUMNS = {
    "lists": pa.list_(pa.list_(FLOAT)),
    "large lists": pa.large_list(pa.large_list(FLOAT)),
    "large lists of vectors": pa.large_list(pa.list_(FLOAT, INPUT)),
    "flat": pa.list_(FLOAT),
    "large and flat": pa.large_list(FLOAT),
}


@pytest.mark.parametrize("kind", COLUMNS.values(), ids=COLUMNS)
def test_every_type_of_column_gives_the_same_rows(tmp_path, small, here, wanted, kind):
    values = small["x"].to_pylist()
    if not pa.types.is_nested(kind.value_type):
        values = [[value for step in row for value in step] for row in values]
    rewrite(tmp_path, with_x(small, values, kind))
    here("--results", "h_n", "output")
    assert_same_rows(read_results(tmp_path / "out"), wanted(small))


def test_half_precision_is_widened(tmp_path, small, here, wanted):
    halves = batch_files.bits(small["x"]).view(np.float32).astype(np.float16)
    lengths = np.array([len(row) for row in small["x"].to_pylist()])
    flat = [row.ravel() for row in np.split(halves.reshape(-1, INPUT), np.cumsum(lengths)[:-1])]
    rewrite(tmp_path, with_x(small, flat, pa.list_(pa.float16())))
    here()
    widened = sequence_files.vector_lists(halves.astype(np.float32).reshape(-1, INPUT), lengths)
    table = small.set_column(2, "x", widened)
    assert_same_rows(read_results(tmp_path / "out"), wanted(table).drop(["output"]))


def test_arrow_files_and_slices_of_them(tmp_path, small, here, wanted):
    shutil.rmtree(tmp_path / "in")
    (tmp_path / "in").mkdir()
    with pa.ipc.new_file(str(tmp_path / "in" / "one.arrow"), small.schema) as writer:
        writer.write_table(small, max_chunksize=900)
    here("--rows-per-block", 1234, "--results", "h_n", "output")
    assert_same_rows(read_results(tmp_path / "out"), wanted(small))


def test_states_have_the_order_of_pytorch(tmp_path, rng, here, weights):
    sizes = {"hidden": 3, "layers": 2, "directions": 2}
    tensors = {}
    for layer in range(sizes["layers"]):
        for ending in ("", "_reverse"):
            width = INPUT if layer == 0 else 6
            for name, shape in ("ih", (12, width)), ("hh", (12, 3)):
                tensors[f"weight_{name}_l{layer}{ending}"] = shape
                tensors[f"bias_{name}_l{layer}{ending}"] = (12,)
    batch_files.write_tensors(weights, tensors, rng)
    table = batch_files.sequences_table(50, rng)
    rewrite(tmp_path, table)
    here("--prefix", "", "--results", "c_n", "h_n", "output")
    got = read_results(tmp_path / "out").to_pydict()
    net = wgpu_rnn.LSTM.load(weights, device="cpu", batch_first=True, schedule="step")
    for row, x in enumerate(table["x"].to_pylist()):
        output, (h_n, c_n) = net(np.array([x], np.float32))
        assert np.array_equal(np.float32(got["h_n"][row]), h_n.ravel())  # [L * D, 1, H]
        assert np.array_equal(np.float32(got["c_n"][row]), c_n.ravel())
        assert np.array_equal(np.float32(got["output"][row]), output[0])


# Errors


def test_errors_of_the_column_come_before_any_work(tmp_path, small, here):
    for table, text in [
        (small.drop(["x"]), "no column 'x', found id, name"),
        (small.set_column(2, "x", small["id"]), "expected list<fixed_size_list<float>[4]>"),
        (with_x(small, [[[0.0] * 4]] * 5000, pa.list_(pa.list_(pa.float64()))), "found list<"),
        (with_x(small, [[[0.0] * 5]] * 5000, pa.list_(pa.list_(FLOAT, 5))), "found 5"),
        (small.rename_columns(["id", "h_n", "x"]), "the result 'h_n' is also a column"),
    ]:
        rewrite(tmp_path, table)
        with pytest.raises(BatchError, match=r"one\.parquet") as error:
            here()
        assert text in str(error.value)
        assert not (tmp_path / "out").exists()
    with pytest.raises(BatchError, match="no column 'day', found id"):
        here("--keep", "id", "day")


def test_errors_of_a_row_name_it_and_leave_no_part_of_its_block(tmp_path, small, here):
    sequences = small["x"].to_pylist()
    flat = [[value for step in row for value in step] for row in sequences]
    lists = pa.list_(pa.list_(FLOAT))
    for values, kind, bad, text in [
        (sequences, lists, [[0.0] * 4, [0.0] * 3], "ragged features: a time step should have 4"),
        (sequences, lists, [None, [0.0] * 4], "a time step is null"),
        (sequences, lists, [[0.0, 0.0, None, 0.0]], "a value is null"),
        (sequences, lists, [], "the sequence is empty"),
        (sequences, lists, None, "the sequence is null"),
        (flat, pa.list_(FLOAT), [0.0] * 7, "expected T * 4 values"),
    ]:
        changed = list(values)
        changed[3456] = bad
        rewrite(tmp_path, with_x(small, changed, kind))
        with pytest.raises(BatchError, match=r"one\.parquet, row 3456: ") as error:
            here()
        assert text in str(error.value)
        # The block before it is whole, and nothing else is there.
        assert left_in(tmp_path / "out") == ["one-000000000000-000000002000.parquet"]
        shutil.rmtree(tmp_path / "out")


def test_errors_of_weights_come_before_any_work(tmp_path, small, here, weights):
    with pytest.raises(ValueError, match="decoder"):
        here("--prefix", "decoder.")
    with pytest.raises(ValueError, match="(?i)gru"):
        here("--kind", "gru")
    weights.write_bytes(b"no weights")
    with pytest.raises(ValueError, match="weights.safetensors"):
        here()
    with pytest.raises(OSError, match="none.pt"):
        here("--weights", tmp_path / "none.pt")
    assert not (tmp_path / "out").exists()


def test_errors_of_files_and_folders(tmp_path, small, here):
    with pytest.raises(BatchError, match="none: no such file"):
        here("--input", tmp_path / "none")
    with pytest.raises(BatchError, match="no file ends with .parquet"):
        (tmp_path / "empty").mkdir()
        here("--input", tmp_path / "empty")
    with pytest.raises(BatchError, match="would share their output files"):
        here("--input", tmp_path / "in" / "day0", tmp_path / "in" / "day0" / "part0.parquet")
    (tmp_path / "in" / "day0" / "part2.parquet").write_bytes(b"PAR1 but nothing more")
    with pytest.raises(BatchError, match="part2.parquet: cannot be read"):
        here()
    pq.write_table(small.drop(["name"]), tmp_path / "in" / "day0" / "part2.parquet")
    with pytest.raises(BatchError, match=r"part2.parquet: no column 'name', found id, x"):
        here()


def test_options_are_checked(here, small, capsys):
    with pytest.raises(BatchError, match="a network of --kind gru has no c_n"):
        here("--kind", "gru", "--results", "c_n")
    with pytest.raises(BatchError, match="--device gpu is a worker's on Ray"):
        here("--device", "gpu")
    for option, value in ("--rows-per-block", 0), ("--rows-per-call", "many"), ("--workers", -1):
        with pytest.raises(SystemExit):
            here(option, value)
        assert f"argument {option}: expected a number from" in capsys.readouterr().err


def test_a_failed_write_leaves_nothing(tmp_path, small, here, monkeypatch):
    def half(table, file, **options):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", half)
    with pytest.raises(OSError, match="No space"):
        here()
    assert left_in(tmp_path / "out") == []
    monkeypatch.undo()
    assert here()["blocks"] == 4


# Runs that go on


def test_a_second_run_computes_what_is_missing(tmp_path, small, here, wanted):
    assert here()["blocks"] == 4
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.parquet")}
    gone = tmp_path / "out" / "day0" / "part0-000000002000-000000002500.parquet"
    gone.unlink()
    left = tmp_path / "out" / ".attempts" / gone.name / "host-1-0.parquet"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half of it")
    done = here()
    assert (done["blocks"], done["skipped"], done["rows"], done["deaths"]) == (1, 3, 500, 0)
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.parquet")}
    assert [path for path in before if before[path] != after[path]] == [gone]
    assert len(left_in(tmp_path / "out")) == 4
    assert_same_rows(read_results(tmp_path / "out"), wanted(small).drop(["output"]))


def test_a_folder_takes_more_inputs_and_no_other_run(tmp_path, rng, small, here, weights):
    here()
    more = batch_files.sequences_table(300, rng, 5000)
    pq.write_table(more, tmp_path / "in" / "day0" / "part2.parquet")
    done = here()
    assert (done["blocks"], done["skipped"], done["rows"]) == (1, 4, 300)
    for option, name in [
        (("--rows-per-block", 1000), "rows_per_block"),
        (("--keep", "id"), "keep"),
        (("--results", "output"), "results"),
        (("--schedule", "auto"), "schedule"),
        (("--device", "auto"), "device"),
    ]:
        with pytest.raises(BatchError, match=f"made with another {name}"):
            here(*option)
    batch_files.write_weights(weights, rng)
    with pytest.raises(BatchError, match="made with another weights"):
        here()


def test_a_folder_refuses_changed_inputs_and_foreign_files(tmp_path, small, here):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("not of a run")
    with pytest.raises(BatchError, match="choose an empty folder"):
        here("--output", tmp_path / "other")
    here()
    pq.write_table(small.slice(0, 2400), tmp_path / "in" / "day0" / "part1.parquet")
    with pytest.raises(BatchError, match="the input 'day0/part1' has changed"):
        here()


def test_two_runs_do_not_share_a_folder(tmp_path, small, here):
    here()
    with open(tmp_path / "out" / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BatchError, match="another run writes to it"):
            here()
    assert here()["skipped"] == 4


# Devices


def test_an_adapter_by_name_agrees_with_the_cpu(tmp_path, small, here, wanted, open_device):
    adapter = open_device("llvmpipe")
    here("--device", adapter.name, "--results", "h_n", "output")
    got, want = read_results(tmp_path / "out"), wanted(small)
    assert got["id"].equals(want["id"])
    for name in ("h_n", "output"):
        found, expected = (batch_files.bits(table[name]).view(np.float32) for table in (got, want))
        np.testing.assert_allclose(found, expected, rtol=1.3e-6, atol=1e-5)


def test_a_lost_device_ends_its_worker(tmp_path, small, arguments, monkeypatch):
    class Lost(ray_batches.Network):
        def run(self, inputs, lengths):
            raise wgpu_rnn.errors.DeviceLostError("the device is lost")

    options = ray_batches.parser().parse_args(arguments())
    blocks, _, columns = ray_batches.plan(options, INPUT)
    ends = []
    monkeypatch.setattr(os, "_exit", lambda status: ends.append(status))
    actor = ray_batches.Actor(Lost, options, columns)
    for _ in range(options.retries + 1):
        assert actor(blocks[0]) is None
    assert ends == [1] * (options.retries + 1)
    assert "4 workers died while they computed" in actor(blocks[0])["error"]


@pytest.mark.parametrize("number, selector", [("0", "1"), ("1", "3"), ("2", None), ("GPU-7", None)])
def test_a_worker_takes_the_gpu_of_its_number(monkeypatch, number, selector):
    import ray

    kinds = [("0", "llvmpipe", "vulkan", True), ("1", "H100", "vulkan", False)]
    kinds += [("2", "H100", "gl", False), ("3", "H100", "vulkan", False), ("cpu",) * 3 + (False,)]
    listed = [
        SimpleNamespace(selector=s, name=n, backend=b, is_software=soft) for s, n, b, soft in kinds
    ]
    monkeypatch.setattr(wgpu_rnn, "devices", lambda: listed)
    context = SimpleNamespace(get_accelerator_ids=lambda: {"GPU": [number]})
    monkeypatch.setattr(ray, "get_runtime_context", lambda: context)
    options = SimpleNamespace(device="gpu", cpus=1)
    if selector:
        assert ray_batches.worker_device(options).selector == selector
    else:
        with pytest.raises(BatchError, match=f"GPU {number}, and wgpu lists 2"):
            ray_batches.worker_device(options)
    assert ray_batches.worker_device(SimpleNamespace(device="llvmpipe")) == "llvmpipe"


# The comparison


def test_the_comparison_finds_what_is_wrong(small, wanted):
    want = wanted(small)
    assert_same_rows(want, want)
    altered = batch_files.bits(want["h_n"]).copy()
    altered[1234] ^= 1  # the last bit of one value
    vectors = sequence_files.vectors(altered.view(np.float32).reshape(5000, -1))
    where = want.column_names.index("h_n")
    names = want["name"].to_pylist()
    names[7] = "another"
    for got, text in [
        (pa.concat_tables([want.slice(0, 70), want.slice(71)]), "1 rows are lost, the first is 70"),
        (pa.concat_tables([want, want.slice(9, 1)]), "1 rows are there twice"),
        (pa.concat_tables([want.slice(1), want.slice(0, 1)]), "another order"),
        (want.set_column(0, "id", pa.array(np.arange(1, 5001))), "are lost"),
        (want.set_column(1, "name", pa.array(names)), "name differs"),
        (want.set_column(where, "h_n", vectors), "h_n: 1 values differ"),
        (want.drop(["output"]), "columns are"),
    ]:
        with pytest.raises(AssertionError, match=text):
            assert_same_rows(got, want)
