"""Runs `ray_batches.py` with workers that die while they write. `test_ray_batches.py` starts it.

    python dying_workers.py cluster                          holds a cluster until its input ends
    python dying_workers.py waits MARKER BLOCK ARGUMENTS..   waits to be killed, once
    python dying_workers.py dies MARKER BLOCK ARGUMENTS..    kills itself, each time

BLOCK is the output file at which it happens. The worker writes its process id into MARKER.
"""

import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
import ray_batches  # noqa: E402


class Dying(ray_batches.Network):
    """A worker that dies when half of the file of a block is on the disk."""

    def write(self, table, path):
        super().write(table, path)
        options = self.options
        if path.parent.name != Path(options.block).name:
            return
        os.truncate(path, path.stat().st_size // 2)
        own = Path(f"{options.marker}.{os.getpid()}")
        own.write_text(str(os.getpid()))
        if options.mode == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            os.link(own, options.marker)  # Fails where another worker was first.
        except FileExistsError:
            super().write(table, path)
            return
        time.sleep(120)
        raise RuntimeError("the test did not kill this worker")


def hold_cluster():
    """Starts a cluster with two cores and prints its address."""
    import ray

    ray.init("local", num_cpus=2, include_dashboard=False, object_store_memory=100 << 20)
    print(ray.get_runtime_context().gcs_address, flush=True)
    sys.stdin.read()
    ray.shutdown()


if __name__ == "__main__":
    if sys.argv[1] == "cluster":
        hold_cluster()
        sys.exit()
    mode, marker, block = sys.argv[1:4]
    parsed = ray_batches.parser().parse_args(sys.argv[4:])
    parsed.mode, parsed.marker, parsed.block = mode, marker, block
    ray_batches.main(parsed, Dying)
