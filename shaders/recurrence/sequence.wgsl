// Several time steps of one layer, all directions, in one dispatch: workgroups iterate over time.
//
// A workgroup owns ROWS batch rows of one direction with all hidden units, so that it never waits
// for another workgroup. The state lives in workgroup memory, in two halves that swap roles at each
// step. A step costs barriers instead of a dispatch. The weights stream from the cache, each read
// once a step for all ROWS rows. With IN_REGISTERS each lane loads its weights once and keeps them.
//
// An invocation has the same units of the same rows at every step. A cell's own state therefore
// needs no barrier. A cell fragment (cell/*.wgsl) defines Gates, GateWeights, gate_weights,
// add_products, inputs and advance. recurrence/sequence_io.wgsl defines update and time_step.

override WORKGROUP_SIZE: u32 = 64u;
override LANES: u32 = 1u;       // a power of two that divides WORKGROUP_SIZE
override ROWS: u32 = 1u;        // at most MAX_ROWS
override STATE: u32 = 1024u;    // at least 2 · ROWS · R
// Requires at most MAX_REGISTER_QUADS quads to a lane, and at most one unit to an invocation.
override IN_REGISTERS: bool = false;
// Named, because naga 30 miscounts overrides if the size of an array is an unnamed expression.
override SUMS: u32 = WORKGROUP_SIZE * ROWS;

const MAX_ROWS = 8u;
const MAX_REGISTER_QUADS = 4u;

// Scalars, since a store to one component of a vector may touch the others. The components of a
// quad lie apart, so that neighbouring lanes read from different banks.
var<workgroup> sh_h: array<f32, STATE>;       // [2, ROWS, 4, R/4]
var<workgroup> sh_sums: array<Gates, SUMS>;   // [units at a time, ROWS, LANES]

@compute @workgroup_size(WORKGROUP_SIZE)
fn sequence(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) num_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let lane = local_index % LANES;
    let unit_in_tile = local_index / LANES;
    let tile = workgroup.x + workgroup.y * num_workgroups.x;
    let b0 = (tile % dims.row_tiles) * ROWS;
    let d = tile / dims.row_tiles;
    // Workgroups that folding added reach every barrier and store nothing.
    let in_range = d < dims.directions;
    let state_size = dims.state_quads * 4u;
    let half = ROWS * state_size;

    // Fill both halves, since no step writes the padding.
    for (var i = local_index; i < half; i += WORKGROUP_SIZE) {
        let b = min(b0 + i / state_size, dims.batch - 1u);
        // Workgroups that folding added read the last direction.
        let read_d = min(d, dims.directions - 1u);
        let h = h_in[(read_d * dims.batch + b) * state_size + i % state_size];
        let at = place(i / state_size, i % state_size);
        sh_h[at] = h;
        sh_h[half + at] = h;
    }
    var longest = 0u;
    for (var r = 0u; r < ROWS; r++) {
        longest = max(longest, lengths[min(b0 + r, dims.batch - 1u)]);
    }
    // The weights of the invocation's only unit. Constant loop bounds let drivers unroll the loops.
    var held = array<GateWeights, MAX_REGISTER_QUADS>();
    if IN_REGISTERS && in_range && unit_in_tile < dims.hidden_size {
        let first_quad = ((dims.weight_base + d) * dims.hidden_size + unit_in_tile)
            * GATE_COUNT * dims.state_quads;
        for (var i = 0u; i < MAX_REGISTER_QUADS; i++) {
            if lane + i * LANES < dims.state_quads {
                held[i] = gate_weights(first_quad + lane + i * LANES);
            }
        }
    }
    workgroupBarrier();

    for (var s = 0u; s < dims.steps; s++) {
        let t = time_step(d, s);
        let from_half = (s % 2u) * half;
        let to_half = half - from_half;
        for (var u0 = 0u; u0 < dims.hidden_size; u0 += WORKGROUP_SIZE / LANES) {
            let j = u0 + unit_in_tile;
            let here = in_range && j < dims.hidden_size;
            var sums = array<Gates, MAX_ROWS>();
            // If no row's sequence reaches this step, there is nothing to sum.
            if IN_REGISTERS && here && t < longest {
                for (var i = 0u; i < MAX_REGISTER_QUADS; i++) {
                    let q = lane + i * LANES;
                    if q < dims.state_quads {
                        for (var r = 0u; r < ROWS; r++) {
                            let h = state_quad(from_half + r * state_size + q);
                            sums[r] = add_products(sums[r], held[i], h);
                        }
                    }
                }
            }
            if !IN_REGISTERS && here && t < longest {
                let first_quad = ((dims.weight_base + d) * dims.hidden_size + j)
                    * GATE_COUNT * dims.state_quads;
                for (var q = lane; q < dims.state_quads; q += LANES) {
                    let w = gate_weights(first_quad + q);
                    for (var r = 0u; r < ROWS; r++) {
                        let h = state_quad(from_half + r * state_size + q);
                        sums[r] = add_products(sums[r], w, h);
                    }
                }
            }
            let first_sum = unit_in_tile * ROWS * LANES;
            for (var r = 0u; r < ROWS; r++) {
                sh_sums[first_sum + r * LANES + lane] = sums[r];
            }
            // A barrier only for several lanes: an invocation sees its own writes without one.
            for (var several = LANES; several > 1u; several = 1u) {
                workgroupBarrier();
            }
            if here {
                for (var r = lane; r < ROWS; r += LANES) {
                    let at = place(r, j);
                    let next = update(
                        d, b0 + r, j, s, t,
                        joined(first_sum + r * LANES),
                        sh_h[from_half + at]
                    );
                    sh_h[to_half + at] = next;
                }
            }
            // Wait before the next units overwrite the sums.
            for (var several = LANES; several > 1u; several = 1u) {
                workgroupBarrier();
            }
        }
        workgroupBarrier();
    }

    for (var i = local_index; i < half; i += WORKGROUP_SIZE) {
        let b = b0 + i / state_size;
        if in_range && b < dims.batch {
            let at = (d * dims.batch + b) * state_size + i % state_size;
            h_out[at] = sh_h[(dims.steps % 2u) * half + place(i / state_size, i % state_size)];
        }
    }
}

// Returns the index of unit j of the tile's row r in a half of sh_h.
fn place(r: u32, j: u32) -> u32 {
    return (r * 4u + j % 4u) * dims.state_quads + j / 4u;
}

// Returns the quad whose first value is sh_h[at].
fn state_quad(at: u32) -> vec4<f32> {
    let n = dims.state_quads;
    return vec4<f32>(sh_h[at], sh_h[at + n], sh_h[at + 2u * n], sh_h[at + 3u * n]);
}

// Returns the total of the lanes' partial sums, adding halves to halves as `step` does.
fn joined(first: u32) -> Gates {
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        for (var lane = 0u; lane < half; lane++) {
            sh_sums[first + lane] += sh_sums[first + lane + half];
        }
    }
    return sh_sums[first];
}
