// A term of a softmax: e^z for z <= 0, where z is the distance from the largest logit. Returns 0
// below −87. There e^z nears the subnormals, which some drivers flush, and vanishes next to the
// largest term, 1. Detects NaN by its bits and returns it, since some drivers' exp turns it into
// infinity.
fn softmax_term(z: f32) -> f32 {
    if (bitcast<u32>(z) & 0x7fffffffu) > 0x7f800000u {
        return z;
    }
    return select(exp(z), 0.0, z < -87.0);
}
