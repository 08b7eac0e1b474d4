// Copies a caller's tensor into a plan's buffer, whose padding becomes 0; see pack/io.wgsl.
//
// Each invocation writes one value.

@group(0) @binding(1) var<storage, read> x: array<u32>;         // [T, B, D·F]   caller's strides
@group(0) @binding(2) var<storage, read_write> y: array<u32>;   // [S, B, D, W]  rows of quads

@compute @workgroup_size(WORKGROUP_SIZE)
fn pack(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) num_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let at = (workgroup.x + workgroup.y * num_workgroups.x) * WORKGROUP_SIZE + local_index;
    if at < own_count() {
        var value = 0u;
        if !is_padding(at) {
            value = x[callers_place(at)];
        }
        y[at] = value;
    }
}
