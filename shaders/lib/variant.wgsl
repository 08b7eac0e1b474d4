// Cells that PyTorch lacks. Their functions, clips, coupled gates and peepholes are data, so that
// one text computes every such cell of a kind.
//
// A block of VARIANT_WORDS words belongs to a direction, or to a layer of a wave. The peepholes of
// all blocks follow the blocks.

const VARIANT_WORDS = 16u;

// The functions of the gates, the candidate and the cell state; their alphas; their betas.
const F = 0u;
const G = 1u;
const H = 2u;
const ALPHA = 3u;
const BETA = 6u;
// The limits of the clips; 0 for none.
const GATE_CLIP = 9u;
const CELL_CLIP = 10u;
const PROJECTION_CLIP = 11u;
const COUPLING = 12u;
// The first word of [3, H], the weights of the cell state in i, f and o; NO_PEEPHOLES for none.
const PEEPHOLES = 13u;
const NO_PEEPHOLES = 0u;

// The numbers of the functions.
const SIGMOID = 0u;
const TANH = 1u;
const RELU_FUNCTION = 2u;
const AFFINE = 3u;
const LEAKY_RELU = 4u;
const THRESHOLDED_RELU = 5u;
const SCALED_TANH = 6u;
const HARD_SIGMOID = 7u;
const ELU = 8u;
const SOFTSIGN = 9u;

@group(0) @binding(9) var<storage, read> variant: array<u32>;   // [.., VARIANT_WORDS], [.., 3, H]

fn setting(d: u32, index: u32) -> u32 {
    return variant[(dims.weight_base + d) * VARIANT_WORDS + index];
}

fn real_setting(d: u32, index: u32) -> f32 {
    return bitcast<f32>(setting(d, index));
}

// Clips to ±limit. A comparison with NaN is false, so that NaN stays.
fn clipped(x: f32, limit: f32) -> f32 {
    let below = select(x, limit, x > limit);
    return select(x, select(below, -limit, x < -limit), limit > 0.0);
}

// Returns function F or G of a clipped operand.
fn gated(d: u32, which: u32, x: f32) -> f32 {
    return applied(d, which, clipped(x, real_setting(d, GATE_CLIP)));
}

// Returns function F, G or H of x. As in `clipped`, NaN stays NaN.
fn applied(d: u32, which: u32, x: f32) -> f32 {
    let function = setting(d, which);
    let alpha = real_setting(d, ALPHA + which);
    let beta = real_setting(d, BETA + which);
    if function == SIGMOID {
        return sigmoid(x);
    }
    if function == TANH {
        return tanh_exact(x);
    }
    if function == RELU_FUNCTION {
        return select(x, 0.0, x < 0.0);
    }
    if function == AFFINE {
        return fma(alpha, x, beta);
    }
    if function == LEAKY_RELU {
        return select(x, alpha * x, x < 0.0);
    }
    if function == THRESHOLDED_RELU {
        return select(x, 0.0, x < alpha);
    }
    if function == SCALED_TANH {
        return alpha * tanh_exact(beta * x);
    }
    if function == HARD_SIGMOID {
        let y = fma(alpha, x, beta);
        return select(select(y, 1.0, y > 1.0), 0.0, y < 0.0);
    }
    if function == ELU {
        // e^x − 1 without cancellation near 0: 2t / (1 − t) of t = tanh(x / 2).
        let t = tanh_exact(0.5 * x);
        return select(x, alpha * (2.0 * t / (1.0 - t)), x < 0.0);
    }
    if function == SOFTSIGN {
        // The quotient has no value at infinity, where its limit is ±1.
        let limit = select(1.0, -1.0, x < 0.0);
        return select(x / (1.0 + abs(x)), limit, abs(x) > 1e30);
    }
    return softplus(x);
}

// ln(1 + e^x) = max(x, 0) + ln(1 + e), where e = e^−|x|. The logarithm is 2 artanh(s) of
// s = e / (2 + e), whose series ends where s² <= 1/9 is below the rounding.
fn softplus(x: f32) -> f32 {
    let e = exp(-abs(x));
    let s = e / (2.0 + e);
    let z = s * s;
    let p = (((((z / 13.0 + 1.0 / 11.0) * z + 1.0 / 9.0) * z + 1.0 / 7.0) * z + 0.2) * z
        + 1.0 / 3.0) * z + 1.0;
    return select(x, 0.0, x < 0.0) + 2.0 * s * p;
}
