//! The kernel `dropout`: the values that it keeps, their scale, and their dependencies.

use libtest_mimic::Failed;
use wgpu_rnn::Device;
use wgpu_rnn::internals::kernel::uniforms::{Dims, DropoutDims};
use wgpu_rnn::internals::kernel::{Family, Overrides};
use wgpu_rnn::internals::params::random::{Mt19937, dropout_constants, philox4x32};

use crate::by_hand::{ByHand, as_often_as, comparisons_can_fail, same_bits};
use crate::{Target, ensure};

const KEY: [u32; 2] = [0x0123_4567, 0x89ab_cdef];

/// A small segment: its steps, batch rows, directions and quads, its first step and its first row.
#[derive(Clone, Copy)]
struct Segment {
    sizes: [u32; 4],
    first_step: u32,
    first_row: u32,
    seq_len: u32,
    p: f64,
}

/// The time step that a call of this sequence starts with, and the site.
const FIRST_TIME: u32 = 100;
const SITE: u32 = 6;

impl Segment {
    fn whole(sizes: [u32; 4], p: f64) -> Self {
        Self { sizes, first_step: 0, first_row: 0, seq_len: sizes[0], p }
    }

    fn run(&self, device: &Device, values: &[f32]) -> Result<Vec<f32>, Failed> {
        let [steps, batch, directions, quads] = self.sizes;
        let (threshold, scale) = dropout_constants(self.p);
        let mut by_hand = ByHand::default();
        let settings = by_hand.words(&[KEY[0], KEY[1], FIRST_TIME, self.first_row]);
        let y = by_hand.buffer(values);
        let dims = DropoutDims {
            steps,
            first_step: self.first_step,
            seq_len: self.seq_len,
            batch,
            directions,
            quads,
            site: SITE,
            threshold,
            scale,
            pad: [0; 3],
        };
        let workgroups =
            device.limits().fold_workgroups("dropout", self.len().div_ceil(4 * 64) as u64)?;
        by_hand.dispatch(
            (Family::Dropout, Overrides::default()),
            Dims::Dropout(dims),
            &[settings, y],
            workgroups,
            1,
        );
        by_hand.run(device, [y]).map(|[y]| y)
    }

    fn len(&self) -> usize {
        self.sizes.iter().product::<u32>() as usize * 4
    }

    /// Returns the factor of each value.
    fn factors(&self) -> Vec<f32> {
        let [_, batch, directions, quads] = self.sizes;
        let (threshold, scale) = dropout_constants(self.p);
        let factor = |at: u32| {
            let (unit, rest) = (at % (quads * 4), at / (quads * 4));
            let (d, rest) = (rest % directions, rest / directions);
            let (b, elapsed) = (rest % batch, rest / batch + self.first_step);
            let t = if d == 1 { self.seq_len - 1 - elapsed } else { elapsed };
            let words = philox4x32([unit / 4, FIRST_TIME + t, self.first_row + b, SITE + d], KEY);
            if words[unit as usize % 4] >= threshold { scale } else { 0.0 }
        };
        (0..self.len() as u32).map(factor).collect()
    }
}

/// Bits equal the definition's for all sizes, segments and passes.
pub fn masks(target: &Target) -> Result<(), Failed> {
    comparisons_can_fail()?;
    let device = target.device()?;
    // The threshold equals the word of the first value, which is kept.
    let border = f64::from(philox4x32([0, FIRST_TIME + 2, 9, SITE], KEY)[0]) / 4_294_967_296.0;
    for sizes in [[1, 1, 1, 1], [3, 1, 2, 5], [5, 3, 1, 65], [2, 3, 2, 17], [7, 5, 2, 9]] {
        for p in [0.0, 0.3, 0.5, 0.99, 1.0, border] {
            let segment = Segment {
                first_step: 2,
                first_row: 9,
                seq_len: sizes[0] + 5,
                ..Segment::whole(sizes, p)
            };
            let values = Mt19937::new(3).uniform_vec(segment.len(), -2.0, 2.0);
            let want: Vec<f32> = values
                .iter()
                .zip(segment.factors())
                .map(|(value, factor)| value * factor)
                .collect();
            same_bits(&format!("{sizes:?}, p = {p}"), &segment.run(&device, &values)?, &want)?;
        }
    }
    Ok(())
}

/// A sequence in two segments, or a batch in two passes, draws what the whole draws.
pub fn masks_are_those_of_the_whole(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let whole = Segment::whole([6, 4, 2, 3], 0.4);
    let values = Mt19937::new(4).uniform_vec(whole.len(), -2.0, 2.0);
    let want = whole.run(&device, &values)?;
    let step = whole.len() / 6;
    let head = Segment { sizes: [2, 4, 2, 3], ..whole }.run(&device, &values[..2 * step])?;
    let tail = Segment { sizes: [4, 4, 2, 3], first_step: 2, ..whole }
        .run(&device, &values[2 * step..])?;
    same_bits("two segments", &[head, tail].concat(), &want)?;
    // Rows 1 to 3 of every step.
    let rows = |all: &[f32]| {
        all.chunks(step).flat_map(|rows| rows[step / 4..].to_vec()).collect::<Vec<f32>>()
    };
    let pass =
        Segment { sizes: [6, 3, 2, 3], first_row: 1, ..whole }.run(&device, &rows(&values))?;
    same_bits("a pass over rows", &pass, &rows(&want))?;
    let other = Segment { first_row: 1, ..whole }.run(&device, &values)?;
    ensure(other != want, "other rows draw other numbers")
}

/// The fraction of kept values matches the probability, and their scale preserves the mean. 0 and 1
/// are exact. NaN stays NaN.
pub fn fractions(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let sizes = [25, 10, 2, 50];
    let ones = vec![1.0; Segment::whole(sizes, 0.0).len()];
    ensure(ones.len() == 100_000, "the number of draws that the bound assumes")?;
    for p in [0.1, 0.5, 0.8] {
        let y = Segment::whole(sizes, p).run(&device, &ones)?;
        let kept: Vec<f32> = y.iter().copied().filter(|&value| value != 0.0).collect();
        as_often_as(&format!("kept at p = {p}"), kept.len(), y.len(), 1.0 - p)?;
        let scale = (1.0 / (1.0 - p)) as f32;
        ensure(
            kept.iter().all(|&value| value == scale),
            format!("p = {p}: kept values are {scale}"),
        )?;
        // Neighbours in a quad, directions and steps draw differently.
        for distance in [1, 200, 400, 4000] {
            let pairs: Vec<_> =
                y.chunks_exact(2 * distance).flat_map(|c| c.iter().zip(&c[distance..])).collect();
            let both = pairs.iter().filter(|(a, b)| **a != 0.0 && **b != 0.0).count();
            as_often_as(
                &format!("p = {p}, both of two at {distance}"),
                both,
                pairs.len(),
                (1.0 - p) * (1.0 - p),
            )?;
        }
    }
    let values = Mt19937::new(5).uniform_vec(ones.len(), -2.0, 2.0);
    same_bits("p = 0", &Segment::whole(sizes, 0.0).run(&device, &values)?, &values)?;
    let none = Segment::whole(sizes, 1.0).run(&device, &values)?;
    ensure(none.iter().all(|&value| value == 0.0), "p = 1 leaves nothing")?;
    let nan = Segment::whole(sizes, 0.5).run(&device, &vec![f32::NAN; ones.len()])?;
    ensure(nan.iter().all(|value| value.is_nan()), "NaN stays NaN, dropped or not")
}
