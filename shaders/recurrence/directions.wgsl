// Which time step each direction visits: the forward direction from the first one on, the reverse direction from the last.

// Whether the sequence of row b reaches this step.
fn is_valid(d: u32, b: u32) -> bool {
    return time_step(d) < lengths[b];
}

// The time step that direction d visits now.
fn time_step(d: u32) -> u32 {
    let elapsed = dims.first_step + step_at.index;
    return select(elapsed, dims.seq_len - 1u - elapsed, d == 1u);
}
