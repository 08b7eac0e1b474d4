// A term of a softmax: e^z for z <= 0, where z is the distance from the largest logit. Below −87 it is 0: there e^z
// nears the subnormals, which some drivers flush, and nothing of it is left beside the largest term, which is 1. NaN is
// told by its bits and returned as it is: some drivers' exp makes infinity of it.
fn softmax_term(z: f32) -> f32 {
    if (bitcast<u32>(z) & 0x7fffffffu) > 0x7f800000u {
        return z;
    }
    return select(exp(z), 0.0, z < -87.0);
}
