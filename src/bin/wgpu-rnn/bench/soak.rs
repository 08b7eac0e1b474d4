//! `bench --soak`: the same pass many times, by its bits.

use wgpu_rnn::internals::diagnostics::bench::{Options, Shape, Soak};
use wgpu_rnn::{Error, Params, Schedule};

use super::report::Skipped;
use super::{BenchArgs, Target, pairs, refused, workload};
use crate::Outcome;
use crate::output::to_json;
use crate::terminal::{BAD, FAINT, GOOD, line};

/// Soaks every shape on every device with every schedule.
pub fn soak(
    args: &BenchArgs,
    (shapes, given): (&[Shape], Option<&Params>),
    targets: &[Target],
    schedules: &[Schedule],
    steps: u64,
) -> Result<Outcome, Error> {
    let (mut soaks, mut skipped): (Vec<Soak>, Vec<Skipped>) = (Vec::new(), Vec::new());
    let planned = shapes.len() * targets.len() * schedules.len();
    let text = args.leaves_stdout();
    let mut failed = targets.iter().any(|target| target.device.is_err());
    for shape in shapes {
        let workload = workload(args, shape, given)?;
        for (Target { title, device }, &schedule) in pairs(targets, schedules) {
            let options = Options::default().module(args.module.options().schedule(schedule));
            let soak = match device {
                Err(error) => Err(error.to_string()),
                Ok(device) => workload.soak(device, &options, steps).map_err(|error| {
                    failed |= !refused(args, &error);
                    error.to_string()
                }),
            };
            match soak {
                Ok(soak) => {
                    if text {
                        print(&soak);
                    }
                    soaks.push(soak);
                }
                Err(reason) => {
                    let without = Skipped::new(title, &shape.name, schedule, reason);
                    if text {
                        line!("{FAINT}{without}{FAINT:#}");
                    }
                    skipped.push(without);
                }
            }
            let complete = soaks.len() + skipped.len() == planned;
            // A stopped run keeps what has come so far.
            if let Some(json) = args.json.as_ref().filter(|json| complete || json.is_replaced()) {
                let report = serde_json::json!({
                    "soaks": soaks, "skipped": skipped, "planned": planned, "complete": complete,
                });
                json.write(&to_json(json, &report)?)?;
            }
        }
    }
    Ok(if soaks.iter().any(|soak| soak.changed > 0 || !soak.agrees) {
        Outcome::Disagreed
    } else if failed || soaks.is_empty() {
        Outcome::Incomplete
    } else {
        Outcome::Agreed
    })
}

fn print(soak: &Soak) {
    let Soak { name, device, schedule, passes, steps, changed, agrees, .. } = soak;
    let verdict = if *changed == 0 {
        format!("{GOOD}equal bits{GOOD:#}")
    } else {
        format!("{BAD}{changed} passes have other bits than the first{BAD:#}")
    };
    line!("{name} on {device} by {schedule}: {passes} passes, {steps} steps: {verdict}");
    if !agrees {
        line!("    {BAD}disagrees with the reference in f64{BAD:#}");
    }
}
