//! Twin of `shaders/shared/softmax.wgsl`.

/// `f32::exp` keeps NaN by itself.
pub(super) fn softmax_term(z: f32) -> f32 {
    if z < -87.0 { 0.0 } else { z.exp() }
}
