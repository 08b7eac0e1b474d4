//! The kernels `pack` and `unpack`.

use libtest_mimic::Failed;
use wgpu_rnn::internals::kernel::uniforms::{Dims, PackDims};
use wgpu_rnn::internals::kernel::{Family, Overrides};

use crate::by_hand::{ByHand, to_words};
use crate::{Target, ensure};

/// Returns distinct words, some of which are NaNs and subnormals.
fn words(first: u32, count: usize) -> Vec<u32> {
    (first..first + count as u32).map(|i| i.wrapping_mul(0x9E37_79B1) ^ 0x7F80_0001).collect()
}

/// Every value goes to its place with all its bits. Padding becomes 0 in the plan's buffer, and
/// values between the caller's rows stay.
pub fn words_find_their_place(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    // Steps, T, first step, B, D, F and W; then the offset, and the gaps between steps and between
    // rows.
    for (sizes, [offset, more, apart]) in [
        ([1, 1, 0, 1, 1, 1, 4], [0, 0, 0]),
        ([5, 5, 0, 3, 2, 7, 8], [3, 0, 0]),
        ([4, 9, 3, 2, 2, 5, 8], [0, 11, 2]),
        ([2, 2, 0, 3, 1, 33, 33], [1, 5, 0]),
        ([300, 300, 0, 7, 1, 3, 4], [0, 0, 1]),
        // An absent state.
        ([2, 2, 0, 3, 1, 0, 12], [0, 0, 0]),
    ] {
        let [steps, seq_len, first_step, batch, directions, features, width] = sizes;
        let row_stride = directions * features + apart;
        let step_stride = batch * row_stride + more;
        let dims = PackDims {
            steps,
            batch,
            directions,
            features,
            width,
            first_step,
            seq_len,
            offset,
            step_stride,
            row_stride,
            pad: [0; 2],
        };
        let theirs = words(0, (offset + seq_len * step_stride).max(1) as usize);
        let own = words(1 << 20, (steps * batch * directions * width) as usize);
        let (mut gathered, mut scattered) = (vec![0; own.len()], theirs.clone());
        for at in 0..own.len() as u32 {
            let (f, d) = (at % width, at / width % directions);
            let (b, elapsed) =
                (at / (width * directions) % batch, first_step + at / (width * directions * batch));
            let t = if d == 1 { seq_len - 1 - elapsed } else { elapsed };
            if f < features {
                let place = (offset + t * step_stride + b * row_stride + d * features + f) as usize;
                gathered[at as usize] = theirs[place];
                scattered[place] = own[at as usize];
            }
        }
        let workgroups =
            device.limits().fold_workgroups("transfer", (own.len() as u64).div_ceil(64))?;
        let mut by_hand = ByHand::default();
        let (x, y) = (by_hand.words(&theirs), by_hand.words(&own));
        by_hand.dispatch(
            (Family::Pack, Overrides::default()),
            Dims::Pack(dims),
            &[x, y],
            workgroups,
            1,
        );
        let [got] = by_hand.run(&device, [y])?.map(|values| to_words(&values));
        ensure(got == gathered, format!("gather {dims:?}: {got:x?}, want {gathered:x?}"))?;
        let mut by_hand = ByHand::default();
        let (x, y) = (by_hand.words(&own), by_hand.words(&theirs));
        by_hand.dispatch(
            (Family::Unpack, Overrides::default()),
            Dims::Pack(dims),
            &[x, y],
            workgroups,
            1,
        );
        let [got] = by_hand.run(&device, [y])?.map(|values| to_words(&values));
        ensure(got == scattered, format!("scatter {dims:?}: {got:x?}, want {scattered:x?}"))?;
        ensure(features == 0 || (gathered != own && scattered != theirs), "something was moved")?;
    }
    Ok(())
}
