// Sigmoid and tanh that saturate at any magnitude on every driver. The built-in tanh returns NaN
// above |x| ≈ 44 to 89 on several drivers and is hundreds of ulp off near 0 on others. Neither
// function here overflows, since exp receives only −|x|.

fn sigmoid(x: f32) -> f32 {
    let e = exp(-abs(x));
    let s = 1.0 / (1.0 + e);
    return select(e * s, s, x >= 0.0);
}

// Near 0, where 1 − e cancels, the polynomial of Cephes' tanhf (Moshier) stays accurate.
fn tanh_exact(x: f32) -> f32 {
    let a = abs(x);
    let z = x * x;
    let p = ((((-5.70498872745e-3 * z + 2.06390887954e-2) * z - 5.37397155531e-2) * z
        + 1.33314422036e-1) * z - 3.33332819422e-1) * z * x + x;
    let e = exp(-2.0 * a);
    let q = (1.0 - e) / (1.0 + e);
    return select(select(q, -q, x < 0.0), p, a < 0.625);
}
