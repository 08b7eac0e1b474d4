//! The coefficients of tanh, to their seventh digit.
//!
//! An adapter's result may differ from the definition by a unit in the last place, which hides such
//! a digit. Here each operation rounds as in the twin, so that the bits are equal.

use std::collections::HashSet;

use wgpu_rnn::internals::kernel::Family;
use wgpu_rnn::internals::params::validate::Sizes;
use wgpu_rnn::internals::perf::rates::KernelClass;
use wgpu_rnn::internals::plan::limits::Limits;
use wgpu_rnn::internals::plan::{Exchange, Profile, Storage, Target};
use wgpu_rnn::{Config, Schedule, WeightType};

use crate::recordings::{Cases, fastest};
use crate::samples::{Sample, of_case};

/// Inputs, all below the end of the polynomial, and most of them near it.
const INPUTS: usize = 1 << 13;

/// A step of a plain RNN of one unit whose rows have different inputs, and no state.
fn step() -> Sample {
    let limits = Limits::of(&wgpu::Limits::defaults(), false);
    let calibration = &fastest(KernelClass::Step);
    let (target, exchange) = (Target::Gpu, Exchange::OneStep);
    let profile = Profile { limits: &limits, calibration, target, exchange };
    let storage = Storage { weights: WeightType::F32, widened: false };
    let mut source = Cases::new(profile, vec![storage]).expect("legal limits");
    let sizes = Sizes { seq_len: 1, batch: INPUTS };
    let module = (Schedule::Step, Config::rnn(1, 1));
    let case = source.exactly(&profile, storage, module, sizes, false).expect("a legal module");
    let mut case = case.expect("step runs every module");
    for words in &mut case.contents[..case.weights] {
        words.fill(0);
    }
    // The input's weight comes first.
    case.contents[0][0] = 1.0_f32.to_bits();
    for (spec, words) in case.recording.buffers.iter().zip(&mut case.contents) {
        match (spec.label.as_str(), words.len() / INPUTS) {
            ("input", width) => {
                for (at, word) in words.iter_mut().enumerate() {
                    let x = 0.624_999 * (1.0 - (at / width) as f32 / INPUTS as f32).sqrt();
                    let is_feature = at % width == 0;
                    *word = if is_feature { x.to_bits() } else { 0 };
                }
            }
            ("lengths", _) => words.fill(1),
            (label, _) if label.contains(" h,") => words.fill(0),
            _ => {}
        }
    }
    let is_step = |sample: &Sample| sample.dispatch.kernel.family == Family::Step;
    of_case(&case).into_iter().find(is_step).expect("a step")
}

/// A coefficient whose seventh digit differs changes some bits.
#[test]
fn the_polynomial_of_tanh_has_the_bits_of_its_twin() {
    let sample = step();
    let y = sample.dispatch.kernel.bindings().position(|binding| binding.name == "y");
    let y = y.expect("an output");
    let differences = |text: String| -> usize {
        let ran = sample.program(text).and_then(|program| sample.run(&program));
        let got = ran.unwrap_or_else(|error| panic!("{error}")).buffers.swap_remove(y);
        got.iter().zip(&sample.after[y]).filter(|(got, want)| got != want).count()
    };
    let values: HashSet<u32> = sample.after[y].iter().copied().collect();
    assert!(values.len() > INPUTS / 2, "{} different results", values.len());
    assert_eq!(differences(sample.text()), 0, "results whose bits differ");
    for (right, wrong) in [
        ("5.70498872745e-3", "5.70499872745e-3"),
        ("2.06390887954e-2", "2.06390987954e-2"),
        ("5.37397155531e-2", "5.37397255531e-2"),
        ("1.33314422036e-1", "1.33314522036e-1"),
        ("3.33332819422e-1", "3.33332919422e-1"),
    ] {
        assert!(sample.text().contains(right), "{right} is a coefficient");
        let found = differences(sample.text().replace(right, wrong));
        assert!(found > 0, "{wrong} for {right} shows");
    }
}
