// One time step of one layer, all directions, for many rows: a matrix product in tiles, with the
// gates in its epilogue.
//
// lib/product.wgsl has the product and the order of its sums. Its rows are batch rows, and its
// columns are the units' gates in the order of the weights. An invocation's four columns are the
// gates of one unit (lib/gates.wgsl), or four units of one gate (lib/units.wgsl). The gates' other
// operands are loaded before the product, so that they arrive while the product runs.
//
// A cell fragment (cell/*.wgsl) and update/state.wgsl give Unit, load_unit and store_unit.

// The first quads of the rows of the state, and of the weights, that an invocation fetches.
struct Source {
    rows: vec4<u32>,
    columns: vec4<u32>,
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn step_tiled(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) num_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let index = workgroup.x + workgroup.y * num_workgroups.x;
    let first_unit = index % dims.unit_tiles * (COLUMN_GROUPS * UNITS);
    let first_row = index / dims.unit_tiles % dims.row_tiles * TILE_ROWS;
    // Workgroups that folding added run along and store nothing.
    let in_range = index / (dims.unit_tiles * dims.row_tiles) < dims.directions;
    let d = min(index / (dims.unit_tiles * dims.row_tiles), dims.directions - 1u);

    // Rows and units past the end are the last ones again: they are summed and not stored.
    let part = part_of(local_index);
    let rows = min(first_row + fetched(part), vec4<u32>(dims.batch - 1u));
    let first_weight_row = (dims.weight_base + d) * dims.units * GATE_COUNT;
    let columns = weight_rows(first_unit, fetched(part)) + first_weight_row;
    let source = Source(
        (rows + d * dims.batch) * dims.state_quads,
        columns * dims.state_quads,
    );

    let unit = first_unit + part.column * UNITS;
    let held = hold_rows(d, first_row, part, unit);
    let sums = product(source, part, dims.state_quads);
    if !in_range {
        return;
    }
    store_row(d, first_row + own_row(part, 0u), unit, sums.a, held.a);
    if OWN_ROWS > 1u {
        store_row(d, first_row + own_row(part, 1u), unit, sums.b, held.b);
    }
    if OWN_ROWS > 2u {
        store_row(d, first_row + own_row(part, 2u), unit, sums.c, held.c);
        store_row(d, first_row + own_row(part, 3u), unit, sums.d, held.d);
    }
    if OWN_ROWS > 4u {
        store_row(d, first_row + own_row(part, 4u), unit, sums.e, held.e);
        store_row(d, first_row + own_row(part, 5u), unit, sums.f, held.f);
        store_row(d, first_row + own_row(part, 6u), unit, sums.g, held.g);
        store_row(d, first_row + own_row(part, 7u), unit, sums.h, held.h);
    }
}

// The values that the rows of an invocation need, without their sums.
struct HeldRows {
    a: Held,
    b: Held,
    c: Held,
    d: Held,
    e: Held,
    f: Held,
    g: Held,
    h: Held,
}

fn hold_rows(d: u32, first_row: u32, part: Part, unit: u32) -> HeldRows {
    var held = HeldRows();
    held.a = hold(d, first_row + own_row(part, 0u), unit);
    if OWN_ROWS > 1u {
        held.b = hold(d, first_row + own_row(part, 1u), unit);
    }
    if OWN_ROWS > 2u {
        held.c = hold(d, first_row + own_row(part, 2u), unit);
        held.d = hold(d, first_row + own_row(part, 3u), unit);
    }
    if OWN_ROWS > 4u {
        held.e = hold(d, first_row + own_row(part, 4u), unit);
        held.f = hold(d, first_row + own_row(part, 5u), unit);
        held.g = hold(d, first_row + own_row(part, 6u), unit);
        held.h = hold(d, first_row + own_row(part, 7u), unit);
    }
    return held;
}

fn fetch_rows(source: Source, quad: u32) -> Block {
    let at = source.rows + quad;
    var block = Block();
    block.a = h_in[at.x];
    if ROW_QUADS > SLICE_SIZE {
        block.b = h_in[at.y];
    }
    if ROW_QUADS > 2u * SLICE_SIZE {
        block.c = h_in[at.z];
    }
    if ROW_QUADS > 3u * SLICE_SIZE {
        block.d = h_in[at.w];
    }
    return block;
}

// Returns the values that a unit of the dispatch needs, without its sums. Rows and units past the
// end take those of the last one.
fn held_unit(d: u32, b: u32, unit: u32) -> Unit {
    let j = dims.unit_offset + min(unit, dims.units - 1u);
    return load_unit(d, min(b, dims.batch - 1u), j);
}

fn store_row(d: u32, b: u32, unit: u32, sums: vec4<f32>, held: Held) {
    if b < dims.batch {
        release(d, b, unit, sums, held);
    }
}

fn release_unit(d: u32, b: u32, unit: u32, sums: vec4<f32>, held: Unit) {
    if unit < dims.units {
        store_unit(d, b, dims.unit_offset + unit, gates_of(sums), held);
    }
}
