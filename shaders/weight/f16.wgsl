// Weights stored as f16, two to a word, and widened as they are read: half the bytes, arithmetic in f32. Needs no feature
// of the device.

@group(0) @binding(3) var<storage, read> weight: array<vec2<u32>>;   // the kernel's shape, rows padded to quads

fn weight_quad(quad: u32) -> vec4<f32> {
    let halves = weight[quad];
    return vec4<f32>(unpack2x16float(halves.x), unpack2x16float(halves.y));
}
