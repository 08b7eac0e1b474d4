//! Twin of `shaders/lib/softmax.wgsl`.

pub(super) use super::activation::exp as softmax_term;
