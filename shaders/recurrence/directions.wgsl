// The time step of each direction: forward from the first one, reverse from the last.

// Returns whether the sequence of row b reaches this step.
fn is_valid(d: u32, b: u32) -> bool {
    return time_step(d) < lengths[b];
}

// Returns the time step that direction d visits now.
fn time_step(d: u32) -> u32 {
    let elapsed = dims.first_step + step_at.index;
    return select(elapsed, dims.seq_len - 1u - elapsed, d == 1u);
}

// Row b of direction d at this step, in gates_x and y.
fn y_row(d: u32, b: u32) -> u32 {
    return (step_at.index * dims.batch + b) * dims.directions + d;
}

// Returns whether direction d has an output now: always.
fn has_output(d: u32) -> bool {
    return true;
}
