//! The kernel `nll` and its logarithm, against the definition in f64.

use std::f32::consts::SQRT_2;

use libtest_mimic::Failed;
use wgpu_rnn::internals::kernel::uniforms::{Dims, NllDims};
use wgpu_rnn::internals::kernel::{Family, Kernel, Overrides};
use wgpu_rnn::internals::params::random::Mt19937;
use wgpu_rnn::{Device, WeightType};

use crate::by_hand::{ByHand, close, comparisons_can_fail, run_text, same_bits};
use crate::{Target, ensure};

/// The number of logits in a row: most are not multiples of a workgroup's size.
const COLUMNS: [usize; 6] = [1, 3, 5, 65, 257, 5000];

const NO_TARGET: u32 = u32::MAX;

fn score(
    device: &Device,
    workgroup_size: u32,
    logits: &[f32],
    targets: &[u32],
) -> Result<Vec<f32>, Failed> {
    let mut by_hand = ByHand::default();
    let rows = targets.len() as u32;
    let dims = Dims::Nll(NllDims { rows, columns: logits.len() as u32 / rows, pad: [0; 2] });
    let bindings = [
        by_hand.buffer(logits),
        by_hand.words(targets),
        by_hand.buffer(vec![f32::INFINITY; targets.len()]),
    ];
    let workgroups = device.limits().fold_workgroups("score", u64::from(rows))?;
    by_hand.dispatch(
        (Family::Nll, Overrides { workgroup_size, ..Overrides::default() }),
        dims,
        &bindings,
        workgroups,
        1,
    );
    by_hand.run(device, [bindings[2]]).map(|[nll]| nll)
}

fn definition(row: &[f32], target: u32) -> f64 {
    let Some(&x) = row.get(target as usize) else { return 0.0 };
    let max = row.iter().fold(f64::NEG_INFINITY, |max, &x| max.max(f64::from(x)));
    let sum: f64 = row.iter().map(|&x| (f64::from(x) - max).exp()).sum();
    sum.ln() + max - f64::from(x)
}

/// Losses of ugly sizes and of logits of every magnitude are those of the definition.
pub fn losses(target: &Target) -> Result<(), Failed> {
    comparisons_can_fail()?;
    let device = target.device()?;
    for columns in COLUMNS {
        for (batch, range) in [(1, 3.0), (3, 30.0), (3, 1e4), (67, 1e-3)] {
            let logits = Mt19937::new(columns as u64).uniform_vec(batch * columns, -range, range);
            let pick =
                |row: usize| if row == 1 { NO_TARGET } else { ((row * 7919 + 4) % columns) as u32 };
            let targets: Vec<u32> = (0..batch).map(pick).collect();
            let want: Vec<f64> = logits
                .chunks(columns)
                .zip(&targets)
                .map(|(row, &target)| definition(row, target))
                .collect();
            for workgroup_size in [32, 64, 256] {
                let got = score(&device, workgroup_size, &logits, &targets)?;
                close(
                    &format!("{batch} x {columns} in ±{range} by {workgroup_size}"),
                    &got,
                    &want,
                    1e-6,
                )?;
                let again = score(&device, workgroup_size, &logits, &targets)?;
                same_bits(&format!("{batch} x {columns}, once more"), &again, &got)?;
            }
        }
    }
    Ok(())
}

/// A column far above all others has a loss of 0. A likely column has a small loss that is not
/// rounded away.
pub fn sure_and_odd_rows(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let run = |row: &[f32], target| score(&device, 32, row, &[target]).map(|nll| nll[0]);
    ensure(run(&[0.0, -200.0, 200.0], 2)? == 0.0, "one column has everything")?;
    ensure(run(&[0.0, f32::NEG_INFINITY, -1e30], 0)? == 0.0, "columns that are masked out")?;
    ensure(run(&[0.0, f32::NEG_INFINITY], 1)? == f32::INFINITY, "a target that is masked out")?;
    for distance in [2.0_f32, 6.0, 9.0, 12.0] {
        let (got, want) = (run(&[distance, 0.0], 0)?, (-f64::from(distance)).exp().ln_1p());
        // The sum is near 1 and rounds to 2^-23.
        ensure(
            (f64::from(got) - want).abs() <= 1.3e-7,
            format!("log(1 + e^-{distance}) is {got}, want {want}"),
        )?;
    }
    for row in [[f32::NAN, 0.0, 1.0], [0.0, 1.0, f32::NAN], [f32::NEG_INFINITY; 3]] {
        ensure(run(&row, 1)?.is_nan(), format!("the loss of {row:?} is NaN"))?;
    }
    for (got, want) in
        score(&device, 64, &[1.0, 1.0, f32::NAN, 0.0, 1.0, 1.0], &[0, 0, 0])?.iter().zip([2, 0, 2])
    {
        let close = (f64::from(*got) - 2.0_f64.ln()).abs() < 1e-6;
        ensure(
            if want == 2 { close } else { got.is_nan() },
            format!("NaN stays in its row: {got}"),
        )?;
    }
    ensure(run(&[f32::NAN, 0.0], NO_TARGET)? == 0.0, "a row without a target has no loss")
}

/// The most columns that plans allow on software adapters. A loop that stops early makes the sum
/// too small.
pub fn canary(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let columns = 32 * 29_990;
    let kernel_iterations = Kernel::new(Family::Nll, WeightType::F32).loop_iterations(
        &Dims::Nll(NllDims { rows: 1, columns: columns as u32, pad: [0; 2] }),
        &Overrides { workgroup_size: 32, ..Overrides::default() },
    );
    ensure(
        (59_900..=60_000).contains(&kernel_iterations),
        format!("{kernel_iterations} iterations"),
    )?;
    let mut logits = vec![0.0; columns];
    logits[columns - 1] = 1.0;
    let got = score(&device, 32, &logits, &[0])?;
    // 30,000 equal terms in each lane round a sum by 2e-5. A sum without a tenth of them moves its
    // logarithm by 0.1.
    close("the loss of a long row", &got, &[definition(&logits, 0)], 1e-4)
}

/// A kernel of this test only: the logarithm of every value.
const LOG: &str = concat!(
    "@group(0) @binding(0) var<storage, read_write> y: array<f32>;
    @compute @workgroup_size(64)
    fn main(@builtin(global_invocation_id) at: vec3<u32>) {
        if at.x < arrayLength(&y) { y[at.x] = log_exact(y[at.x]); }
    }",
    include_str!("../../shaders/lib/log.wgsl"),
);

/// The logarithm on this adapter is within 2 ulp at every magnitude, especially near 1.
pub fn logarithms(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let near_1 = (0..2000)
        .flat_map(|i| [1.0 + i as f32 * f32::EPSILON, 1.0 - i as f32 * f32::EPSILON / 2.0]);
    let around = (1..4000).map(|i| i as f32 * 1e-3);
    let powers = (-125..127)
        .flat_map(|e| [1.0_f32, 1.2, SQRT_2, SQRT_2.next_up(), 1.9].map(|m| m * 2.0_f32.powi(e)));
    let x: Vec<f32> =
        near_1.chain(around).chain(powers).chain([f32::MAX, f32::INFINITY, f32::NAN]).collect();
    let y = run_text(&device, LOG, &x, x.len().div_ceil(64) as u32)?;
    let mut worst = 0.0_f64;
    for (&x, got) in x.iter().zip(y) {
        let want = f64::from(x).ln();
        if !want.is_finite() {
            let same = f64::from(got) == want || (got.is_nan() && want.is_nan());
            ensure(same, format!("log({x}) is {got}"))?;
            continue;
        }
        let ulp =
            f64::from(f32::EPSILON) * 2.0_f64.powi(want.abs().max(1e-30).log2().floor() as i32);
        worst = worst.max((f64::from(got) - want).abs() / ulp);
        ensure(worst <= 2.0, format!("log({x:e}) is {got:e}, want {want:e}: {worst} ulp"))?;
    }
    println!("{device}: the logarithm is within {worst:.2} ulp");
    ensure(worst > 0.0, "some logarithm is rounded")
}
