// Sizes of gather and scatter, and the place of a row's state in the store of a pool.
//
// A slot stores the state of one sequence: h and, for an LSTM, c of every layer, side by side. A
// dispatch moves one of these for all rows of a tick.

struct SlotsDims {
    rows: u32,
    width: u32,
    stride: u32,
    offset: u32,
}

@group(0) @binding(0) var<uniform> dims: SlotsDims;
// The slot of each row, NO_SLOT for rows that only fill up the batch.
@group(0) @binding(1) var<storage, read> slots: array<u32>;   // [B]

const NO_SLOT = 0xffffffffu;
const WORKGROUP_SIZE = 64u;

fn has_slot(at: u32) -> bool {
    return slots[at / dims.width] != NO_SLOT;
}

// Returns the index in the store of value `at` of [B, W].
fn place(at: u32) -> u32 {
    return slots[at / dims.width] * dims.stride + dims.offset + at % dims.width;
}
