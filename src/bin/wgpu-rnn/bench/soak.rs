//! `bench --soak`: the same pass many times, by its bits.

use wgpu_rnn::internals::diagnostics::bench::{Options, Shape, Soak, Workload};
use wgpu_rnn::internals::fs;
use wgpu_rnn::{Error, Schedule};

use super::report::Skipped;
use super::{BenchArgs, Target, pairs, refused};
use crate::Outcome;
use crate::terminal::{BAD, FAINT, GOOD, line};

/// Soaks every shape on every device with every schedule.
pub fn soak(
    args: &BenchArgs,
    shapes: &[Shape],
    targets: &[Target],
    schedules: &[Schedule],
    steps: u64,
) -> Result<Outcome, Error> {
    let (mut soaks, mut skipped): (Vec<Soak>, Vec<Skipped>) = (Vec::new(), Vec::new());
    let mut failed = targets.iter().any(|target| target.device.is_err());
    for shape in shapes {
        let workload = Workload::new(shape, args.module.dtype)?;
        for (Target { title, device }, &schedule) in pairs(targets, schedules) {
            let options = Options::default().module(args.module.options().schedule(schedule));
            let reason = match device {
                Err(error) => error.to_string(),
                Ok(device) => match workload.soak(device, &options, steps) {
                    Ok(soak) => {
                        print(&soak);
                        soaks.push(soak);
                        continue;
                    }
                    Err(error) => {
                        failed |= !refused(args, &error);
                        error.to_string()
                    }
                },
            };
            let without = Skipped::new(title, &shape.name, schedule, reason);
            line!("{FAINT}{without}{FAINT:#}");
            skipped.push(without);
        }
    }
    if let Some(path) = &args.json {
        let report = serde_json::json!({ "soaks": soaks, "skipped": skipped });
        fs::write(path, format!("{report:#}").as_bytes())?;
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
