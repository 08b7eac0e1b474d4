// Measures bandwidth: reads a buffer repeatedly.
//
// Each iteration of a workgroup sums a block of four tiles, of which each invocation reads one
// quad. Workgroups take blocks in turn, shifted by one each time the buffer has been read. A core
// thus reads blocks that another core read last, as with the state and the weights of a time step.

struct ProbeDims {
    iterations: u32,
    tiles: u32,
    pad: vec2<u32>,
}

@group(0) @binding(0) var<uniform> dims: ProbeDims;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;   // [dims.tiles.., WORKGROUP_SIZE]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;   // [workgroups, WORKGROUP_SIZE]

const WORKGROUP_SIZE = 256u;
const BLOCK_TILES = 4u;

@compute @workgroup_size(WORKGROUP_SIZE)
fn bandwidth(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) num_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let blocks = dims.tiles / BLOCK_TILES;
    var sum0 = vec4<f32>(0.0);
    var sum1 = vec4<f32>(0.0);
    var sum2 = vec4<f32>(0.0);
    var sum3 = vec4<f32>(0.0);
    for (var i = 0u; i < dims.iterations; i++) {
        let visit = i * num_workgroups.x + workgroup.x;
        let block = (visit + visit / blocks) % blocks;
        let at = block * BLOCK_TILES * WORKGROUP_SIZE + local_index;
        sum0 += x[at];
        sum1 += x[at + WORKGROUP_SIZE];
        sum2 += x[at + 2u * WORKGROUP_SIZE];
        sum3 += x[at + 3u * WORKGROUP_SIZE];
    }
    y[workgroup.x * WORKGROUP_SIZE + local_index] =
        dot(sum0 + sum1 + (sum2 + sum3), vec4<f32>(1.0));
}
