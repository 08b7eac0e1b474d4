// Measures how fast a buffer is read. Each word is read once a pass, by one workgroup, and counts
// in that workgroup's sums.
//
// An iteration of a workgroup sums a block of four tiles, of which each invocation reads one quad.
// A pass is a visit to every block. A pass visits the blocks in the order of the last one, rotated
// by a random number. So no workgroup can follow another through the blocks and read them from the
// cache of a core. Sums of words have no rounding: the host compares them exactly.

struct ProbeDims {
    iterations: u32,
    tiles: u32,
    pad: vec2<u32>,
}

@group(0) @binding(0) var<uniform> dims: ProbeDims;
@group(0) @binding(1) var<storage, read> x: array<vec4<u32>>;   // [dims.tiles.., WORKGROUP_SIZE]
@group(0) @binding(2) var<storage, read_write> y: array<u32>;   // [workgroups, WORKGROUP_SIZE]

const WORKGROUP_SIZE = 256u;
const BLOCK_TILES = 4u;

// A random number of a pass (lowbias32 of Chris Wellons).
fn rotation(passes: u32) -> u32 {
    var x = passes;
    x = (x ^ (x >> 16u)) * 0x7feb352du;
    x = (x ^ (x >> 15u)) * 0x846ca68bu;
    return x ^ (x >> 16u);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn bandwidth(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) num_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let blocks = dims.tiles / BLOCK_TILES;
    var sum0 = vec4<u32>(0u);
    var sum1 = vec4<u32>(0u);
    var sum2 = vec4<u32>(0u);
    var sum3 = vec4<u32>(0u);
    for (var i = 0u; i < dims.iterations; i++) {
        let visit = i * num_workgroups.x + workgroup.x;
        let passes = visit / blocks;
        let block = (visit - passes * blocks + rotation(passes) % blocks) % blocks;
        let at = block * BLOCK_TILES * WORKGROUP_SIZE + local_index;
        sum0 += x[at];
        sum1 += x[at + WORKGROUP_SIZE];
        sum2 += x[at + 2u * WORKGROUP_SIZE];
        sum3 += x[at + 3u * WORKGROUP_SIZE];
    }
    let sum = sum0 + sum1 + (sum2 + sum3);
    y[workgroup.x * WORKGROUP_SIZE + local_index] = sum.x + sum.y + (sum.z + sum.w);
}
