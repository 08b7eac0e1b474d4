// nn.Embedding: y[row] = weight[tokens[row]].
//
// Each invocation copies one quad. The table of a large vocabulary is sharded by token, with one
// dispatch for each shard. A dispatch writes the rows whose token is in its shard and skips others.

struct EmbedDims {
    rows: u32,
    first_token: u32,
    tokens: u32,
    quads: u32,
}

@group(0) @binding(0) var<uniform> dims: EmbedDims;
@group(0) @binding(1) var<storage, read> tokens: array<u32>;          // [S·B]
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;   // [S·B, Q]
//        @binding(3)                    weight                          [N, Q]    weight/*.wgsl

const WORKGROUP_SIZE = 64u;

@compute @workgroup_size(WORKGROUP_SIZE)
fn embed(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) num_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let tile = workgroup.x + workgroup.y * num_workgroups.x;
    let at = tile * WORKGROUP_SIZE + local_index;
    if at < dims.rows * dims.quads {
        // A token before the shard wraps to a large number and fails the test.
        let token = tokens[at / dims.quads] - dims.first_token;
        if token < dims.tokens {
            y[at] = weight_quad(token * dims.quads + at % dims.quads);
        }
    }
}
