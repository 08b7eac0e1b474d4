// Sizes and bindings of head/generate.wgsl.

struct GenerateDims {
    steps: u32,          // of the dispatch
    first_step: u32,     // of the dispatch, among the tokens
    batch: u32,
    layers: u32,
    hidden_size: u32,
    state_quads: u32,
    input_quads: u32,    // of a row of the embedding
    ntoken: u32,
    decoder: u32,        // the first quad of the decoder in the weights
    workgroups: u32,
    spins: u32,          // looks at a missing word before patience ends
    pad: u32,
}

@group(0) @binding(0) var<uniform> dims: GenerateDims;
//        @binding(2)                    bias              [L·H + N, G]       own_*.wgsl
//        @binding(3)                    weight            [Q]                weight/*.wgsl
@group(0) @binding(4) var<storage, read> state_in: array<u32>;         // [B + L·B·R]  tokens, h
@group(0) @binding(5) var<storage, read_write> state_out: array<u32>;  // [B + L·B·R]  tokens, h
@group(0) @binding(6) var<storage, read_write> tokens: array<u32>;     // [S, B]       drawn tokens
@group(0) @binding(7) var<storage, read> settings: array<u32>;         // [8]          lib/draw.wgsl
//        @binding(8)                    the cell's own                       own_*.wgsl
//        @binding(9)                    exchange          [64 + S·B·(L·H + N)]   words.wgsl
