// One step of every layer of a stack at once, with layers instead of directions. Each layer runs
// dims.layer_delay steps after the one below it. The cell's result is the new state and the output.
//
// A layer that has not begun, or has ended, keeps its state, so that the state buffers of all
// layers swap roles together.

@group(0) @binding(5) var<storage, read_write> h_out: array<f32>;   // [L, B, R]     state after
@group(0) @binding(6) var<storage, read_write> y: array<f32>;       // [L, S, B, R]  outputs

// The values that a unit needs, without its sums.
struct Unit {
    own: Inputs,
    h: f32,
    valid: bool,
}

fn load_unit(d: u32, b: u32, j: u32) -> Unit {
    let row = d * dims.batch + b;
    let x = y_row(d, b) * dims.hidden_size + j;
    let h = h_in[row * dims.state_quads + j / 4u][j % 4u];
    return Unit(inputs(x, d, row, j), h, is_valid(d, b));
}

// Advances unit j of row b. A row whose sequence does not reach this step keeps its state and
// outputs 0.
fn store_unit(d: u32, b: u32, j: u32, sums: Gates, unit: Unit) {
    let state_size = dims.state_quads * 4u;
    let row = d * dims.batch + b;
    var next = unit.h;
    if unit.valid {
        next = advance(sums, unit.own, row, j, unit.h);
    }
    h_out[row * state_size + j] = next;
    if segment_step(d) < dims.steps {
        y[y_row(d, b) * state_size + j] = select(0.0, next, unit.valid);
    }
}

// Row b of layer d at its step, in gates_x and y. Where the layer is not within the segment this is
// some row of its own.
fn y_row(d: u32, b: u32) -> u32 {
    return (d * dims.steps + min(segment_step(d), dims.steps - 1u)) * dims.batch + b;
}

// Returns whether layer d is within the segment and the sequence of row b reaches its step.
fn is_valid(d: u32, b: u32) -> bool {
    return time_step(d) < lengths[b];
}

// Returns the time step of layer d, or the largest number outside the segment.
fn time_step(d: u32) -> u32 {
    let s = segment_step(d);
    return select(0xffffffffu, dims.first_step + s, s < dims.steps);
}

// Returns the step of layer d within the segment. Before the first one it wraps to a number beyond
// any segment.
fn segment_step(d: u32) -> u32 {
    return dims.first_index + step_at.index - d * dims.layer_delay;
}
