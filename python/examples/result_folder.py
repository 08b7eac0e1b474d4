"""The output folder of `ray_batches.py`: one run at a time, and files that are complete or absent.

_run.json                the options and inputs that the files come from
.lock                    locked by the run that writes
.attempts/BLOCK/         files that workers write; a complete file moves to its name
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import socket
import uuid
from pathlib import Path

import wgpu_rnn
from sequence_files import BatchError

MANIFEST, ATTEMPTS, LOCK = "_run.json", ".attempts", ".lock"
# Options that results depend on. A folder holds the results of one set of them.
SETTINGS = ("kind", "key", "prefix", "nonlinearity", "schedule", "device", "column", "keep")
SETTINGS += ("results", "format", "rows_per_block", "rows_per_call")


def claim(options, files):
    """Locks the output folder. Its manifest says which options and inputs its files come from."""
    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    lock = open(folder / LOCK, "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BatchError(f"{folder}: another run writes to it") from None
    weights = Path(options.weights)
    digest = hashlib.sha256()
    for path in sorted(weights.iterdir()) if weights.is_dir() else [weights]:
        digest.update(path.read_bytes())
    settings = {name: getattr(options, name) for name in SETTINGS} | {"weights": digest.hexdigest()}
    manifest = folder / MANIFEST
    if manifest.exists():
        known = json.loads(manifest.read_text())
        for name, value in settings.items():
            old = known["settings"].get(name)
            if old != value:
                text = f"its files were made with another {name}: {old}, now {value}"
                raise BatchError(f"{folder}: {text}; choose another folder")
        for name, found in files.items():
            if known["files"].get(name, found) != found:
                raise BatchError(f"{folder}: the input '{name}' has changed; choose another folder")
        files = known["files"] | files
    elif not all(path.name.startswith(".") for path in folder.iterdir()):
        raise BatchError(f"{folder}: it has files, and no {MANIFEST}; choose an empty folder")
    shutil.rmtree(folder / ATTEMPTS, ignore_errors=True)
    temporary = folder / f".{MANIFEST}.tmp"
    temporary.write_text(json.dumps({"settings": settings, "files": files}, indent=1))
    os.replace(temporary, manifest)
    return lock


@contextlib.contextmanager
def attempt(folder, name, retries):
    """A file to write a block to. A worker that dies leaves it, so these files count the deaths.

    Ray tries a block forever, also one that ends its worker each time.
    """
    place = folder / ATTEMPTS / name
    place.mkdir(parents=True, exist_ok=True)
    if len(os.listdir(place)) > retries:
        text = f"{retries + 1} workers died while they computed this block"
        raise BatchError(f"{folder / name}: {text}; see --retries and the memory of the machine")
    path = place / f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex}{Path(name).suffix}"
    path.touch()
    try:
        yield path
    except wgpu_rnn.errors.DeviceLostError:
        raise  # Counts as a death: `Actor` ends the process.
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def count_deaths(folder):
    """Removes what dead workers left, and returns their number."""
    left = [path for path in (folder / ATTEMPTS).rglob("*") if path.is_file()]
    shutil.rmtree(folder / ATTEMPTS, ignore_errors=True)
    return len(left)
