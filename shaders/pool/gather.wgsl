// Gathers the state of a layer from the slots of a tick; see pool/io.wgsl.
//
// Each invocation copies one value. Rows without a slot become 0.

@group(0) @binding(2) var<storage, read> store: array<f32>;           // [N, ·]   the slots
@group(0) @binding(3) var<storage, read_write> state: array<f32>;     // [B, W]   h or c of a layer

@compute @workgroup_size(WORKGROUP_SIZE)
fn gather(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) num_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let at = (workgroup.x + workgroup.y * num_workgroups.x) * WORKGROUP_SIZE + local_index;
    if at < dims.rows * dims.width {
        var value = 0.0;
        if has_slot(at) {
            value = store[place(at)];
        }
        state[at] = value;
    }
}
