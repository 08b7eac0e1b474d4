//! Twin of `shaders/head/dropout.wgsl`.

use super::TwinBuffer::{self, Read, ReadWrite};
use crate::kernel::uniforms::{Dims, Step};
use crate::params::random::philox4x32;
use crate::plan::recording::Dispatch;

/// Twin of `shaders/head/dropout.wgsl`.
pub(crate) fn dropout(dispatch: &Dispatch, _: Step, bindings: &mut [TwinBuffer<'_>]) {
    let (Dims::Dropout(dims), [Read(settings), ReadWrite(y)]) = (&dispatch.dims, bindings) else {
        unreachable!("dropout is dispatched with DropoutDims and two buffers");
    };
    let &[low, high, first_time, first_row] = bytemuck::cast_slice::<f32, u32>(settings) else {
        unreachable!("dropout has four settings");
    };
    let mut quads = y.chunks_exact_mut(4);
    for elapsed in dims.first_step..dims.first_step + dims.steps {
        for b in 0..dims.batch {
            for d in 0..dims.directions {
                let t = if d == 1 { dims.seq_len - 1 - elapsed } else { elapsed };
                for (q, quad) in (0..dims.quads).zip(&mut quads) {
                    let counter =
                        [q, first_time.wrapping_add(t), first_row.wrapping_add(b), dims.site + d];
                    let words = philox4x32(counter, [low, high]);
                    for (value, word) in quad.iter_mut().zip(words) {
                        *value *= if word >= dims.threshold { dims.scale } else { 0.0 };
                    }
                }
            }
        }
    }
}
