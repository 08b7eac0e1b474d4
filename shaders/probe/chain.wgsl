// The shortest dispatch that must wait for the previous one: adds a multiple of the step's index to
// the previous result.

struct ProbeDims {
    iterations: u32,
    tiles: u32,
    pad: vec2<u32>,
}

struct Step {
    index: u32,
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

@group(0) @binding(0) var<uniform> dims: ProbeDims;
@group(0) @binding(1) var<uniform> step_at: Step;               // dynamic offset: one entry a step
@group(0) @binding(2) var<storage, read> x: array<f32>;         // [WORKGROUP_SIZE]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;   // [WORKGROUP_SIZE]

const WORKGROUP_SIZE = 64u;

@compute @workgroup_size(WORKGROUP_SIZE)
fn chain(@builtin(local_invocation_index) local_index: u32) {
    y[local_index] = x[local_index] + f32(step_at.index * dims.iterations);
}
