// Lanes pass values on through workgroup memory, for devices without subgroups. The bits are those
// of lanes_subgroup.wgsl.

var<workgroup> sh_passed: array<Gates, WORKGROUP_SIZE>;   // [WORKGROUP_SIZE]

// Returns the value of the lane whose number differs in `mask`.
fn partner(value: Gates, mask: u32, local_index: u32) -> Gates {
    sh_passed[local_index] = value;
    workgroupBarrier();
    let passed = sh_passed[local_index ^ mask];
    workgroupBarrier();
    return passed;
}
