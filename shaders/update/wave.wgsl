// One step of every layer of a stack at once, with layers instead of directions. Each layer runs
// dims.layer_delay steps after the one below it.
//
// A layer that has not begun, or has ended, keeps its state, so that the state buffers of all
// layers swap roles together.

// Row b of layer d at its step, in gates_x and y. Outside the segment it is another row of the
// layer.
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

// Returns whether layer d has an output now: it is within the segment.
fn has_output(d: u32) -> bool {
    return segment_step(d) < dims.steps;
}
