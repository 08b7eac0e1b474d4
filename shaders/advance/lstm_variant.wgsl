// ONNX's LSTM: i, f, o = f(·), g = g(·), c' = f∘c + i∘g, h' = o∘h(c'). Peepholes add p∘c to the
// operands of i and f, and p∘c' to that of o.

const FORGET_FROM_INPUT = 1u;   // f = 1 − i
const INPUT_FROM_FORGET = 2u;   // i = 1 − f

fn advance(sums: Gates, own: Inputs, row: u32, j: u32, h: f32) -> f32 {
    let d = row / dims.batch;
    let peepholes = setting(d, PEEPHOLES);
    let coupling = setting(d, COUPLING);
    var z = sums + own.gates;
    if peepholes != NO_PEEPHOLES {
        z.x = fma(peephole(peepholes, 0u, j), own.c, z.x);
        z.y = fma(peephole(peepholes, 1u, j), own.c, z.y);
    }
    var i = gated(d, F, z.x);
    var f = gated(d, F, z.y);
    if coupling == FORGET_FROM_INPUT {
        f = 1.0 - i;
    }
    if coupling == INPUT_FROM_FORGET {
        i = 1.0 - f;
    }
    let cell = clipped(fma(f, own.c, i * gated(d, G, z.z)), real_setting(d, CELL_CLIP));
    c[row * dims.hidden_size + j] = cell;
    if peepholes != NO_PEEPHOLES {
        z.w = fma(peephole(peepholes, 2u, j), cell, z.w);
    }
    return gated(d, F, z.w) * applied(d, H, cell);
}

// Returns the weight of the cell state in i, f or o of unit j.
fn peephole(peepholes: u32, gate: u32, j: u32) -> f32 {
    return bitcast<f32>(variant[peepholes + gate * dims.hidden_size + j]);
}
