//! The functions of `diagnostics`. The reports are those of the program.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use js_sys::Date;
use serde::Serialize;
use wasm_bindgen::JsValue;
use wgpu_rnn::diagnostics::bench::{Attempt, Options, Shape, Workload};
use wgpu_rnn::diagnostics::compare::Tolerance;
use wgpu_rnn::diagnostics::lockstep::{KernelReport, lockstep_async};
use wgpu_rnn::diagnostics::{SIZES, Subject, calibrate, matches_async, verify};
use wgpu_rnn::internals::diagnostics::Loaded;
use wgpu_rnn::internals::diagnostics::bench::Suite;
use wgpu_rnn::internals::diagnostics::bench::report::{Report as BenchReport, Skipped};
use wgpu_rnn::internals::diagnostics::case::CaseFile;
use wgpu_rnn::internals::diagnostics::verify::report::{DeviceResult, Report};
use wgpu_rnn::{Config, Device, Error, Kind, LoadOptions, Params, Schedule, StateDict, WeightType};

use super::Diagnostics;
use crate::calls::Call;
use crate::diagnostics::{BenchOptions, BenchShape, Case, Progress};
use crate::error::{Result, refuse};
use crate::values::from_report;

/// The interface of this side module.
pub struct Side;

impl Diagnostics for Side {
    fn verify(&self, device: Device, cases: Vec<Case>, progress: Progress) -> Call {
        Box::pin(verify_cases(device, cases, progress))
    }

    fn self_test(&self, device: Device, progress: Progress) -> Call {
        Box::pin(self_test(device, progress))
    }

    fn lockstep(&self, device: Device, progress: Progress) -> Call {
        Box::pin(lockstep(device, progress))
    }

    fn calibrate(&self, device: Device, progress: Progress) -> Call {
        Box::pin(measure(device, progress))
    }

    fn bench(&self, device: Device, options: BenchOptions, progress: Progress) -> Call {
        Box::pin(bench(device, options, progress))
    }
}

/// Runs case files on a device.
async fn verify_cases(device: Device, cases: Vec<Case>, progress: Progress) -> Result<JsValue> {
    let mut result = DeviceResult::new(&device.to_string());
    let all = cases.len();
    for (at, Case { name, bytes }) in cases.into_iter().enumerate() {
        progress.report(at, all, &name);
        let file = StateDict::parse(&name, bytes).and_then(|file| CaseFile::read(&file));
        result.add(match file {
            Ok(file) => verify::run_file_async(&device, &file, &LoadOptions::new()).await,
            Err(error) => verify::CaseReport::error(Path::new(&name), &error),
        });
    }
    progress.report(all, all, "");
    from_report(&Report { results: vec![result] })
}

/// The networks that judge a device: every kind by every schedule.
fn networks() -> impl Iterator<Item = (Config, Schedule)> {
    let schedules = Schedule::ALL.iter().filter(|schedule| **schedule != Schedule::Auto);
    let kinds = schedules.flat_map(|schedule| Kind::ALL.iter().map(move |kind| (kind, schedule)));
    kinds.map(|(&kind, &schedule)| (Config::new(kind, 12, 24).num_layers(2), schedule))
}

/// Runs networks of every kind and schedule against the definition in f64.
async fn self_test(device: Device, progress: Progress) -> Result<JsValue> {
    let mut result = DeviceResult::new(&device.to_string());
    let all = networks().count();
    for (at, (config, schedule)) in networks().enumerate() {
        let id = format!("{config} by {schedule}");
        progress.report(at, all, &id);
        let params = &Params::init(&config, 0)?;
        let loaded = Loaded { params, options: &LoadOptions::new().schedule(schedule) };
        let tolerance = Tolerance::F32;
        for found in matches_async(&loaded, [device.clone()], tolerance, SIZES).await? {
            let named = (id.as_str(), Path::new(""));
            result.add(verify::CaseReport::of(named, tolerance, found.comparison));
        }
    }
    progress.report(all, all, "");
    from_report(&Report { results: vec![result] })
}

/// The comparison of a kernel with its twin.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct KernelEntry {
    kernel: String,
    dispatches: u64,
    values: usize,
    max_abs: f64,
    agrees: bool,
    worst: Option<String>,
}

impl KernelEntry {
    fn add(&mut self, report: &KernelReport) {
        let is_first = self.dispatches == 0;
        self.agrees = report.agrees() && (is_first || self.agrees);
        self.dispatches += report.dispatches;
        self.values += report.count;
        if report.max_abs >= self.max_abs {
            self.max_abs = report.max_abs;
            self.worst = report.worst.as_ref().map(ToString::to_string);
        }
    }
}

/// Runs each kernel against its twin on the CPU.
async fn lockstep(device: Device, progress: Progress) -> Result<JsValue> {
    let mut kernels: BTreeMap<String, KernelEntry> = BTreeMap::new();
    let all = networks().count();
    if device.wgpu().is_some() {
        for (at, (config, schedule)) in networks().enumerate() {
            progress.report(at, all, &format!("{config} by {schedule}"));
            for report in lockstep_of(&device, &config, schedule).await? {
                let entry = kernels.entry(report.kernel.clone()).or_insert_with_key(|name| {
                    KernelEntry { kernel: name.clone(), ..KernelEntry::default() }
                });
                entry.add(&report);
            }
        }
    }
    progress.report(all, all, "");
    from_report(&kernels.values().collect::<Vec<_>>())
}

/// Runs the kernels of a network; none of a schedule that the device refuses.
async fn lockstep_of(
    device: &Device,
    config: &Config,
    schedule: Schedule,
) -> Result<Vec<KernelReport>> {
    let params = &Params::init(config, 0)?;
    let options = &LoadOptions::new().schedule(schedule);
    let (input, state) = Loaded { params, options }.draw(7, 3, 1)?;
    let (state, tolerance) = (state.as_ref(), Tolerance::F32);
    match lockstep_async(device, params, &input, None, state, tolerance, options).await {
        Err(Error::Unsupported(_)) => Ok(Vec::new()),
        reports => Ok(reports?),
    }
}

/// Measures the constants of a device.
async fn measure(device: Device, progress: Progress) -> Result<JsValue> {
    let percent = |share: f64, name: &str| {
        progress.report((share * 100.0).round() as usize, 100, name);
    };
    from_report(&calibrate::measure_async(&device, percent).await?)
}

impl BenchShape {
    fn shape(self) -> Result<Shape> {
        let kind: Kind = self.kind.as_deref().unwrap_or("lstm").parse()?;
        let hidden_size = self.hidden_size.unwrap_or(256);
        let (seq_len, batch) = (self.seq_len.unwrap_or(100), self.batch.unwrap_or(1));
        let config = Config::new(kind, self.input_size.unwrap_or(hidden_size), hidden_size)
            .num_layers(self.num_layers.unwrap_or(1))
            .bidirectional(self.bidirectional);
        config.validate()?;
        let name = self.name.unwrap_or_else(|| format!("{config} T={seq_len} B={batch}"));
        Ok(Shape::new(name, config, seq_len, batch))
    }
}

impl BenchOptions {
    fn resolve(self) -> Result<(Vec<Shape>, Options)> {
        let options = self.options()?;
        let shapes = match self.shapes {
            Some(shapes) => shapes.into_iter().map(BenchShape::shape).collect::<Result<_>>()?,
            None => suite(self.suite.as_deref().unwrap_or("quick"))?.shapes(),
        };
        Ok((shapes, options))
    }

    fn options(&self) -> Result<Options> {
        let seconds = self.seconds.unwrap_or(10.0);
        if !(seconds > 0.0 && seconds <= 86_400.0) {
            return refuse(format!("options.seconds is {seconds}; expected up to 86400"));
        }
        let options = Options::default().budget(Duration::from_secs_f64(seconds));
        Ok(match self.repetitions {
            Some(count) => options.repetitions(count.max(1)),
            None => options,
        })
    }
}

fn suite(name: &str) -> Result<Suite> {
    let unknown = || {
        let names = Suite::NAMES.join(", ");
        refuse(format!("unknown suite '{name}': expected one of {names}"))
    };
    Suite::parse(name).map_or_else(unknown, Ok)
}

/// Times forward passes.
async fn bench(device: Device, options: BenchOptions, progress: Progress) -> Result<JsValue> {
    let (shapes, options) = options.resolve()?;
    let started = String::from(Date::new_0().to_iso_string());
    let calibration = device.calibration();
    let described = ("diagnostics.bench".to_owned(), started);
    let mut report =
        BenchReport::new(described, vec![calibration.clone()], Vec::new(), shapes.len());
    for (at, shape) in shapes.iter().enumerate() {
        progress.report(at, shapes.len(), &shape.name);
        let workload = Workload::new(shape, WeightType::F32)?;
        let reason = match workload.measure_async(&device, calibration, &options).await {
            Ok(Attempt::Measured(measurement)) => {
                report.add(*measurement);
                continue;
            }
            Ok(Attempt::Skipped(reason)) => reason,
            Ok(other) => format!("{other:?}"),
            Err(error @ Error::DeviceLost { .. }) => return Err(error.into()),
            Err(error) => error.to_string(),
        };
        report.skip(Skipped::new(device.name(), &shape.name, Schedule::Auto, reason));
    }
    progress.report(shapes.len(), shapes.len(), "");
    from_report(&report)
}
