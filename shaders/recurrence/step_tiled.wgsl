// One time step of one layer, all directions, for many rows: a matrix product in tiles, with the
// gates in its epilogue.
//
// A workgroup of 8 × 8 invocations owns 8 hidden units with all their gates and 32 batch rows. Each
// invocation owns one unit of 4 rows. The state and the weights pass through workgroup memory in
// tiles. A weight read from outside serves 32 rows; a state value serves 8 units. An invocation
// sums alone, quad after quad, so that the order depends only on the state's size.
//
// A cell fragment (cell/*.wgsl) defines Gates, GateWeights, gate_weights, gate_products and
// advance. update/state.wgsl defines update.

const TILE_UNITS = 8u;     // units of a workgroup
const TILE_ROWS = 32u;     // rows of a workgroup
const TILE_QUADS = 4u;     // quads of the state in a tile
const TILE_STRIDE = 5u;    // TILE_QUADS + 1, so that a tile's rows fall into different banks

var<workgroup> sh_h: array<vec4<f32>, TILE_ROWS * TILE_STRIDE>;      // [TILE_ROWS, TILE_STRIDE]
var<workgroup> sh_w: array<GateWeights, TILE_UNITS * TILE_STRIDE>;   // [TILE_UNITS, TILE_STRIDE]

@compute @workgroup_size(8, 8)
fn step_tiled(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) num_workgroups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let tile = workgroup.x + workgroup.y * num_workgroups.x;
    let first_unit = (tile % dims.unit_tiles) * TILE_UNITS;
    let first_row = ((tile / dims.unit_tiles) % dims.row_tiles) * TILE_ROWS;
    // Workgroups that folding added are past the last direction. They load and store nothing.
    let d = tile / (dims.unit_tiles * dims.row_tiles);

    var sums0: Gates;
    var sums1: Gates;
    var sums2: Gates;
    var sums3: Gates;
    for (var q0 = 0u; q0 < dims.state_quads; q0 += TILE_QUADS) {
        for (var i = local_index; i < TILE_ROWS * TILE_QUADS; i += 64u) {
            sh_h[i / TILE_QUADS * TILE_STRIDE + i % TILE_QUADS] =
                load_h(first_row + i / TILE_QUADS, d, q0 + i % TILE_QUADS);
        }
        if local_index < TILE_UNITS * TILE_QUADS {
            let unit = local_index / TILE_QUADS;
            let q = local_index % TILE_QUADS;
            sh_w[unit * TILE_STRIDE + q] = load_w(first_unit + unit, d, q0 + q);
        }
        workgroupBarrier();
        for (var q = 0u; q < TILE_QUADS; q++) {
            let w = sh_w[local.x * TILE_STRIDE + q];
            let h_at = local.y * 4u * TILE_STRIDE + q;
            sums0 += gate_products(w, sh_h[h_at]);
            sums1 += gate_products(w, sh_h[h_at + TILE_STRIDE]);
            sums2 += gate_products(w, sh_h[h_at + 2u * TILE_STRIDE]);
            sums3 += gate_products(w, sh_h[h_at + 3u * TILE_STRIDE]);
        }
        workgroupBarrier();
    }
    let unit = first_unit + local.x;
    if d < dims.directions && unit < dims.units {
        let row = first_row + local.y * 4u;
        store(d, row, unit, sums0);
        store(d, row + 1u, unit, sums1);
        store(d, row + 2u, unit, sums2);
        store(d, row + 3u, unit, sums3);
    }
}

// Rows, units, quads and directions past the end read as zeros, which change no sum.
fn load_h(b: u32, d: u32, quad: u32) -> vec4<f32> {
    if d >= dims.directions || b >= dims.batch || quad >= dims.state_quads {
        return vec4<f32>(0.0);
    }
    return h_in[(d * dims.batch + b) * dims.state_quads + quad];
}

fn load_w(unit: u32, d: u32, quad: u32) -> GateWeights {
    if d >= dims.directions || unit >= dims.units || quad >= dims.state_quads {
        return GateWeights();
    }
    return gate_weights(
        ((dims.weight_base + d) * dims.units + unit) * GATE_COUNT * dims.state_quads + quad
    );
}

fn store(d: u32, b: u32, unit: u32, sums: Gates) {
    if b < dims.batch {
        update(d, b, dims.unit_offset + unit, sums);
    }
}
