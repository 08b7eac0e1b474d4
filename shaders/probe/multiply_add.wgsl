// Multiply-adds in eight independent chains of quads, 128 an iteration of an invocation. With two
// tiles every chain halves its value and adds one, and so converges to 2.

struct ProbeDims {
    iterations: u32,
    tiles: u32,
    pad: vec2<u32>,
}

@group(0) @binding(0) var<uniform> dims: ProbeDims;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;  // [workgroups, WORKGROUP_SIZE]

const WORKGROUP_SIZE = 64u;

@compute @workgroup_size(WORKGROUP_SIZE)
fn multiply_add(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let at = workgroup.x * WORKGROUP_SIZE + local_index;
    let factor = vec4<f32>(1.0 / f32(dims.tiles));
    let term = vec4<f32>(1.0);
    var a = y[at];
    var b = a + term;
    var c = b + term;
    var d = c + term;
    var e = d + term;
    var f = e + term;
    var g = f + term;
    var h = g + term;
    for (var i = 0u; i < dims.iterations; i++) {
        // Four steps of each chain, so that the loop itself costs little.
        a = (((a * factor + term) * factor + term) * factor + term) * factor + term;
        b = (((b * factor + term) * factor + term) * factor + term) * factor + term;
        c = (((c * factor + term) * factor + term) * factor + term) * factor + term;
        d = (((d * factor + term) * factor + term) * factor + term) * factor + term;
        e = (((e * factor + term) * factor + term) * factor + term) * factor + term;
        f = (((f * factor + term) * factor + term) * factor + term) * factor + term;
        g = (((g * factor + term) * factor + term) * factor + term) * factor + term;
        h = (((h * factor + term) * factor + term) * factor + term) * factor + term;
    }
    y[at] = a + b + (c + d) + (e + f + (g + h));
}
