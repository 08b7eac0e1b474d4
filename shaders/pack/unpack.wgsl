// Copies a plan's buffer into a caller's tensor, without the padding; see pack/io.wgsl. Values
// between the tensor's rows stay.
//
// Each invocation writes one value or, for padding, none.

@group(0) @binding(1) var<storage, read> x: array<u32>;         // [S, B, D, W]  rows of quads
@group(0) @binding(2) var<storage, read_write> y: array<u32>;   // [T, B, D·F]   caller's strides

@compute @workgroup_size(WORKGROUP_SIZE)
fn unpack(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) num_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let at = (workgroup.x + workgroup.y * num_workgroups.x) * WORKGROUP_SIZE + local_index;
    if at < own_count() && !is_padding(at) {
        y[callers_place(at)] = x[at];
    }
}
