// Sizes and bindings of the schedules that run one time step in each dispatch.

struct StepDims {
    seq_len: u32,
    first_step: u32,
    batch: u32,
    directions: u32,
    hidden_size: u32,
    state_quads: u32,
    units: u32,
    unit_offset: u32,
    unit_tiles: u32,
    row_tiles: u32,
    weight_base: u32,   // of the first direction in the weights
    first_index: u32,   // for waves only, as are the next two
    layer_delay: u32,
    steps: u32,
    pad: vec2<u32>,
}

struct Step {
    index: u32,
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

@group(0) @binding(0) var<uniform> dims: StepDims;
@group(0) @binding(1) var<uniform> step_at: Step;                  // dynamic offset: one a step
//        @binding(2)                    gates_x                      [S, B, D, H, G]  cell/*.wgsl
//        @binding(3)                    weight                       [.., U, G, R/4]  weight/*.wgsl
@group(0) @binding(4) var<storage, read> h_in: array<vec4<f32>>;   // [D, B, R/4]      state before
//        @binding(5), @binding(6)       h_out, y                     [D, B, R], ..    update/*.wgsl
@group(0) @binding(7) var<storage, read> lengths: array<u32>;      // [B]              valid steps
//        @binding(8)                    the cell's own                                cell/*.wgsl
