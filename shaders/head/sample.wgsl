// Draws the next token of each row, as lib/draw.wgsl states it. A workgroup owns a row.

struct SampleDims {
    batch: u32,
    columns: u32,
    pad: vec2<u32>,
}

struct Step {
    index: u32,
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

override WORKGROUP_SIZE: u32 = 256u;   // at least 32

@group(0) @binding(0) var<uniform> dims: SampleDims;
@group(0) @binding(1) var<uniform> step_at: Step;                    // dynamic offset: one a step
@group(0) @binding(2) var<storage, read> logits: array<f32>;         // [B, N]
@group(0) @binding(3) var<storage, read> settings: array<u32>;       // [8]     lib/draw.wgsl
@group(0) @binding(4) var<storage, read_write> token: array<u32>;    // [B]     the next input
@group(0) @binding(5) var<storage, read_write> tokens: array<u32>;   // [S, B]  every drawn token

fn logit(at: u32) -> f32 {
    return logits[at];
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn sample(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) num_workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = workgroup.x + workgroup.y * num_workgroups.x;
    // Workgroups that folding added repeat the last row, to reach all barriers, and store nothing.
    let b = min(tile, dims.batch - 1u);
    let chosen = drawn(b * dims.columns, dims.columns, b, step_at.index, lane);
    if tile < dims.batch && lane == 0u {
        token[b] = chosen;
        tokens[step_at.index * dims.batch + b] = chosen;
    }
}
