// The activation functions of a network, by number. NaN stays NaN in all of them: a comparison
// with it is false.

const FUNCTION_NONE = 0u;
const FUNCTION_SIGMOID = 1u;
const FUNCTION_RELU = 2u;
const FUNCTION_TANH = 3u;
const FUNCTION_SILU = 4u;
const FUNCTION_GELU = 5u;
const FUNCTION_GELU_TANH = 6u;
const FUNCTION_LEAKY_RELU = 7u;

// Returns a function of x. Only leaky_relu has a slope, below 0.
fn activated(function: u32, slope: f32, x: f32) -> f32 {
    if function == FUNCTION_SIGMOID {
        return sigmoid(x);
    }
    if function == FUNCTION_RELU {
        return select(x, 0.0, x < 0.0);
    }
    if function == FUNCTION_TANH {
        return tanh_exact(x);
    }
    if function == FUNCTION_SILU {
        return gated_by(x, sigmoid(x));
    }
    if function == FUNCTION_GELU {
        return gated_by(x, normal_share(x));
    }
    if function == FUNCTION_GELU_TANH {
        // 0.7978845608 is √(2/π).
        let inner = 0.7978845608 * (x + 0.044715 * x * x * x);
        return gated_by(x, 0.5 * (1.0 + tanh_exact(inner)));
    }
    if function == FUNCTION_LEAKY_RELU {
        return select(x, slope * x, x < 0.0);
    }
    return x;
}

// Returns x · gate, where a gate of 0 closes for infinite x too.
fn gated_by(x: f32, gate: f32) -> f32 {
    return select(x * gate, 0.0, gate == 0.0);
}

// The share of a standard normal distribution below x, within 1e-7. Its tail is t · p(t) · e^−x²/2
// (Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26).
fn normal_share(x: f32) -> f32 {
    let z = abs(x) * 0.70710678;
    let t = 1.0 / (1.0 + 0.3275911 * z);
    let p = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t
        + 0.254829592) * t;
    let tail = 0.5 * p * exp(-z * z);
    return select(1.0 - tail, tail, x < 0.0);
}
