// Several time steps of one layer, all directions, in one dispatch, where a load costs every lane of a vector its own
// turn, as on software adapters: weights are loaded once a dispatch, and the invocations of a subgroup read and write the
// state together and pass it round, which is a single instruction. See shared/sequence.wgsl.
//
// A workgroup owns ROWS batch rows of one direction; each of its invocations owns one hidden unit, with all its gates and
// weights, and sums alone, quad after quad. A cell fragment (cell/*.wgsl) gives Gates, GateWeights, gate_weights,
// gate_products and advance. Needs the feature `subgroups`, and subgroups of GROUP or a multiple that divide
// WORKGROUP_SIZE.

override WORKGROUP_SIZE: u32 = 256u;   // at least H
override ROWS: u32 = 1u;               // at most MAX_ROWS
override STATE: u32 = 1024u;           // at least 2 · ROWS · R
override GROUPS: u32 = 8u;             // of GROUP quads, at most 8: as many as H has, or more
// Named, because naga 30 loses count of overrides when an array's size is an expression without a name.
override STATE_QUADS: u32 = STATE / 4u;

const MAX_ROWS = 8u;
const GROUP = 8u;   // quads that a subgroup reads at a time

// What a loop goes over from end to end, so that drivers take the loop apart, and each element is a register or an address.
alias Group = array<GateWeights, GROUP>;

var<workgroup> sh_h: array<vec4<f32>, STATE_QUADS>;   // [2, ROWS, R/4]

@compute @workgroup_size(WORKGROUP_SIZE)
fn sequence_subgroup(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) num_workgroups: vec3<u32>,
    @builtin(local_invocation_index) j: u32,
    @builtin(subgroup_invocation_id) lane: u32,
    @builtin(subgroup_size) lanes: u32,
) {
    let tile = workgroup.x + workgroup.y * num_workgroups.x;
    let b0 = (tile % dims.row_tiles) * ROWS;
    // Past the last direction in workgroups that folding added: they run along and store nothing.
    let live = tile / dims.row_tiles < dims.directions;
    let d = min(tile / dims.row_tiles, dims.directions - 1u);
    let quads = dims.state_quads;
    let half = ROWS * quads;

    // Every invocation takes part in what is passed round: units past the end are the last one again.
    let unit = min(j, dims.hidden_size - 1u);
    let first_quad = ((dims.slot + d) * dims.hidden_size + unit) * GATE_COUNT * quads;
    var held0 = hold(first_quad, 0u);
    var held1 = hold(first_quad, 1u);
    var held2 = hold(first_quad, 2u);
    var held3 = hold(first_quad, 3u);
    var held4 = hold(first_quad, 4u);
    var held5 = hold(first_quad, 5u);
    var held6 = hold(first_quad, 6u);
    var held7 = hold(first_quad, 7u);

    // Units past the end are the padding of a row, zeros.
    var states: array<f32, MAX_ROWS>;
    var longest = 0u;
    for (var r = 0u; r < ROWS; r++) {
        let b = min(b0 + r, dims.batch - 1u);
        longest = max(longest, lengths[b]);
        if j < dims.hidden_size {
            states[r] = h_in[(d * dims.batch + b) * quads * 4u + j];
        }
        publish(r * quads, j, lane, lanes, states[r]);
    }
    workgroupBarrier();

    for (var s = 0u; s < dims.steps; s++) {
        let t = time_step(d, s);
        let from_half = (s % 2u) * half;
        let to_half = half - from_half;
        for (var r = 0u; r < ROWS; r++) {
            var sums: Gates;
            // Where no row's sequence reaches this step there is nothing to sum.
            if t < longest {
                let row = from_half + r * quads;
                sums = add_group(sums, &held0, own_quad(row, 0u, lane));
                if GROUPS > 1u {
                    sums = add_group(sums, &held1, own_quad(row, 1u, lane));
                }
                if GROUPS > 2u {
                    sums = add_group(sums, &held2, own_quad(row, 2u, lane));
                    sums = add_group(sums, &held3, own_quad(row, 3u, lane));
                }
                if GROUPS > 4u {
                    sums = add_group(sums, &held4, own_quad(row, 4u, lane));
                    sums = add_group(sums, &held5, own_quad(row, 5u, lane));
                    sums = add_group(sums, &held6, own_quad(row, 6u, lane));
                    sums = add_group(sums, &held7, own_quad(row, 7u, lane));
                }
            }
            if live && j < dims.hidden_size {
                states[r] = update(d, b0 + r, j, s, t, sums, states[r]);
            }
            publish(to_half + r * quads, j, lane, lanes, states[r]);
        }
        workgroupBarrier();
    }

    for (var r = 0u; r < ROWS; r++) {
        if live && b0 + r < dims.batch && j < quads * 4u {
            h_out[(d * dims.batch + b0 + r) * quads * 4u + j] = states[r];
        }
    }
}

// The weights of a group of quads. Those past the end are zeros.
fn hold(first_quad: u32, group: u32) -> Group {
    var held: Group;
    for (var i = 0u; i < GROUP; i++) {
        if group * GROUP + i < dims.state_quads {
            held[i] = gate_weights(first_quad + group * GROUP + i);
        }
    }
    return held;
}

// Stores unit j of the row that begins at sh_h[row]: of the subgroup's lanes, which have neighbouring units, those at the
// front store a quad each.
fn publish(row: u32, j: u32, lane: u32, lanes: u32, state: f32) {
    // Lanes further back read what they do not store.
    let first = lane * 4u % lanes;
    let x = subgroupShuffle(state, first);
    let y = subgroupShuffle(state, first + 1u);
    let z = subgroupShuffle(state, first + 2u);
    let w = subgroupShuffle(state, first + 3u);
    let q = (j - lane) / 4u + lane;
    if lane < lanes / 4u && q < dims.state_quads {
        sh_h[row + q] = vec4<f32>(x, y, z, w);
    }
}

// The quad of the group that this lane reads, of the row that begins at sh_h[row]. Past the end it is zeros.
fn own_quad(row: u32, group: u32, lane: u32) -> vec4<f32> {
    let q = group * GROUP + lane % GROUP;
    if q >= dims.state_quads {
        return vec4<f32>(0.0);
    }
    return sh_h[row + q];
}

// Adds the products of a group of quads to the sums, one after the other. `own` is the quad of this lane.
fn add_group(sums: Gates, held: ptr<function, Group>, own: vec4<f32>) -> Gates {
    var added = sums;
    for (var i = 0u; i < GROUP; i++) {
        added += gate_products((*held)[i], subgroupShuffle(own, i));
    }
    return added;
}
