"""`examples/ray_batches.py` on Ray: what is left when workers and programs die."""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

import batch_files
from batch_files import EXAMPLES, assert_same_rows, pa, pq, read_results
from batch_files import arguments, here, small, wanted, weights  # noqa: F401

HERE = Path(__file__).resolve().parent
LONGEST_WAIT = 240  # seconds, for a program that hangs


@pytest.fixture(scope="module")
def environment():
    """Variables for Ray: a folder with a short name, for sockets, and a key of its own."""
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    key = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    places = {"HOME": folder, "RAY_TMPDIR": folder}
    # Workers have a low priority otherwise, and starve where other tests run.
    more = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    yield os.environ | places | key | more
    shutil.rmtree(folder, ignore_errors=True)


def stop(process):
    """Ends a program and what it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


@pytest.fixture(scope="module")
def cluster(environment):
    """The address of a cluster with two cores, which outlives the programs that use it."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / "dying_workers.py"), "cluster"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    yield process.stdout.readline().strip()
    process.stdin.close()
    process.wait()
    stop(process)


@pytest.fixture
def program(arguments, environment):
    """Starts a program with two workers."""
    running = []

    def start(*words, more=()):
        command = [sys.executable, *map(str, words), *arguments("--workers", 2, *more)]
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        stop(process)


def finish(process, status=0):
    """Waits for a program. Returns what it printed."""
    printed, _ = process.communicate(timeout=LONGEST_WAIT)
    assert process.returncode == status, printed
    return printed


def report(printed):
    """The JSON at the end of what the program printed."""
    return json.loads(printed[printed.rindex("\n{\n") :])


def wait_for(there, process=None):
    """Waits until `there()`. It is an error if the program ends first, or nothing happens."""
    end = time.monotonic() + LONGEST_WAIT
    while not there():
        assert process is None or process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.01)


def title(process):
    """What a process is called; empty if there is none."""
    try:
        return Path(f"/proc/{process}/cmdline").read_text()
    except FileNotFoundError:
        return ""


def files_in(folder):
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in (".lock", "_run.json")
    )


def test_a_killed_worker_loses_and_doubles_nothing(tmp_path, rng, program, wanted, here):
    table = batch_files.write_inputs(tmp_path / "in", 4, 25_000, rng)
    marker, output = tmp_path / "marker", tmp_path / "out"
    block = "day0/part1-000000012000-000000014000.parquet"
    results = ["--results", "h_n", "output"]
    command = [HERE / "dying_workers.py", "waits", marker, block]
    process = program(*command, more=[*results, "--address", "local"])
    wait_for(marker.exists, process)
    written = files_in(output)
    killed = int(marker.read_text())
    assert title(killed).startswith("ray::")
    os.kill(killed, signal.SIGKILL)

    done = report(finish(process))
    assert block not in written
    assert 0 < len([name for name in written if not name.startswith(".")]) < 52, "not in the middle"
    assert done["deaths"] == 1
    assert (done["blocks"], done["skipped"], done["rows"]) == (52, 0, 100_000)
    assert sum(done["rows_of_workers"].values()) == 100_000
    assert len(done["rows_of_workers"]) >= 2
    names = files_in(output)
    assert len(names) == 52 and block in names
    got = read_results(output)
    assert_same_rows(got, wanted(table))

    single = here("--output", tmp_path / "single", *results)
    assert single["rows"] == 100_000
    assert_same_rows(got, read_results(tmp_path / "single"))
    for name in names:
        assert (output / name).read_bytes() == (tmp_path / "single" / name).read_bytes(), name


def test_a_killed_program_goes_on_where_it_was(tmp_path, small, program, cluster, wanted, here):
    marker, output = tmp_path / "marker", tmp_path / "out"
    block = "day0/part1-000000000000-000000002000.parquet"
    command = [HERE / "dying_workers.py", "waits", marker, block]
    process = program(*command, more=["--address", cluster])
    wait_for(lambda: marker.exists() and any(output.glob("day0/*.parquet")), process)
    worker = int(marker.read_text())
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    # Ray ends the workers of a program that is gone.
    wait_for(lambda: not title(worker))
    left = files_in(output)
    assert block not in left
    assert any(name.startswith(f".attempts/{block}/") for name in left)

    done = here()
    assert done["skipped"] == len([name for name in left if not name.startswith(".")]) > 0
    assert done["blocks"] + done["skipped"] == 4
    assert_same_rows(read_results(output), wanted(small).drop(["output"]))
    assert here()["blocks"] == 0
    assert len(files_in(output)) == 4


def test_a_block_that_ends_its_worker_each_time_is_an_error(tmp_path, small, program, cluster):
    marker, output = tmp_path / "marker", tmp_path / "out"
    block = "day0/part0-000000000000-000000002000.parquet"
    command = [HERE / "dying_workers.py", "dies", marker, block]
    process = program(*command, more=["--retries", 1, "--address", cluster])
    printed = finish(process, status=1)
    assert f"{block}: 2 workers died while they computed this block" in printed
    assert len(list(tmp_path.glob("marker.*"))) == 2
    assert not (output / block).exists()


def test_an_error_of_a_worker_is_the_error_of_the_program(tmp_path, small, program, cluster):
    columns = small.slice(0, 2500).to_pydict()
    columns["x"][2100] = []
    bad = pa.table(columns, schema=small.schema)
    pq.write_table(bad, tmp_path / "in" / "day0" / "part1.parquet")
    command = [EXAMPLES / "ray_batches.py"]
    printed = finish(program(*command, more=["--address", cluster]), status=1)
    last = printed.strip().splitlines()[-1]
    assert last.startswith("error: ") and "part1.parquet, row 2100: the sequence is empty" in last
    names = files_in(tmp_path / "out")
    assert "day0/part1-000000002000-000000002500.parquet" not in names
    assert all(name.startswith("day0/part") for name in names), names
