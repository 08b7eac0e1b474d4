// A step of every layer of a stack at once, the layers in place of directions: each is dims.layer_delay steps behind the one below
// it. The cell's result is the new state and the output. A layer that has not begun, or has ended, keeps its state, so
// that the states of all layers change places together.

@group(0) @binding(2) var<storage, read> gates_x: array<f32>;        // [L, S, B, H, G]  input projections and biases
@group(0) @binding(5) var<storage, read_write> h_out: array<f32>;    // [L, B, R]        state after the step
@group(0) @binding(6) var<storage, read_write> y: array<f32>;        // [L, S, B, R]     the layers' outputs

// Advances unit j of row b, or leaves it as it is where the row's sequence does not reach this step.
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

// Whether layer d is within the segment and the sequence of row b reaches its step.
fn is_valid(d: u32, b: u32) -> bool {
    return time_step(d) < lengths[b];
}

// The time step that layer d is at; more than any where it is not within the segment.
fn time_step(d: u32) -> u32 {
    let s = segment_step(d);
    return select(0xffffffffu, dims.first_step + s, s < dims.steps);
}

// The step of the segment that layer d is at. Before the first one this wraps, to more than any segment has.
fn segment_step(d: u32) -> u32 {
    return dims.first_index + step_at.index - d * dims.layer_delay;
}
