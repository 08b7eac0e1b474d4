// Weights stored as f32.

@group(0) @binding(3) var<storage, read> weight: array<vec4<f32>>;  // kernel's shape, rows of quads

fn weight_quad(quad: u32) -> vec4<f32> {
    return weight[quad];
}
