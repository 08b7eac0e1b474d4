// Probes whether the workgroups of a dispatch run at the same time and see each other's words. In
// each round every workgroup marks its arrival and waits until all others have marked theirs, or
// until its looks are used up.
//
// Each invocation holds 128 values from before the first round until after the last. A core then
// runs no more workgroups at a time than in a dispatch whose weights fill the registers.

struct ResidenceDims {
    rounds: u32,
    looks: u32,
    keep: u32,
    pad: u32,
}

@group(0) @binding(0) var<uniform> dims: ResidenceDims;
@group(0) @binding(1) var<storage, read_write> values: array<vec4<f32>>;     // [32, WORKGROUP_SIZE]
@group(0) @binding(2) var<storage, read_write> arrivals: array<atomic<u32>>; // [rounds, workgroups]
// Invocations that waited in vain, and workgroups that ended.
@group(0) @binding(3) var<storage, read_write> verdict: array<atomic<u32>>;  // [2]

const WORKGROUP_SIZE = 256u;

struct Eight {
    a: vec4<f32>,
    b: vec4<f32>,
    c: vec4<f32>,
    d: vec4<f32>,
    e: vec4<f32>,
    f: vec4<f32>,
    g: vec4<f32>,
    h: vec4<f32>,
}

fn eight(first: u32) -> Eight {
    return Eight(
        values[first],
        values[first + WORKGROUP_SIZE],
        values[first + 2u * WORKGROUP_SIZE],
        values[first + 3u * WORKGROUP_SIZE],
        values[first + 4u * WORKGROUP_SIZE],
        values[first + 5u * WORKGROUP_SIZE],
        values[first + 6u * WORKGROUP_SIZE],
        values[first + 7u * WORKGROUP_SIZE],
    );
}

// Each round needs all values, because `x` changes.
fn product(v: Eight, x: f32) -> vec4<f32> {
    let half = ((v.a * x + v.b) * x + v.c) * x + v.d;
    return (((half * x + v.e) * x + v.f) * x + v.g) * x + v.h;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn residence(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) num_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let v0 = eight(local_index);
    let v1 = eight(local_index + 8u * WORKGROUP_SIZE);
    let v2 = eight(local_index + 16u * WORKGROUP_SIZE);
    let v3 = eight(local_index + 24u * WORKGROUP_SIZE);
    var looks = dims.looks;
    var sum = vec4<f32>(0.0);
    for (var round = 0u; round < dims.rounds; round++) {
        let x = f32(round) + 1.0;
        sum += product(v0, x) + product(v1, x) + product(v2, x) + product(v3, x);
        let first = round * num_workgroups.x;
        if local_index == 0u {
            atomicStore(&arrivals[first + workgroup.x], 1u);
        }
        for (var other = local_index; other < num_workgroups.x; other += WORKGROUP_SIZE) {
            while looks > 0u && atomicLoad(&arrivals[first + other]) == 0u {
                looks--;
            }
        }
        workgroupBarrier();
    }
    if looks == 0u {
        atomicAdd(&verdict[0], 1u);
    }
    if local_index == 0u {
        atomicAdd(&verdict[1], 1u);
    }
    // The host never sets `keep`. Compilers cannot know it, so they keep the values.
    if dims.keep != 0u {
        values[local_index] = sum;
    }
}
