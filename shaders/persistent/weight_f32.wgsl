// Weights stored as f32. Nothing writes them, but drivers load from a read-only binding again at
// every step.

@group(0) @binding(3) var<storage, read_write> weight: array<vec4<f32>>;  // [.., H, G, R/4]

fn weight_quad(quad: u32) -> vec4<f32> {
    return weight[quad];
}
