// Lanes pass values on within their subgroup, which holds LANES neighbours.

// Returns the value of the lane whose number differs in `mask`.
fn partner(value: Gates, mask: u32, local_index: u32) -> Gates {
    return subgroupShuffleXor(value, mask);
}
