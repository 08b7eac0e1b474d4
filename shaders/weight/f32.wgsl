// Weights stored as f32.

@group(0) @binding(3) var<storage, read> weight: array<vec4<f32>>;   // the kernel's shape, rows padded to quads

fn weight_quad(quad: u32) -> vec4<f32> {
    return weight[quad];
}
