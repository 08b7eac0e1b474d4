// Natural logarithm of a normal positive number, within 2 ulp. WGSL limits the built-in only to an
// absolute error of 2^-21 between 0.5 and 2. Returns NaN and +inf unchanged. No caller passes other
// values.
fn log_exact(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    if bits >= 0x7f800000u {
        return x;
    }
    // x = m · 2^e with m in [√½, √2): the bits of m count from those of √½.
    let above = bits - 0x3f3504f3u;
    let e = f32(bitcast<i32>(above) >> 23u);
    let f = bitcast<f32>((above & 0x007fffffu) + 0x3f3504f3u) - 1.0;
    // log(1 + f) = f − f²/2 + f³ · p(f), with the polynomial of Cephes' logf (Moshier).
    let z = f * f;
    let p = (((((((7.0376836292e-2 * f - 1.1514610310e-1) * f + 1.1676998740e-1) * f
        - 1.2420140846e-1) * f + 1.4249322787e-1) * f - 1.6668057665e-1) * f
        + 2.0000714765e-1) * f - 2.4999993993e-1) * f + 3.3333331174e-1;
    // ln 2 has two parts, so that e times the larger one is exact. Small terms are added first.
    let tail = p * f * z - 2.12194440e-4 * e - 0.5 * z;
    return f + tail + 0.693359375 * e;
}
