// One step of every layer of a stack at once, with layers instead of directions. Each layer runs
// dims.layer_delay steps after the one below it. The cell's result is the new state and the output.
//
// A layer that has not begun, or has ended, keeps its state, so that the state buffers of all
// layers swap roles together.

@group(0) @binding(2) var<storage, read> gates_x: array<f32>;       // [L, S, B, H, G]  W_ih x + b
@group(0) @binding(5) var<storage, read_write> h_out: array<f32>;   // [L, B, R]        state after
@group(0) @binding(6) var<storage, read_write> y: array<f32>;       // [L, S, B, R]     outputs

// Advances unit j of row b. A row whose sequence does not reach this step keeps its state and
// outputs 0.
fn update(d: u32, b: u32, j: u32, sums: Gates) {
    let state_size = dims.state_quads * 4u;
    let row = d * dims.batch + b;
    let s = segment_step(d);
    let y_row = (d * dims.steps + s) * dims.batch + b;
    let h = h_in[row * dims.state_quads + j / 4u][j % 4u];
    let valid = is_valid(d, b);
    var next = h;
    if valid {
        next = advance(sums, (y_row * dims.hidden_size + j) * GATE_COUNT, d, row, j, h);
    }
    h_out[row * state_size + j] = next;
    if s < dims.steps {
        y[y_row * state_size + j] = select(0.0, next, valid);
    }
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
