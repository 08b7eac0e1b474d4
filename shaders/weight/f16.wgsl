// Weights stored as f16, two to a word: half the bytes. Reading widens them, and arithmetic is f32.
// This needs no device feature.

@group(0) @binding(3) var<storage, read> weight: array<vec2<u32>>;  // kernel's shape, rows of quads

fn weight_quad(quad: u32) -> vec4<f32> {
    let halves = weight[quad];
    return vec4<f32>(unpack2x16float(halves.x), unpack2x16float(halves.y));
}
