//! Twin of `shaders/embed.wgsl`.

use super::Binding::{self, Read, ReadWrite};
use crate::dims::{Dims, Step};
use crate::recording::Dispatch;

/// See `shaders/embed.wgsl`.
pub(crate) fn embed(dispatch: &Dispatch, _: Step, bindings: &mut [Binding<'_>]) {
    let (Dims::Embed(dims), [Read(tokens), Read(weight), ReadWrite(y)]) = (&dispatch.dims, bindings) else {
        unreachable!("embed is dispatched with EmbedDims and three buffers");
    };
    let width = dims.quads as usize * 4;
    let tokens: &[u32] = bytemuck::cast_slice(&tokens[..dims.rows as usize]);
    for (&token, row) in tokens.iter().zip(y.chunks_exact_mut(width)) {
        let token = token.wrapping_sub(dims.first_token);
        if token < dims.tokens {
            row.copy_from_slice(&weight[token as usize * width..][..width]);
        }
    }
}
