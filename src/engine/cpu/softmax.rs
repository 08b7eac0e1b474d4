//! Twin of `shaders/lib/softmax.wgsl`.

pub(super) use wgpu_rnn_simd::activation::exp as softmax_term;
