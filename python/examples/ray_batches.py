"""Runs a recurrent network over folders of Parquet or Arrow files, with Ray Data.

    python ray_batches.py --input recordings --output results --weights model.pt --kind lstm

Each input file is cut into blocks, row ranges of --rows-per-block. A worker is an actor that holds
the network, and takes one block after the other. Each block makes one output file, whose rows have
the input's order and whose name holds the row range. A file gets its name when it is complete. A
block that is computed again, after the death of a worker, replaces its file by an equal one. The
same command, run again, computes the blocks that have no file yet.

Within a block, rows of similar length share a call, so that little padding is computed.

The column --column holds one sequence in each row: list<fixed_size_list<float>[input_size]>,
list<list<float>>, or list<float> of T * input_size values. Floats have 32 or 16 bits. Results:

    h_n      last hidden state, fixed_size_list<float>[num_layers * D * H]
    c_n      last cell state of an LSTM, fixed_size_list<float>[num_layers * D * hidden_size]
    output   all time steps, list<fixed_size_list<float>[D * H]>

D is 2 for a bidirectional network, and H is proj_size or hidden_size. Layers and directions have
PyTorch's order. Columns of the input are copied: all others, or those of --keep.

`ray start` on more machines adds workers. Input, output and weights lie on a file system that all
machines share. `--workers 0` runs without Ray, in this process. Needs numpy, pyarrow, ray[data].
"""

import argparse
import json
import os
import socket
import sys
import time
from pathlib import Path

import numpy as np
import wgpu_rnn

import result_folder
import sequence_files
from result_folder import attempt, claim, count_deaths
from sequence_files import (
    BatchError,
    calls,
    check_type,
    input_files,
    layout,
    read_rows,
    sequences,
    vector_lists,
    vectors,
    write_file,
)

KINDS = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}
ERRORS = (ValueError, OSError, RuntimeError, MemoryError)


class Network:
    """A worker: it holds the network, and a call computes a block and writes its file.

    Another network overrides `load` and `run`.
    """

    def __init__(self, options, columns=None, device=None):
        self.options = options
        self.columns = columns
        self.input_size, self.output_size = self.load(device or worker_device(options))

    def load(self, device):
        """Loads the network. Returns the features of a step of the input and of the output."""
        options = self.options
        self.net = getattr(wgpu_rnn, KINDS[options.kind]).load(
            options.weights,
            options.prefix,
            key=options.key,
            device=device,
            batch_first=True,
            nonlinearity=options.nonlinearity,
            schedule=options.schedule,
        )
        config = self.net.config
        features = config["proj_size"] or config["hidden_size"]
        return config["input_size"], features * (2 if config["bidirectional"] else 1)

    def run(self, inputs, lengths):
        """Runs padded rows [B, T, I]. Returns output [B, T, F] and the states [L * D, B, F]."""
        output, state = self.net(inputs, lengths=lengths)
        h_n, c_n = state if isinstance(state, tuple) else (state, None)
        return {"output": output, "h_n": h_n, "c_n": c_n}

    def write(self, table, path):
        """Writes the file of a block, which then gets its name."""
        write_file(table, path)

    def __call__(self, block):
        folder = Path(self.options.output)
        with attempt(folder, block["name"], self.options.retries) as path:
            times = [time.perf_counter()]
            table = read_rows(block, self.columns)
            times.append(time.perf_counter())
            table, counts = self.compute(table, block)
            times.append(time.perf_counter())
            self.write(table, path)
            target = folder / block["name"]
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, target)
            times.append(time.perf_counter())
        seconds = dict(zip(("read_s", "compute_s", "write_s"), np.diff(times).tolist()))
        worker = f"{socket.gethostname()}:{os.getpid()}"
        return {"name": block["name"], "rows": block["rows"], "worker": worker} | seconds | counts

    def compute(self, table, block):
        """The table of a block's results, and what was counted."""
        size = self.input_size
        values, lengths = sequences(table[self.options.column], size, block)
        starts = np.cumsum(lengths) - lengths
        results, network_s, computed = {}, 0.0, 0
        for rows in calls(lengths, max(size, self.output_size), self.options.rows_per_call):
            steps = np.arange(lengths[rows].max())
            valid = steps < lengths[rows, None]  # [B, T]
            sources = (starts[rows, None] + steps)[valid]
            inputs = np.zeros((*valid.shape, size), np.float32)
            inputs[valid] = values[sources]
            begin = time.perf_counter()
            found = self.run(inputs, lengths[rows])
            network_s += time.perf_counter() - begin
            computed += valid.size
            for name in self.options.results:
                if name == "output":
                    piece, where, count = found[name][valid], sources, len(values)
                else:
                    piece = found[name].transpose(1, 0, 2).reshape(len(rows), -1)
                    where, count = rows, len(lengths)
                if name not in results:
                    results[name] = np.empty((count, piece.shape[1]), np.float32)
                results[name][where] = piece
        table = table.select(self.options.keep)
        for name, found in results.items():
            array = vector_lists(found, lengths) if name == "output" else vectors(found)
            table = table.append_column(name, array)
        return table, {"steps": len(values), "computed": computed, "network_s": network_s}


class Actor:
    """A network on Ray. Errors of the input are results: Ray would add pages to their texts."""

    def __init__(self, network, options, columns):
        self.error = None
        try:
            self.network = network(options, columns)
        except ERRORS as error:
            self.error = f"{socket.gethostname()}: {error}"

    def __call__(self, block):
        try:
            return {"error": self.error} if self.error else self.network(block)
        except wgpu_rnn.errors.DeviceLostError as error:
            print(f"{block['name']}: {error}; a new worker opens it again", file=sys.stderr)
            os._exit(1)  # A lost device stays lost in this process.
        except ERRORS as error:
            return {"error": str(error)}


def worker_device(options):
    """The device of a worker.

    Ray gives each worker a GPU of its machine by number, and sets CUDA_VISIBLE_DEVICES. Vulkan does
    not read that variable, and has its own order of adapters. The workers of a machine have
    different numbers, though. Therefore the worker with GPU n takes the n-th GPU that wgpu lists.
    """
    if options.device == "cpu":
        return wgpu_rnn.Device("cpu", threads=options.cpus)  # None: all cores
    if options.device != "gpu":
        return options.device
    import ray

    number = ray.get_runtime_context().get_accelerator_ids()["GPU"][0]
    gpus = [info for info in wgpu_rnn.devices() if info.backend != "cpu" and not info.is_software]
    gpus = [info for info in gpus if info.backend == gpus[0].backend]  # Each GPU once.
    if not number.isdecimal() or int(number) >= len(gpus):
        names = ", ".join(info.name for info in gpus) or "none"
        raise BatchError(
            f"{socket.gethostname()}: Ray gave this worker GPU {number}, and wgpu lists "
            f"{len(gpus)} ({names}); name an adapter by --device, with --gpus 1"
        )
    return gpus[int(number)]


def plan(options, size):
    """The blocks of all input files, each file's rows and bytes, and the columns to read."""
    blocks, files, columns, first = [], {}, [], None
    for path, name in input_files(options.input):
        schema, counts = layout(path)
        if options.keep is None:
            options.keep = [column for column in schema.names if column != options.column]
        columns = list(dict.fromkeys([options.column, *options.keep]))
        for column in columns:
            if column not in schema.names:
                raise BatchError(f"{path}: no column '{column}', found {', '.join(schema.names)}")
        check_type(schema.field(options.column).type, size, f"{path}, column '{options.column}'")
        clash = set(options.results).intersection(options.keep)
        if clash:
            raise BatchError(f"{path}: the result '{clash.pop()}' is also a column; rename it")
        types = [(column, schema.field(column).type) for column in columns]
        first = first or (path, types)
        if types != first[1]:
            other = next(pair for pair in zip(first[1], types) if pair[0] != pair[1])
            column, expected = other[0]
            text = f"column '{column}' is {other[1][1]}, and {expected} in {first[0]}"
            raise BatchError(f"{path}: {text}")
        edges = np.cumsum([0, *counts])
        files[name] = {"rows": int(edges[-1]), "bytes": os.path.getsize(path)}
        if max(counts, default=0) > 2 * options.rows_per_block:
            text = f"a row group of {max(counts)} rows is decoded anew for each of its blocks"
            print(f"{path}: {text}; raise --rows-per-block", file=sys.stderr)
        for start in range(0, files[name]["rows"], options.rows_per_block):
            stop = min(files[name]["rows"], start + options.rows_per_block)
            low = int(np.searchsorted(edges, start, side="right")) - 1
            high = int(np.searchsorted(edges, stop, side="left"))
            block = {"name": f"{name}-{start:012}-{stop:012}.{options.format}", "path": path}
            block |= {"start": start, "rows": stop - start, "low": low, "high": high}
            blocks.append(block | {"offset": start - int(edges[low])})
    return blocks, files, columns


def compute_on_ray(blocks, columns, options, network):
    """Computes blocks with the actors of a Ray cluster. Yields what is known of each block."""
    import ray
    from ray.data import ActorPoolStrategy

    # Workers get this code with the task. No machine needs a copy.
    own = {sys.modules[network.__module__], sys.modules[__name__]}
    for module in {result_folder, sequence_files} | own:
        if module.__name__ != "__main__":
            ray.cloudpickle.register_pickle_by_value(module)
    started = not ray.is_initialized()
    if started:
        ray.init(address=options.address, include_dashboard=False)
    try:
        cluster = ray.cluster_resources()
        if options.device == "auto":
            options.device = "gpu" if cluster.get("GPU") else "cpu"
        options.cpus = options.cpus or 1
        gpus = options.gpus if options.gpus is not None else int(options.device == "gpu")
        for name, each in ("CPU", options.cpus), ("GPU", gpus):
            need, has = each * (options.workers or 1), cluster.get(name, 0)
            if need > has:
                text = f"{options.workers or 1} workers need {need} {name}, the cluster has {has:g}"
                raise BatchError(f"{text}; lower --workers, --cpus or --gpus")
        size = {"size": options.workers} if options.workers else {"min_size": 1}
        # Ray restarts an actor that dies, and gives its blocks to an actor again.
        results = ray.data.from_items(blocks, override_num_blocks=len(blocks)).map(
            Actor,
            fn_constructor_args=(network, options, columns),
            compute=ActorPoolStrategy(**size),
            num_cpus=options.cpus,
            num_gpus=gpus,
        )
        for result in results.iter_rows():
            if result.get("error"):
                raise BatchError(result["error"])
            yield result
    finally:
        if started:
            ray.shutdown()


def run(options, network=Network):
    """Computes all blocks that have no file yet. Returns what was done, as a dict."""
    begin = time.perf_counter()
    if "c_n" in options.results and options.kind != "lstm":
        raise BatchError(f"--results c_n: a network of --kind {options.kind} has no c_n")
    if options.workers == 0 and options.device == "gpu":
        raise BatchError("--device gpu is a worker's on Ray; without Ray name an adapter, or auto")
    blocks, files, columns = plan(options, network(options, device="cpu").input_size)
    with claim(options, files):
        folder = Path(options.output)
        missing = [block for block in blocks if not (folder / block["name"]).exists()]
        if not missing:
            written = []
        elif options.workers == 0:
            written = list(map(network(options, columns), missing))
        else:
            written = list(compute_on_ray(missing, columns, options, network))
        names = [block["name"] for block in missing]
        if sorted(block["name"] for block in written) != sorted(names):
            raise RuntimeError(f"{len(names)} blocks were to be computed, {len(written)} were")
        lost = [block["name"] for block in blocks if not (folder / block["name"]).is_file()]
        if lost:
            raise RuntimeError(f"{folder}: {len(lost)} files are missing, the first is {lost[0]}")
        deaths = count_deaths(folder)
    done = {"blocks": len(missing), "skipped": len(blocks) - len(missing), "deaths": deaths}
    for key in ("rows", "steps", "computed", "read_s", "compute_s", "network_s", "write_s"):
        done[key] = round(sum(block[key] for block in written), 3)
    workers = {}
    for block in written:
        workers[block["worker"]] = workers.get(block["worker"], 0) + block["rows"]
    return done | {"seconds": round(time.perf_counter() - begin, 3), "rows_of_workers": workers}


def whole(least):
    """A type for options: a whole number of at least `least`."""

    def number(text):
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"expected a number from {least} on, found '{text}'")
        return int(text)

    return number


def parser():
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--input", nargs="+", required=True, help="files, or folders of files")
    add("--output", required=True, help="folder for the results")
    add("--weights", required=True, help="file of safetensors or torch.save, or a folder of shards")
    add("--kind", choices=KINDS, required=True)
    add("--key", help="key of the state dict in a checkpoint of torch.save")
    add("--prefix", default="", help="the module's name in the state dict, such as 'encoder.'")
    add("--nonlinearity", choices=("tanh", "relu"), help="of --kind rnn (default tanh)")
    add("--schedule", default="auto", help="how time steps map to dispatches (default auto)")
    add("--column", default="x", help="column of sequences (default x)")
    add("--keep", nargs="*", help="columns to copy (default all others)")
    add("--results", nargs="+", choices=("h_n", "c_n", "output"), default=["h_n"])
    add("--format", choices=("parquet", "arrow"), default="parquet")
    devices = "cpu; gpu: each worker its own; an adapter's name or index; auto: gpu if Ray has any"
    add("--device", default="auto", help=devices + ", otherwise cpu (default auto)")
    add("--workers", type=whole(0), help="workers; 0: without Ray (default: as many as fit)")
    add("--cpus", type=whole(1), help="cores of a worker (default 1, without Ray all)")
    add("--gpus", type=float, help="GPUs of a worker (default 1 for --device gpu, otherwise 0)")
    add("--retries", type=whole(0), default=3, help="deaths of workers that a block survives")
    add("--rows-per-block", type=whole(1), default=4096)
    add("--rows-per-call", type=whole(1), default=256)
    add("--address", help="Ray's cluster (default: one that runs here, otherwise a new one)")
    return parser


def main(options, network=Network):
    """Runs, and prints what was done as JSON. An error ends the program with its text."""
    try:
        print(json.dumps(run(options, network), indent=1))
    except ERRORS as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main(parser().parse_args())
