// Dropout between layers while training, in place: scales kept values, multiplies others by 0.
//
// Each invocation draws the random words of one quad. They depend only on the key, the place in the
// network (site, direction, unit), the time step and the row. Cutting time into segments or the
// batch into passes therefore changes no value.

struct DropoutDims {
    steps: u32,
    first_step: u32,
    seq_len: u32,
    batch: u32,
    directions: u32,
    quads: u32,
    site: u32,
    threshold: u32,   // keeps a value whose random word is at least this
    scale: f32,       // 1 / (1 − p), for kept values
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

@group(0) @binding(0) var<uniform> dims: DropoutDims;
// Settings: the key's low and high word, the first time step, the first row.
@group(0) @binding(1) var<storage, read> settings: array<u32>;        // [4]
// Each direction stores its steps in the order in which it visits them.
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;   // [S, B, D, Q]

const WORKGROUP_SIZE = 64u;

@compute @workgroup_size(WORKGROUP_SIZE)
fn dropout(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) num_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let tile = workgroup.x + workgroup.y * num_workgroups.x;
    let at = tile * WORKGROUP_SIZE + local_index;
    if at < dims.steps * dims.batch * dims.directions * dims.quads {
        let quad = at % dims.quads;
        let d = (at / dims.quads) % dims.directions;
        let b = (at / (dims.quads * dims.directions)) % dims.batch;
        let elapsed = dims.first_step + at / (dims.quads * dims.directions * dims.batch);
        let t = select(elapsed, dims.seq_len - 1u - elapsed, d == 1u);
        let counter = vec4<u32>(quad, settings[2] + t, settings[3] + b, dims.site + d);
        let words = philox(counter, vec2<u32>(settings[0], settings[1]));
        // PyTorch multiplies by 0 as well, so that a dropped NaN stays NaN.
        y[at] *= select(vec4<f32>(0.0), vec4<f32>(dims.scale), words >= vec4<u32>(dims.threshold));
    }
}
