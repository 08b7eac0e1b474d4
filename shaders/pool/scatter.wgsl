// Scatters the state of a layer into the slots of a tick; see pool/io.wgsl.
//
// Each invocation copies one value. No two rows of a tick have the same slot.

@group(0) @binding(2) var<storage, read> state: array<f32>;           // [B, W]   h or c of a layer
@group(0) @binding(3) var<storage, read_write> store: array<f32>;     // [N, ·]   the slots

@compute @workgroup_size(WORKGROUP_SIZE)
fn scatter(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) num_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let at = (workgroup.x + workgroup.y * num_workgroups.x) * WORKGROUP_SIZE + local_index;
    if at < dims.rows * dims.width && has_slot(at) {
        store[place(at)] = state[at];
    }
}
