// Sizes and bindings of recurrence/persistent.wgsl.

struct PersistentDims {
    seq_len: u32,
    first_step: u32,    // of the segment
    first_index: u32,   // of the dispatch within the segment
    steps: u32,         // of the dispatch
    batch: u32,
    directions: u32,
    hidden_size: u32,
    state_quads: u32,
    unit_tiles: u32,
    row_tiles: u32,
    weight_base: u32,   // of the first direction in the weights
    spins: u32,         // looks at a missing word before patience ends
}

@group(0) @binding(0) var<uniform> dims: PersistentDims;
//        @binding(2)                    gates_x                      [S, B, D, H, G]  own_*.wgsl
//        @binding(3)                    weight                       [.., H, G, R/4]  weight_*.wgsl
@group(0) @binding(4) var<storage, read> h_in: array<f32>;         // [D, B, R]        state before
@group(0) @binding(5) var<storage, read_write> h_out: array<f32>;  // [D, B, R]        state after
@group(0) @binding(6) var<storage, read_write> y: array<f32>;      // [S, B, D, R]     output
@group(0) @binding(7) var<storage, read> lengths: array<u32>;      // [B]              valid steps
//        @binding(8)                    the cell's own                                own_*.wgsl
//        @binding(9)                    exchange                     [64 + S·D·B·R]   words.wgsl

// Returns the time step that direction d visits at an index of the segment.
fn time_step(d: u32, index: u32) -> u32 {
    let elapsed = dims.first_step + index;
    return select(elapsed, dims.seq_len - 1u - elapsed, d == 1u);
}
