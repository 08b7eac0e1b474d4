// One time step of one layer, all directions, where a load costs every lane of a vector its own turn, as on software
// adapters: the invocations of a subgroup read the state together and pass it round, which is a single instruction.
//
// An invocation owns one hidden unit with all its gates, and ROWS batch rows; it sums alone, quad after quad. Of the state
// each reads every `lanes`-th quad. A cell fragment (cell/*.wgsl) gives Gates, GateWeights, gate_weights, gate_products and
// advance; update/state.wgsl gives update, shared/directions.wgsl time_step. Needs the feature `subgroups`, and subgroups
// that divide WORKGROUP_SIZE.

struct StepDims {
    seq_len: u32,
    first_step: u32,
    batch: u32,
    directions: u32,
    hidden_size: u32,
    state_quads: u32,
    units: u32,
    unit_offset: u32,
    unit_tiles: u32,
    row_tiles: u32,
    slot: u32,          // of the first direction in the weights
    first_index: u32,   // this and the next two: of a wave
    lag: u32,
    steps: u32,
    pad: vec2<u32>,
}

struct Step {
    index: u32,
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

override ROWS: u32 = 1u;    // at most MAX_ROWS
// Named, because naga 30 loses count of overrides when an array's size is an expression without a name.
override SUMS: u32 = WORKGROUP_SIZE * ROWS;

const MAX_ROWS = 16u;
const WORKGROUP_SIZE = 16u;

@group(0) @binding(0) var<uniform> dims: StepDims;
@group(0) @binding(1) var<uniform> step_at: Step;                    // dynamic offset: one entry per step
//        @binding(2)                    gates_x                        [S, B, D, H, G]  update/*.wgsl
//        @binding(3)                    weight                         [.., U, G, R/4]  weight_hh, weight/*.wgsl
@group(0) @binding(4) var<storage, read> h_in: array<vec4<f32>>;     // [D, B, R/4]      state before the step
//        @binding(5), @binding(6)       h_out, y                       [D, B, R], ..    update/*.wgsl
@group(0) @binding(7) var<storage, read> lengths: array<u32>;        // [B]              valid steps of each row
//        @binding(8)                    the cell's own                                  cell/*.wgsl

// Each invocation's own: an index that is not constant would take all sums out of the registers.
var<workgroup> sh_sums: array<Gates, SUMS>;   // [ROWS, WORKGROUP_SIZE]

@compute @workgroup_size(WORKGROUP_SIZE)
fn step_subgroup(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) num_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
    @builtin(subgroup_invocation_id) lane: u32,
    @builtin(subgroup_size) lanes: u32,
) {
    let tile = workgroup.x + workgroup.y * num_workgroups.x;
    let unit = (tile % dims.unit_tiles) * WORKGROUP_SIZE + local_index;
    let b0 = ((tile / dims.unit_tiles) % dims.row_tiles) * ROWS;
    let d = tile / (dims.unit_tiles * dims.row_tiles);
    // Past the last direction in workgroups that folding added.
    if d >= dims.directions {
        return;
    }

    // Where no row's sequence reaches this step there is nothing to sum.
    var longest = 0u;
    for (var r = 0u; r < ROWS; r++) {
        longest = max(longest, lengths[min(b0 + r, dims.batch - 1u)]);
    }
    var sums: array<Gates, MAX_ROWS>;
    if time_step(d) < longest {
        // Every invocation takes part in what is passed round: units and rows past the end are the last one again.
        let first_quad = ((dims.slot + d) * dims.units + min(unit, dims.units - 1u)) * GATE_COUNT * dims.state_quads;
        for (var q0 = 0u; q0 < dims.state_quads; q0 += lanes) {
            var own: array<vec4<f32>, MAX_ROWS>;
            for (var r = 0u; r < ROWS; r++) {
                let b = min(b0 + r, dims.batch - 1u);
                own[r] = h_in[(d * dims.batch + b) * dims.state_quads + min(q0 + lane, dims.state_quads - 1u)];
            }
            for (var i = 0u; i < min(lanes, dims.state_quads - q0); i++) {
                let w = gate_weights(first_quad + q0 + i);
                for (var r = 0u; r < ROWS; r++) {
                    sums[r] += gate_products(w, subgroupShuffle(own[r], i));
                }
            }
        }
    }
    for (var r = 0u; r < ROWS; r++) {
        sh_sums[r * WORKGROUP_SIZE + local_index] = sums[r];
    }
    if unit < dims.units {
        for (var r = 0u; r < ROWS; r++) {
            if b0 + r < dims.batch {
                update(d, b0 + r, dims.unit_offset + unit, sh_sums[r * WORKGROUP_SIZE + local_index]);
            }
        }
    }
}
