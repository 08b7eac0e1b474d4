// The sum and the maximum of the values of a workgroup's invocations. Both leave their result in
// sh[0]. Their order depends on WORKGROUP_SIZE alone.

override WORKGROUP_SIZE: u32 = 256u;   // a power of two

var<workgroup> sh: array<f32, WORKGROUP_SIZE>;

fn reduce_sum(lane: u32, value: f32) {
    sh[lane] = value;
    for (var half = WORKGROUP_SIZE / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            sh[lane] += sh[lane + half];
        }
    }
}

fn reduce_max(lane: u32, value: f32) {
    sh[lane] = value;
    for (var half = WORKGROUP_SIZE / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            sh[lane] = max(sh[lane], sh[lane + half]);
        }
    }
}
