//! `wgpu-rnn compare`.

use serde::Serialize;
use wgpu_rnn::device::Selection;
use wgpu_rnn::internals::diagnostics::compare::{Comparison, Tolerance};
use wgpu_rnn::internals::diagnostics::lockstep::{KernelReport, lockstep};
use wgpu_rnn::internals::params::random::Mt19937;
use wgpu_rnn::internals::reference;
use wgpu_rnn::{Device, Error, Params, Rnn, RnnOptions, Tensor, WeightType};

use crate::Outcome;
use crate::args::{CompareArgs, selectors};
use crate::run::{Input, load};
use crate::terminal::{BAD, FAINT, GOOD, STRONG, line, print_json};

/// A device's results in the JSON report.
#[derive(Serialize)]
struct DeviceRow {
    device: String,
    agrees: bool,
    /// In a free run: each result against the definition.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tensors: Vec<TensorRow>,
    /// In lockstep: each kernel against its twin.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kernels: Vec<KernelReport>,
}

#[derive(Serialize)]
struct TensorRow {
    tensor: &'static str,
    count: usize,
    mismatches: usize,
    max_abs: f64,
    max_rel: f64,
    worst: Option<Vec<usize>>,
}

/// What is compared.
struct Question {
    params: Params,
    given: Input,
    tolerance: Tolerance,
    options: RnnOptions,
}

pub fn compare(args: &CompareArgs) -> Result<Outcome, Error> {
    let params = load(&args.weights)?;
    let config = params.config();
    let given = match &args.input {
        Some(path) => Input::open(path)?,
        None => {
            let shape = if config.batch_first {
                [args.batch, args.seq_len]
            } else {
                [args.seq_len, args.batch]
            };
            let shape = [shape[0], shape[1], config.input_size];
            let count = shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
            let count = count.filter(|&count| count <= 1 << 31).ok_or_else(|| {
                Error::Argument(format!(
                    "an input of shape {shape:?} is over {} values",
                    1_u64 << 31
                ))
            })?;
            let input = Tensor::new(shape, Mt19937::new(args.seed).uniform_vec(count, -1.0, 1.0))?;
            Input { input, lengths: None, state: None }
        }
    };
    let tolerance = Tolerance { atol: args.atol, rtol: args.rtol };
    let question = Question { params, given, tolerance, options: args.module.options() };
    // The same for every device, and slower than any of them.
    let want = if args.lockstep { None } else { Some(question.definition()?) };
    let mut rows = Vec::new();
    let choices = Selection::of_all(&selectors(&args.devices))?;
    let several = choices.len() > 1;
    for choice in choices {
        if args.lockstep && several && matches!(choice, Selection::Cpu) {
            // The CPU's engine is what the others are compared with.
            continue;
        }
        let device = args.open.open(&choice)?;
        let row = match &want {
            None => question.lockstep(&device)?,
            Some(want) => question.free_run(&device, want)?,
        };
        if !args.json {
            print(&row);
        }
        rows.push(row);
    }
    let agrees = rows.iter().all(|row| row.agrees);
    if args.json {
        print_json(&serde_json::json!({ "results": rows }))?;
    }
    Ok(if agrees { Outcome::Agreed } else { Outcome::Disagreed })
}

impl Question {
    fn lockstep(&self, device: &Device) -> Result<DeviceRow, Error> {
        let Input { input, lengths, state } = &self.given;
        let (lengths, state) = (lengths.as_deref(), state.as_ref());
        let reports =
            lockstep(device, &self.params, input, lengths, state, self.tolerance, &self.options)?;
        Ok(DeviceRow {
            device: device.to_string(),
            agrees: reports.iter().all(KernelReport::agrees),
            tensors: Vec::new(),
            kernels: reports,
        })
    }

    /// Of the module with the weights that a device computes with. Where they are rounded, says what that changes.
    fn definition(&self) -> Result<reference::Outcome, Error> {
        let Input { input, lengths, state } = &self.given;
        let of =
            |params: &Params| reference::module(params, input, lengths.as_deref(), state.as_ref());
        let weights = self.options.weights;
        let want = of(&self.params.rounded(weights)?)?;
        if weights != WeightType::F32 {
            let moved = want.largest_difference(&of(&self.params)?);
            anstream::eprintln!(
                "note: rounding the weights to {} moves the results by up to {moved:.1e}",
                weights.name()
            );
        }
        Ok(want)
    }

    fn free_run(&self, device: &Device, want: &reference::Outcome) -> Result<DeviceRow, Error> {
        let rnn = Rnn::with_options(device, &self.params, &self.options)?;
        let (output, state) = self.given.run(&rnn)?;
        let mut tensors = Vec::new();
        let mut agrees = true;
        let results = [("output", Some(&output)), ("hn", Some(&state.h)), ("cn", state.c.as_ref())];
        for ((name, got), want) in results.into_iter().zip([&want.output, &want.h_n, &want.c_n]) {
            let Some(got) = got else { continue };
            let mut comparison = Comparison::default();
            comparison.add(name, got.shape(), got.data(), want, self.tolerance);
            agrees &= comparison.agrees();
            tensors.push(TensorRow {
                tensor: name,
                count: comparison.count,
                mismatches: comparison.mismatches,
                max_abs: comparison.max_abs,
                max_rel: comparison.max_rel,
                worst: comparison.worst.map(|worst| worst.index),
            });
        }
        Ok(DeviceRow { device: device.to_string(), agrees, tensors, kernels: Vec::new() })
    }
}

fn print(row: &DeviceRow) {
    let (colour, word) = if row.agrees { (GOOD, "agrees") } else { (BAD, "disagrees") };
    line!("{STRONG}{}{STRONG:#}: {colour}{word}{colour:#}", row.device);
    for t in &row.tensors {
        let worst =
            t.worst.as_ref().map(|worst| format!(", worst at {worst:?}")).unwrap_or_default();
        line!(
            "  {:<10} {} of {} out of tolerance, max abs {:.3e}, max rel {:.3e}{worst}",
            t.tensor,
            t.mismatches,
            t.count,
            t.max_abs,
            t.max_rel
        );
    }
    for k in &row.kernels {
        line!(
            "  {:<10} {} dispatches, {} of {} values out of tolerance, max abs {:.3e}",
            k.kernel,
            k.dispatches,
            k.mismatches,
            k.count,
            k.max_abs
        );
        if let Some(w) = &k.worst {
            line!("  {FAINT}{:<10} worst: {w}{FAINT:#}", "");
        }
    }
}
