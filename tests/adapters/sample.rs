//! The kernel `sample` against the definition in f64 and against expected frequencies.

use libtest_mimic::Failed;
use wgpu_rnn::internals::kernel::families::{NO_TOKEN, SAMPLE_SITE};
use wgpu_rnn::internals::kernel::uniforms::{Dims, SampleDims};
use wgpu_rnn::internals::kernel::{Family, Kernel, Overrides};
use wgpu_rnn::internals::params::random::{Mt19937, philox4x32};
use wgpu_rnn::{Device, WeightType};

use crate::by_hand::{ByHand, as_often_as, comparisons_can_fail, to_words};
use crate::{Target, ensure};

const COLUMNS: [usize; 6] = [1, 3, 5, 65, 257, 5000];

const KEY: [u32; 2] = [0xfeed_5eed, 0x0bad_cafe];

/// Options of drawing. A temperature of 0 is greedy; a `top_k` or `top_p` of 0 allows all tokens.
#[derive(Debug, Clone, Copy)]
struct Sampler {
    workgroup_size: u32,
    temperature: f32,
    top_k: u32,
    top_p: f32,
    first_position: u32,
}

const GREEDY: Sampler =
    Sampler { workgroup_size: 32, temperature: 0.0, top_k: 0, top_p: 0.0, first_position: 0 };

impl Sampler {
    /// Returns the tokens of each step and row, `[steps, batch]`. All steps draw from the same
    /// logits, `[batch, columns]`.
    fn run(
        &self,
        device: &Device,
        logits: &[f32],
        batch: u32,
        steps: u32,
    ) -> Result<Vec<u32>, Failed> {
        let mut by_hand = ByHand::default();
        let [low, high] = KEY;
        let (temperature, top_p) = (self.temperature.to_bits(), self.top_p.to_bits());
        let settings = [low, high, temperature, self.top_k, self.first_position, top_p, 0, 0];
        let bindings = [
            by_hand.buffer(logits),
            by_hand.words(&settings),
            by_hand.words(&vec![77; batch as usize]),
            by_hand.words(&vec![77; (steps * batch) as usize]),
        ];
        let dims =
            Dims::Sample(SampleDims { batch, columns: logits.len() as u32 / batch, pad: [0; 2] });
        let workgroups = device.limits().fold_workgroups("sample", u64::from(batch))?;
        let kernel = (
            Family::Sample,
            Overrides { workgroup_size: self.workgroup_size, ..Overrides::default() },
        );
        by_hand.dispatch(kernel, dims, &bindings, workgroups, steps);
        let [next, tokens] =
            by_hand.run(device, [bindings[2], bindings[3]])?.map(|values| to_words(&values));
        ensure(tokens.ends_with(&next), format!("the next input {next:?} is what was drawn last"))?;
        Ok(tokens)
    }

    /// Returns the probability of each token of a row.
    fn probabilities(&self, row: &[f32]) -> Vec<f64> {
        let mut sorted = row.to_vec();
        sorted.sort_by(|a, b| b.total_cmp(a));
        let last = if self.top_k == 0 { row.len() } else { row.len().min(self.top_k as usize) };
        let largest = sorted[0];
        let weight =
            |&x: &f32| ((f64::from(x) - f64::from(largest)) / f64::from(self.temperature)).exp();
        // Ties with the last of the top_k may be drawn.
        let kth = sorted[last - 1];
        sorted.retain(|&x| x >= kth);
        let total: f64 = sorted.iter().map(weight).sum();
        let mut sum = 0.0;
        let enough = sorted.iter().position(|x| {
            sum += weight(x);
            sum >= f64::from(self.top_p) * total
        });
        let enough = enough.filter(|_| self.top_p > 0.0 && self.top_p < 1.0);
        let lowest = sorted[enough.unwrap_or(sorted.len() - 1)];
        let weights: Vec<f64> =
            row.iter().map(|x| if *x >= lowest { weight(x) } else { 0.0 }).collect();
        let total: f64 = weights.iter().sum();
        weights.iter().map(|weight| weight / total).collect()
    }

    /// Returns whether a step of a row may draw `token`. The token's share of the unit interval
    /// must hold the random number, or miss it by less than the rounding of f32 sums.
    fn may_draw(&self, probabilities: &[f64], step: u32, b: u32, token: u32) -> bool {
        let word = philox4x32([0, self.first_position + step, b, SAMPLE_SITE], KEY)[0];
        let u = f64::from(word >> 8) / 16_777_216.0;
        let Some(&probability) = probabilities.get(token as usize) else { return false };
        let before: f64 = probabilities[..token as usize].iter().sum();
        probability > 0.0 && before - ROUNDING <= u && u < before + probability + ROUNDING
    }
}

/// The largest error of running f32 sums, relative to the total.
const ROUNDING: f64 = 3e-6;

/// Each drawn token is the definition's, and a later call starts at the next position.
pub fn draws(target: &Target) -> Result<(), Failed> {
    comparisons_can_fail()?;
    let device = target.device()?;
    let (mut neighbours, mut accepted) = (0, 0);
    for columns in COLUMNS {
        for (batch, workgroup_size, temperature, top_k) in [
            (1, 32, 1.0, 0),
            (3, 64, 0.7, 0),
            (3, 256, 1.5, 3),
            (1, 256, 1.0, 1),
            (3, 32, 0.25, 40),
            (2, 64, 3.0, columns as u32),
        ] {
            let logits =
                Mt19937::new(columns as u64).uniform_vec(batch as usize * columns, -4.0, 4.0);
            let sampler =
                Sampler { workgroup_size, temperature, top_k, first_position: 11, ..GREEDY };
            let steps = 12;
            let tokens = sampler.run(&device, &logits, batch, steps)?;
            let rows: Vec<Vec<f64>> =
                logits.chunks(columns).map(|row| sampler.probabilities(row)).collect();
            for (at, &token) in (0..).zip(&tokens) {
                let (step, b) = (at / batch, at % batch);
                let may = sampler.may_draw(&rows[b as usize], step, b, token);
                ensure(
                    may,
                    format!(
                        "{sampler:?}, {columns} columns: token {token} in step {step} of row {b}"
                    ),
                )?;
                // The next token is one that a wrong kernel might draw.
                let next = (token as usize + 1) % columns;
                if next != token as usize && rows[b as usize][next] > 0.0 {
                    neighbours += 1;
                    accepted +=
                        usize::from(sampler.may_draw(&rows[b as usize], step, b, next as u32));
                }
            }
            let later = Sampler { first_position: 11 + 5, ..sampler }.run(
                &device,
                &logits,
                batch,
                steps - 5,
            )?;
            ensure(
                later == tokens[5 * batch as usize..],
                format!("{sampler:?}: a call that starts 5 positions later"),
            )?;
        }
    }
    ensure(
        neighbours > 200 && accepted * 20 < neighbours,
        format!("{accepted} of {neighbours} neighbours would do"),
    )
}

/// With a few tokens far above the rest, an adapter draws what the CPU draws.
pub fn draws_are_those_of_the_cpu(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    for columns in COLUMNS {
        for (workgroup_size, temperature, top_k) in [(32, 1.0, 0), (64, 0.5, 4), (256, 2.0, 0)] {
            let mut logits = vec![-80.0; 3 * columns];
            for (i, logit) in Mt19937::new(9).uniform_vec(24, 0.0, 2.0).into_iter().enumerate() {
                logits[(i * 7919) % (3 * columns)] = logit;
            }
            let sampler = Sampler { workgroup_size, temperature, top_k, ..GREEDY };
            let (got, want) = (
                sampler.run(&device, &logits, 3, 50)?,
                sampler.run(&Device::cpu(), &logits, 3, 50)?,
            );
            ensure(
                got == want,
                format!("{sampler:?}, {columns} columns: got {got:?}, want {want:?}"),
            )?;
        }
    }
    Ok(())
}

/// Greedy drawing takes the first of the largest logits.
pub fn greedy(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    for columns in COLUMNS {
        // Logits have few values, so that many tokens share the largest.
        let values = Mt19937::new(columns as u64 + 1).uniform_vec(3 * columns, -3.0, 3.0);
        let logits: Vec<f32> = values.iter().map(|value| value.round()).collect();
        let first = |row: &[f32]| {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            row.iter().position(|&x| x == largest).unwrap_or_default() as u32
        };
        let want: Vec<u32> = logits.chunks(columns).map(first).collect();
        for workgroup_size in [32, 64, 256] {
            let got = Sampler { workgroup_size, ..GREEDY }.run(&device, &logits, 3, 2)?;
            ensure(
                got == want.repeat(2),
                format!("{columns} by {workgroup_size}: got {got:?}, want {want:?}"),
            )?;
        }
    }
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    for (row, want) in [
        ([-1.0, -0.0, 0.0, -2.0], 1),
        ([-inf, -inf, -inf, -inf], 0),
        ([-inf, -3e38, -inf, -1e-40], 3),
        ([1.0, inf, 2.0, inf], 1),
        ([0.0, nan, 1.0, 2.0], NO_TOKEN),
        ([-nan, 0.0, 1.0, 2.0], NO_TOKEN),
    ] {
        let got = GREEDY.run(&device, &row, 1, 1)?;
        ensure(got == [want], format!("{row:?}: got {got:?}, want {want}"))?;
    }
    Ok(())
}

/// A row with a NaN logit or an infinite largest logit draws nothing. Other rows still draw.
pub fn nothing_to_draw_from(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    let sampler = Sampler { temperature: 1.0, ..GREEDY };
    for bad in [[0.0, nan, 1.0], [-nan, 1.0, 0.0], [inf, 0.0, 0.0], [-inf, -inf, -inf]] {
        let rows = [[0.0, 90.0, 0.0], bad, [90.0, -inf, -inf]].concat();
        for top_k in [0, 2] {
            let got = Sampler { top_k, ..sampler }.run(&device, &rows, 3, 1)?;
            ensure(got == [1, NO_TOKEN, 0], format!("{bad:?}, top {top_k}: {got:?}"))?;
        }
    }
    for top_p in [0.5, 1e-30] {
        let sampler = Sampler { top_p, ..sampler };
        let got = sampler.run(&device, &[0.0, nan, 1.0, 0.0, 90.0, 0.0], 2, 1)?;
        ensure(got == [NO_TOKEN, 1], format!("top_p {top_p}: {got:?}"))?;
    }
    // A temperature of NaN leaves nothing to draw from.
    let got = Sampler { temperature: nan, ..sampler }.run(&device, &[0.0, 1.0], 1, 1)?;
    ensure(got == [NO_TOKEN], format!("a temperature of NaN: {got:?}"))
}

/// Only the k best tokens are drawn, and tokens equal to the last of them.
pub fn top_k(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let columns = 257;
    let values = Mt19937::new(6).uniform_vec(columns, -1.0, 1.0);
    // Logits are rounded, so that several tokens equal the last one.
    let logits: Vec<f32> = values.iter().map(|value| (value * 20.0).round() / 20.0).collect();
    for k in [1, 2, 5, 100] {
        let sampler = Sampler { temperature: 5.0, top_k: k, ..GREEDY };
        let allowed: Vec<bool> = sampler.probabilities(&logits).iter().map(|&p| p > 0.0).collect();
        let count = allowed.iter().filter(|&&allowed| allowed).count();
        ensure(
            count >= k as usize && count < columns,
            format!("{count} tokens may be drawn by the {k} best"),
        )?;
        let tokens = sampler.run(&device, &logits.repeat(50), 50, 40)?;
        let outside =
            tokens.iter().find(|&&token| !allowed.get(token as usize).copied().unwrap_or(false));
        ensure(outside.is_none(), format!("top {k}: {outside:?} was drawn"))?;
        let seen: std::collections::BTreeSet<u32> = tokens.into_iter().collect();
        ensure(
            seen.len() == count,
            format!("top {k}: {} of {count} tokens were drawn in 2,000", seen.len()),
        )?;
    }
    Ok(())
}

/// Only the fewest likeliest tokens that hold a share of the probability are drawn, and tokens
/// equal to the last of them.
pub fn top_p(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    for columns in COLUMNS {
        let values = Mt19937::new(7).uniform_vec(columns, -4.0, 4.0);
        // Few values are far apart, so that rounding decides no token's place.
        let logits: Vec<f32> = values.iter().map(|value| value.round()).collect();
        for (workgroup_size, top_k, top_p) in
            [(32, 0, 0.1), (64, 0, 0.5), (256, 0, 0.9), (32, 40, 0.5), (64, 2, 0.99), (32, 0, 1e-9)]
        {
            let sampler = Sampler { workgroup_size, temperature: 1.5, top_k, top_p, ..GREEDY };
            let allowed = sampler.probabilities(&logits);
            let near = [-1e-3, 1e-3]
                .map(|by| Sampler { top_p: top_p + by, ..sampler }.probabilities(&logits));
            if near.iter().any(|near| *near != allowed) && top_p > 1e-3 {
                // Rounding may decide here.
                continue;
            }
            let (batch, steps) = if columns < 1000 { (20, 20) } else { (3, 4) };
            let logits = logits.repeat(batch as usize);
            let tokens = sampler.run(&device, &logits, batch, steps)?;
            let outside = tokens.iter().find(|&&token| allowed[token as usize] == 0.0);
            ensure(
                outside.is_none(),
                format!("{sampler:?}, {columns} columns: {outside:?} was drawn"),
            )?;
            // A token with this probability is missed once in 5 · 10⁸ times.
            let sure = |p: f64| p * f64::from(batch * steps) > 20.0;
            let missed =
                (0..).zip(&allowed).find(|&(token, &p)| sure(p) && !tokens.contains(&token));
            ensure(
                missed.is_none(),
                format!("{sampler:?}, {columns} columns: {missed:?} was not drawn"),
            )?;
        }
        let all = Sampler { temperature: 1.5, top_k: 5, ..GREEDY };
        let [none, one] =
            [0.0, 1.0].map(|top_p| Sampler { top_p, ..all }.run(&device, &logits, 1, 20));
        ensure(none? == one?, format!("{columns} columns: a share of 1 changes nothing"))?;
    }
    Ok(())
}

/// 20,000 draws have the frequencies of the softmax at that temperature.
pub fn frequencies(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let row = [0.3, -1.2, 1.5, 0.0, -0.4];
    for (temperature, top_k) in [(1.0, 0), (0.4, 0), (2.5, 0), (1.0, 2)] {
        let sampler = Sampler { temperature, top_k, ..GREEDY };
        let tokens = sampler.run(&device, &row.repeat(50), 50, 400)?;
        for (token, &p) in (0..).zip(&sampler.probabilities(&row)) {
            let count = tokens.iter().filter(|&&drawn| drawn == token).count();
            as_often_as(&format!("token {token} of {sampler:?}"), count, tokens.len(), p)?;
        }
        // Rows and steps are not correlated.
        let p = sampler.probabilities(&row)[2];
        for distance in [1, 50] {
            let pairs: Vec<_> = tokens
                .chunks_exact(2 * distance)
                .flat_map(|c| c.iter().zip(&c[distance..]))
                .collect();
            let both = pairs.iter().filter(|pair| **pair == (&2, &2)).count();
            as_often_as(&format!("both of two at {distance}"), both, pairs.len(), p * p)?;
        }
    }
    Ok(())
}

/// The most columns that plans allow on software adapters. A loop that stops early misses the last
/// token.
pub fn canary(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let columns = 32 * 1_354;
    let dims = Dims::Sample(SampleDims { batch: 1, columns: columns as u32, pad: [0; 2] });
    let iterations = Kernel::new(Family::Sample, WeightType::F32)
        .loop_iterations(&dims, &Overrides { workgroup_size: 32, ..Overrides::default() });
    ensure((59_800..=60_000).contains(&iterations), format!("{iterations} iterations"))?;
    let mut logits = vec![0.0; columns];
    logits[columns - 1] = 60.0;
    for (temperature, top_k) in [(0.0, 0), (1.0, 0), (1e3, 1), (1.0, columns as u32 - 1)] {
        let sampler = Sampler { temperature, top_k, ..GREEDY };
        let got = sampler.run(&device, &logits, 1, 1)?;
        ensure(got == [columns as u32 - 1], format!("{sampler:?}: {got:?}"))?;
    }
    Ok(())
}
