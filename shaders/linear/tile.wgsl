// y = x · Wᵀ + b for many rows, every direction in the same dispatch. linear/io.wgsl has the
// operands, lib/product.wgsl the product and the order of its sums.

// The quads that an invocation fetches.
struct Source {
    rows: RowSource,
    columns: vec4<u32>,
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn tile(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) num_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let index = workgroup.x + workgroup.y * num_workgroups.x;
    let first_column = index % dims.column_tiles * TILE_COLUMNS;
    let first_row = index / dims.column_tiles % dims.row_tiles * TILE_ROWS;
    // Workgroups that folding added run along and store nothing.
    let in_range = index / (dims.column_tiles * dims.row_tiles) < dims.directions;
    let d = min(index / (dims.column_tiles * dims.row_tiles), dims.directions - 1u);

    let part = part_of(local_index);
    let rows = row_source(first_row + fetched(part), d);
    let source = Source(rows, column_source(first_column + fetched(part), d));
    let column = first_column + part.column * 4u;
    let bias = bias_quad(column, d);
    let sums = product(source, part, dims.halves * dims.half_quads);
    if !in_range {
        return;
    }
    store_quad(first_row + own_row(part, 0u), column, d, sums.a + bias);
    if OWN_ROWS > 1u {
        store_quad(first_row + own_row(part, 1u), column, d, sums.b + bias);
    }
    if OWN_ROWS > 2u {
        store_quad(first_row + own_row(part, 2u), column, d, sums.c + bias);
        store_quad(first_row + own_row(part, 3u), column, d, sums.d + bias);
    }
    if OWN_ROWS > 4u {
        store_quad(first_row + own_row(part, 4u), column, d, sums.e + bias);
        store_quad(first_row + own_row(part, 5u), column, d, sums.f + bias);
        store_quad(first_row + own_row(part, 6u), column, d, sums.g + bias);
        store_quad(first_row + own_row(part, 7u), column, d, sums.h + bias);
    }
}

fn fetch_rows(source: Source, quad: u32) -> Block {
    var block = Block();
    if is_same(source.rows.d, quad) {
        let at = source.rows.at + quad;
        block.a = x_same[at.x];
        if ROW_QUADS > SLICE_SIZE {
            block.b = x_same[at.y];
        }
        if ROW_QUADS > 2u * SLICE_SIZE {
            block.c = x_same[at.z];
        }
        if ROW_QUADS > 3u * SLICE_SIZE {
            block.d = x_same[at.w];
        }
        return block;
    }
    let at = source.rows.mirrored_at + quad;
    block.a = x_mirrored[at.x];
    if ROW_QUADS > SLICE_SIZE {
        block.b = x_mirrored[at.y];
    }
    if ROW_QUADS > 2u * SLICE_SIZE {
        block.c = x_mirrored[at.z];
    }
    if ROW_QUADS > 3u * SLICE_SIZE {
        block.d = x_mirrored[at.w];
    }
    return block;
}

fn store_quad(row: u32, column: u32, d: u32, values: vec4<f32>) {
    store(row, column, d, values.x);
    store(row, column + 1u, d, values.y);
    store(row, column + 2u, d, values.z);
    store(row, column + 3u, d, values.w);
}
