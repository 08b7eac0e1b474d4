// Several time steps of one layer, all directions, in one dispatch: invocations keep their weights
// in registers, and workgroups exchange the state through memory.
//
// LANES invocations share UNITS hidden units with all their gates. Lane l holds the weights of the
// state's quads l, l + LANES, ... A workgroup owns WORKGROUP_SIZE / LANES · UNITS units of ROWS
// batch rows, and advances CHUNK rows at a time. At each step it copies the state of a chunk into
// workgroup memory. Each lane sums its quads, and the lanes fold their sums. The lane that ends up
// with the sums of a row and unit applies the cell and publishes the new state.
//
// A word of `exchange` is data and readiness at once: 0 means "not there yet". The state has no +0,
// since every +0 becomes −0. Each step has its own words, which are cleared before. Therefore
// relaxed atomics suffice, and no word is used twice. Waits are bounded: an invocation whose
// patience ends raises a flag and waits no more. The workgroups of a dispatch must all run at the
// same time, unless it computes one step, whose words are all there.
//
// A lane adds its features in order. Then lanes meet in halves. The order of a sum depends on LANES
// and QUADS, and these depend on the hidden size. CHUNK, UNITS and ROWS change no bit.
//
// Fragments in persistent/ give the types of the cell, the units of a lane, the exchange, and the
// way in which lanes pass values on.

override LANES: u32 = 32u;     // 4, 8, 16 or 32; at most those of a subgroup, if subgroups pass on
override QUADS: u32 = 1u;      // at least state_quads / LANES
override CHUNK: u32 = 1u;      // CHUNK · UNITS is at most LANES
override ROWS: u32 = 1u;       // a multiple of CHUNK
// One workgroup owns all units, and ROWS is CHUNK: the state stays in the workgroup.
override ALONE: bool = false;
// Named, because naga 30 miscounts overrides if the size of an array is an unnamed expression.
override STRIDE: u32 = LANES * QUADS;         // quads of a row in workgroup memory
override CHUNKS: u32 = ROWS / CHUNK;
override OWN: u32 = CHUNKS * WORKGROUP_SIZE;

const WORKGROUP_SIZE = 256u;

// Members have names, since an array that a loop indexes leaves the registers.
struct Held {
    a: Block,
    b: Block,
    c: Block,
    d: Block,
    e: Block,
    f: Block,
    g: Block,
    h: Block,
}

// The part of the layer that an invocation computes.
struct Place {
    d: u32,
    row0: u32,     // the first row of the workgroup
    unit0: u32,    // the first unit of the invocation's lanes
    row: u32,      // the row of a chunk that the invocation finishes
    unit: u32,     // the unit that it finishes; may be past the end
    stores: bool,  // one of the lanes that finish the same row and unit stores it
}

var<workgroup> sh_own: array<f32, OWN>;   // [CHUNKS, WORKGROUP_SIZE]  the cell's own values

@compute @workgroup_size(WORKGROUP_SIZE)
fn persistent(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) num_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let lane = local_index % LANES;
    let at = place_of(workgroup.x + workgroup.y * num_workgroups.x, local_index);
    let state_size = dims.state_quads * 4u;
    let held = hold(at, lane);
    // Weights past the end are 0, and the state there must be finite.
    clear_state(local_index);
    for (var chunk = 0u; chunk < CHUNKS; chunk++) {
        let b = min(at.row0 + chunk * CHUNK + at.row, dims.batch - 1u);
        let own = load_own(at.d, b, min(at.unit, dims.hidden_size - 1u));
        sh_own[chunk * WORKGROUP_SIZE + local_index] = own;
    }
    // An invocation that finds the flag raised waits no more.
    var patience = select(dims.spins, 0u, is_failed());
    let hopeless = patience == 0u;
    var next_x = fetch_x(at, 0u);
    workgroupBarrier();

    // A round is one step of one chunk.
    let rounds = dims.steps * CHUNKS;
    for (var round = 0u; round < rounds; round++) {
        let chunk = round % CHUNKS;
        let index = dims.first_index + round / CHUNKS;
        let half = round % 2u;
        let first_row = at.row0 + chunk * CHUNK;
        let b = first_row + at.row;
        let length = lengths[min(b, dims.batch - 1u)];

        if !ALONE || round == 0u {
            let rows = min(CHUNK, max(dims.batch, first_row) - first_row);
            let row_at = at.d * dims.batch + first_row;
            if index == 0u {
                copy_initial(half, row_at * state_size, rows * state_size, local_index);
            } else {
                let slot = (index - 1u) * dims.directions * dims.batch + row_at;
                patience = copy_exchanged(
                    half,
                    slot * state_size,
                    rows * state_size,
                    local_index,
                    patience,
                );
            }
        }
        // The copy is there, or the state that the workgroup put there.
        workgroupBarrier();

        let sums = joined(chunk_sums(held, state_at(half, 0u, lane), local_index), local_index);
        let h = state_word(half, at.row, at.unit);
        let own = sh_own[chunk * WORKGROUP_SIZE + local_index];
        let next = advance(sums, next_x, h, own);
        let valid = time_step(at.d, index) < length;
        let state = select(h, next.x, valid);
        sh_own[chunk * WORKGROUP_SIZE + local_index] = select(own, next.y, valid);

        let last = round + CHUNKS >= rounds;
        if at.stores && b < dims.batch && at.unit < dims.hidden_size {
            let row_at = (at.d * dims.batch + b) * state_size;
            if !ALONE || last {
                let slot = index * dims.directions * dims.batch * state_size + row_at;
                publish(slot + at.unit, exchanged(state));
                // Others wait for the padding, too.
                if at.unit + 1u == dims.hidden_size {
                    for (var j = dims.hidden_size; j < state_size; j++) {
                        publish(slot + j, NEGATIVE_ZERO);
                    }
                }
            }
            if ALONE {
                put(1u - half, at.row, at.unit, bitcast<f32>(exchanged(state)));
            }
            let y_row = (index * dims.batch + b) * dims.directions + at.d;
            y[y_row * state_size + at.unit] = select(0.0, state, valid);
            if last {
                // A state that was +0 came back as −0.
                let bits = bitcast<u32>(state);
                h_out[row_at + at.unit] = bitcast<f32>(select(bits, 0u, bits == NEGATIVE_ZERO));
            }
        }
        next_x = fetch_x(at, round + 1u);
    }

    for (var chunk = 0u; chunk < CHUNKS; chunk++) {
        let b = at.row0 + chunk * CHUNK + at.row;
        if at.stores && b < dims.batch && at.unit < dims.hidden_size {
            store_own(at.d, b, at.unit, sh_own[chunk * WORKGROUP_SIZE + local_index]);
        }
    }
    if patience == 0u && !hopeless {
        raise_flag();
    }
}

fn place_of(workgroup: u32, local_index: u32) -> Place {
    let lane = local_index % LANES;
    let share = LANES / (CHUNK * UNITS);   // lanes that finish the same row and unit
    let item = lane / share;               // [CHUNK, UNITS]
    let tile = workgroup % dims.unit_tiles;
    let row_tile = workgroup / dims.unit_tiles % dims.row_tiles;
    let unit0 = (tile * (WORKGROUP_SIZE / LANES) + local_index / LANES) * UNITS;
    let d = workgroup / (dims.unit_tiles * dims.row_tiles);
    return Place(
        // Workgroups that folding added read the last direction and store nothing.
        min(d, dims.directions - 1u),
        row_tile * ROWS,
        unit0,
        item / UNITS,
        unit0 + item % UNITS,
        lane % share == 0u && d < dims.directions,
    );
}

// Returns gates_x of the row and unit that the invocation finishes, `round` rounds after the
// dispatch's first one, or of the last step.
fn fetch_x(at: Place, round: u32) -> Gates {
    let step = dims.first_index + min(round / CHUNKS, dims.steps - 1u);
    let b = min(at.row0 + round % CHUNKS * CHUNK + at.row, dims.batch - 1u);
    let row = (step * dims.batch + b) * dims.directions + at.d;
    return gates_x_at(row * dims.hidden_size + min(at.unit, dims.hidden_size - 1u));
}

// Returns the weights of an invocation.
fn hold(at: Place, lane: u32) -> Held {
    var held = Held();
    held.a = load_block(at, lane);
    if QUADS > 1u {
        held.b = load_block(at, lane + LANES);
    }
    if QUADS > 2u {
        held.c = load_block(at, lane + 2u * LANES);
        held.d = load_block(at, lane + 3u * LANES);
    }
    if QUADS > 4u {
        held.e = load_block(at, lane + 4u * LANES);
        held.f = load_block(at, lane + 5u * LANES);
        held.g = load_block(at, lane + 6u * LANES);
        held.h = load_block(at, lane + 7u * LANES);
    }
    return held;
}

// Units and quads past the end are zeros, which change no sum.
fn load_weights(d: u32, unit: u32, quad: u32) -> QuadWeights {
    var weights = QuadWeights();
    if unit < dims.hidden_size && quad < dims.state_quads {
        let row = ((dims.weight_base + d) * dims.hidden_size + unit) * GATE_COUNT;
        weights = gate_weights(row * dims.state_quads + quad, dims.state_quads);
    }
    return weights;
}

// Returns the sums of a chunk's rows. Two sums are folded as soon as they are there, so that few
// sums are alive. At each fold half of the lanes go on with the later row.
fn chunk_sums(w: Held, at: u32, local_index: u32) -> Sums {
    var sums = Sums();
    if CHUNK == 8u {
        let early = four_rows(w, at, local_index);
        let late = four_rows(w, at + STRIDE, local_index);
        sums = fold_sums(early, late, LANES / 8u, local_index);
    } else if CHUNK == 4u {
        sums = four_rows(w, at, local_index);
    } else if CHUNK == 2u {
        sums = two_rows(w, at, local_index);
    } else {
        sums = row_sums(w, at);
    }
    return sums;
}

fn four_rows(w: Held, at: u32, local_index: u32) -> Sums {
    let early = two_rows(w, at, local_index);
    let late = two_rows(w, at + CHUNK / 4u * STRIDE, local_index);
    return fold_sums(early, late, LANES / 4u, local_index);
}

fn two_rows(w: Held, at: u32, local_index: u32) -> Sums {
    let late = row_sums(w, at + CHUNK / 2u * STRIDE);
    return fold_sums(row_sums(w, at), late, LANES / 2u, local_index);
}

// Returns the part of one lane in the sums of its units in one row.
fn row_sums(w: Held, at: u32) -> Sums {
    var s = Sums();
    s = add_block(s, w.a, state_quad(at));
    if QUADS > 1u {
        s = add_block(s, w.b, state_quad(at + LANES));
    }
    if QUADS > 2u {
        s = add_block(s, w.c, state_quad(at + 2u * LANES));
        s = add_block(s, w.d, state_quad(at + 3u * LANES));
    }
    if QUADS > 4u {
        s = add_block(s, w.e, state_quad(at + 4u * LANES));
        s = add_block(s, w.f, state_quad(at + 5u * LANES));
        s = add_block(s, w.g, state_quad(at + 6u * LANES));
        s = add_block(s, w.h, state_quad(at + 7u * LANES));
    }
    return s;
}

// A lane passes one of two sums on to its partner and goes on with the other: with the later one
// where `mask` is set in its number.
fn fold(a: Gates, b: Gates, mask: u32, local_index: u32) -> Gates {
    let later = (local_index & mask) != 0u;
    return select(a, b, later) + partner(select(b, a, later), mask, local_index);
}
