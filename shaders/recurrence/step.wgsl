// One time step of one layer, all directions: recurrent product, gates and state update.
//
// A workgroup owns WORKGROUP_SIZE / LANES hidden units with all their gates, and ROWS batch rows.
// The LANES invocations of a unit split the sum over the state. Neighbouring lanes read
// neighbouring quads of the same weight row, and each weight is read once for all ROWS rows.
// Workgroup memory joins the partial sums in an order that depends on LANES alone.
//
// A cell fragment (cell/*.wgsl) defines Gates, GateWeights, gate_weights, add_products, inputs and
// advance. An update fragment (update/*.wgsl) defines Unit, load_unit and store_unit, which stores
// the result of one unit. recurrence/directions.wgsl defines is_valid, y_row and has_output. For a
// wave, update/wave.wgsl defines them, with layers instead of directions. cell/projection.wgsl
// defines Unit, load_unit and store_unit, and no advance.

override WORKGROUP_SIZE: u32 = 64u;
override LANES: u32 = 8u;   // 4, 8, 16 or 32
override ROWS: u32 = 1u;    // at most MAX_ROWS
// Named, because naga 30 miscounts overrides if the size of an array is an unnamed expression.
override SUMS: u32 = WORKGROUP_SIZE * ROWS;

const MAX_ROWS = 8u;

var<workgroup> sh_sums: array<Gates, SUMS>;   // [units of the workgroup, ROWS, LANES]

@compute @workgroup_size(WORKGROUP_SIZE)
fn step(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) num_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let lane = local_index % LANES;
    let unit_in_tile = local_index / LANES;
    let tile = workgroup.x + workgroup.y * num_workgroups.x;
    let unit = (tile % dims.unit_tiles) * (WORKGROUP_SIZE / LANES) + unit_in_tile;
    let b0 = ((tile / dims.unit_tiles) % dims.row_tiles) * ROWS;
    let d = tile / (dims.unit_tiles * dims.row_tiles);
    // Units and rows past the end, and workgroups that folding added, reach every barrier but store
    // nothing.
    let in_range = unit < dims.units && d < dims.directions;

    // If no row's sequence reaches this step, there is nothing to sum.
    var longest = 0u;
    for (var r = 0u; r < ROWS; r++) {
        longest = max(longest, lengths[min(b0 + r, dims.batch - 1u)]);
    }
    var sums = array<Gates, MAX_ROWS>();
    if in_range && time_step(d) < longest {
        let first_quad =
            ((dims.weight_base + d) * dims.units + unit) * GATE_COUNT * dims.state_quads;
        for (var q = lane; q < dims.state_quads; q += LANES) {
            let w = gate_weights(first_quad + q);
            for (var r = 0u; r < ROWS; r++) {
                let b = min(b0 + r, dims.batch - 1u);
                let h = h_in[(d * dims.batch + b) * dims.state_quads + q];
                sums[r] = add_products(sums[r], w, h);
            }
        }
    }
    let first_sum = unit_in_tile * ROWS * LANES;
    for (var r = 0u; r < ROWS; r++) {
        sh_sums[first_sum + r * LANES + lane] = sums[r];
    }
    // Halve the number of partial sums until one is left. The last round's barrier publishes it.
    for (var span = LANES; span > 0u; span /= 2u) {
        workgroupBarrier();
        let half = span / 2u;
        if lane < half {
            for (var r = 0u; r < ROWS; r++) {
                let at = first_sum + r * LANES + lane;
                sh_sums[at] += sh_sums[at + half];
            }
        }
    }
    if in_range {
        let j = dims.unit_offset + unit;
        for (var r = lane; r < ROWS; r += LANES) {
            if b0 + r < dims.batch {
                let own = load_unit(d, b0 + r, j);
                store_unit(d, b0 + r, j, sh_sums[first_sum + r * LANES], own);
            }
        }
    }
}
