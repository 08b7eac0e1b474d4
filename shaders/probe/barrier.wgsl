// Measures barriers, two an iteration: the values of a workgroup move on by one invocation.

struct ProbeDims {
    iterations: u32,
    tiles: u32,
    pad: vec2<u32>,
}

@group(0) @binding(0) var<uniform> dims: ProbeDims;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;      // [WORKGROUP_SIZE]

const WORKGROUP_SIZE = 64u;

var<workgroup> sh_values: array<f32, WORKGROUP_SIZE>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn barrier(@builtin(local_invocation_index) local_index: u32) {
    sh_values[local_index] = y[local_index];
    for (var i = 0u; i < dims.iterations; i++) {
        workgroupBarrier();
        let next = sh_values[(local_index + 1u) % WORKGROUP_SIZE];
        workgroupBarrier();
        sh_values[local_index] = next;
    }
    y[local_index] = sh_values[local_index];
}
