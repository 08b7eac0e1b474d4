//! Twin of `shaders/head/embed.wgsl`.

use super::TwinBuffer::{self, Matrix, Read, ReadWrite};
use crate::kernel::uniforms::{Dims, Step};
use crate::plan::recording::Dispatch;

/// Twin of `shaders/head/embed.wgsl`.
pub(crate) fn embed(dispatch: &Dispatch, _: Step, bindings: &mut [TwinBuffer<'_>]) {
    let (Dims::Embed(dims), [Read(tokens), weight, ReadWrite(y)]) = (&dispatch.dims, bindings)
    else {
        unreachable!("embed is dispatched with EmbedDims and three buffers");
    };
    let width = dims.quads as usize * 4;
    let tokens: &[u32] = bytemuck::cast_slice(&tokens[..dims.rows as usize]);
    for (&token, y) in tokens.iter().zip(y.chunks_exact_mut(width)) {
        let token = token.wrapping_sub(dims.first_token);
        if token < dims.tokens {
            let row = token as usize;
            match weight {
                // A weight is packed for products, since a linear layer may share it.
                Matrix(panels) => {
                    y.iter_mut().zip(panels.row(0, row)).for_each(|(y, value)| *y = value)
                }
                Read(table) => y.copy_from_slice(&table[row * width..][..width]),
                ReadWrite(_) => unreachable!("a table is read only"),
            }
        }
    }
}
