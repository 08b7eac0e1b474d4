// Weights stored as f16, two to a word; see weight/f16.wgsl and weight_f32.wgsl.

@group(0) @binding(3) var<storage, read_write> weight: array<vec2<u32>>;  // [.., H, G, R/4]

fn weight_quad(quad: u32) -> vec4<f32> {
    let halves = weight[quad];
    return vec4<f32>(unpack2x16float(halves.x), unpack2x16float(halves.y));
}
