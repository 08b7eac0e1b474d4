//! Twin of `shaders/shared/softmax.wgsl`.

pub(super) use super::activation::exp as softmax_term;
