"""Sequences of time steps in the columns of Parquet and Arrow files, for `ray_batches.py`.

A column of sequences is list<fixed_size_list<float>[input_size]>, list<list<float>>, or list<float>
of T * input_size values for T time steps. Floats have 32 or 16 bits.
"""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ENDINGS = (".parquet", ".arrow", ".feather")
MOST_VALUES = 1 << 24  # of the padded input or output of one call: 64 MiB


class BatchError(ValueError):
    """Input or options that cannot be run: where, what was expected, what was found."""


def input_files(paths):
    """The files in `paths`, as pairs of path and name. A name is relative and has no ending."""
    found = {}
    for given in map(Path, paths):
        if not given.exists():
            raise BatchError(f"{given}: no such file or folder")
        folder = given if given.is_dir() else given.parent
        for path in sorted(given.rglob("*")) if given.is_dir() else [given]:
            name = path.relative_to(folder).with_suffix("").as_posix()
            hidden = any(part.startswith((".", "_")) for part in name.split("/"))
            if given.is_dir() and (path.suffix not in ENDINGS or hidden or path.is_dir()):
                continue
            if path.suffix not in ENDINGS:
                raise BatchError(f"{path}: expected a name that ends with {' '.join(ENDINGS)}")
            if name in found:
                raise BatchError(f"{path} and {found[name]} would share their output files")
            found[name] = path.absolute()
    if not found:
        raise BatchError(f"{' '.join(map(str, paths))}: no file ends with {' '.join(ENDINGS)}")
    return sorted((str(path), name) for name, path in found.items())


def layout(path):
    """The schema of a file and the number of rows of each row group or record batch."""
    try:
        if path.endswith(".parquet"):
            with pq.ParquetFile(path) as file:
                groups = (file.metadata.row_group(i) for i in range(file.num_row_groups))
                return file.schema_arrow, [group.num_rows for group in groups]
        with pa.memory_map(path) as source:
            file = pa.ipc.open_file(source)
            counts = [file.get_batch(i).num_rows for i in range(file.num_record_batches)]
            return file.schema, counts
    except pa.ArrowInvalid as error:
        raise BatchError(f"{path}: cannot be read: {error}") from error


def read_rows(block, columns):
    """The rows of a block: `rows` rows from `offset` on, in the row groups `low` to `high`."""
    groups = list(range(block["low"], block["high"]))
    try:
        if block["path"].endswith(".parquet"):
            with pq.ParquetFile(block["path"]) as file:
                table = file.read_row_groups(groups, columns=columns)
        else:
            file = pa.ipc.open_file(pa.memory_map(block["path"]))
            table = pa.Table.from_batches([file.get_batch(i) for i in groups]).select(columns)
    except (pa.ArrowInvalid, OSError) as error:
        raise BatchError(f"{block['path']}: cannot be read: {error}") from error
    table = table.slice(block["offset"], block["rows"])
    if table.num_rows != block["rows"]:
        raise BatchError(f"{block['path']}: it has become shorter since the run started")
    return table


def write_file(table, path):
    """Writes a table as Parquet or Arrow, by the ending of `path`, and onto the disk."""
    plain = [field.name for field in table.schema if not pa.types.is_nested(field.type)]
    with open(path, "wb") as file:
        if path.suffix == ".parquet":
            pq.write_table(table, file, use_dictionary=plain)
        else:
            with pa.ipc.new_file(file, table.schema) as writer:
                writer.write_table(table)
        file.flush()
        os.fsync(file.fileno())


def check_type(kind, size, where):
    """Refuses the type of a column that holds no sequences of `size` features."""

    def is_list(kind):
        return pa.types.is_list(kind) or pa.types.is_large_list(kind)

    values = kind.value_type if is_list(kind) else None
    if values is not None and pa.types.is_fixed_size_list(values):
        if values.list_size != size:
            text = f"expected {size} features, the input_size of the weights"
            raise BatchError(f"{where}: {text}, found {values.list_size}")
        values = values.value_type
    elif values is not None and is_list(values):
        values = values.value_type
    if values not in (pa.float32(), pa.float16()):
        raise BatchError(
            f"{where}: expected list<fixed_size_list<float>[{size}]>, list<list<float>> or "
            f"list<float>, of float or halffloat, found {kind}; cast it to one of these"
        )


def refuse(bad, block, text, counts=None):
    """Raises an error for the first row that is bad. `counts` has each row's elements of `bad`."""
    if np.any(bad):
        first = int(np.argmax(bad))
        row = first if counts is None else np.searchsorted(np.cumsum(counts), first, side="right")
        raise BatchError(f"{block['path']}, row {block['start'] + int(row)}: {text}")


def sequences(column, size, block):
    """Values [N, size] of all rows, one after the other, and each row's length in time steps."""
    rows = pa.concat_arrays(column.chunks)
    refuse(np.asarray(rows.is_null()), block, "the sequence is null")
    counts = np.diff(np.asarray(rows.offsets))
    values = rows.flatten()
    if pa.types.is_nested(values.type):
        refuse(np.asarray(values.is_null()), block, "a time step is null", counts)
        if not pa.types.is_fixed_size_list(values.type):
            widths = np.diff(np.asarray(values.offsets))
            text = f"ragged features: a time step should have {size} values"
            refuse(widths != size, block, text, counts)
        values = values.flatten()
    else:
        text = f"expected T * {size} values for T time steps, found another number"
        refuse(counts % size != 0, block, text)
        counts = counts // size
    refuse(counts == 0, block, "the sequence is empty; remove the row or give it a time step")
    refuse(np.asarray(values.is_null()), block, "a value is null", counts * size)
    values = values.to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    return values.reshape(-1, size), counts


def calls(lengths, width, most_rows):
    """Row numbers for each call: rows of similar length, limited in rows and padded values."""
    order = np.argsort(lengths, kind="stable")
    begin = 0
    while begin < len(order):
        end = begin + 1
        while end < len(order) and end - begin < most_rows:
            if (end + 1 - begin) * int(lengths[order[end]]) * width > MOST_VALUES:
                break
            end += 1
        yield order[begin:end]
        begin = end


def vectors(values):
    """An array with one fixed_size_list<float> for each row of `values` [N, F]."""
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


def vector_lists(values, lengths):
    """An array of lists, of `lengths` rows of `values` each."""
    offsets = pa.array(np.append(0, np.cumsum(lengths)), pa.int32())
    return pa.ListArray.from_arrays(offsets, vectors(values))
