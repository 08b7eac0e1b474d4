//! Judging a device: `diagnostics` of `../js/index.js`. The reports are those of the program.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use js_sys::{Array, Date, Function, Promise};
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wgpu_rnn::diagnostics::bench::{Attempt, Options, Shape, Workload};
use wgpu_rnn::diagnostics::compare::Tolerance;
use wgpu_rnn::diagnostics::lockstep::{KernelReport, lockstep_async};
use wgpu_rnn::diagnostics::{SIZES, Subject, calibrate, matches_async, verify};
use wgpu_rnn::internals::diagnostics::Loaded;
use wgpu_rnn::internals::diagnostics::bench::Suite;
use wgpu_rnn::internals::diagnostics::bench::report::{Report as BenchReport, Skipped};
use wgpu_rnn::internals::diagnostics::case::CaseFile;
use wgpu_rnn::internals::diagnostics::verify::report::{DeviceResult, Report};
use wgpu_rnn::{
    Config, Device as Handle, Error, Kind, LoadOptions, Params, Schedule, StateDict, WeightType,
};

use crate::calls::promise;
use crate::device::Device;
use crate::error::{Result, refuse};
use crate::options;
use crate::values::{bytes, from_report, given};

/// The function that hears of the progress of a call.
struct Progress(Option<Function>);

impl Progress {
    fn new(function: &JsValue) -> Result<Self> {
        match given(function).map(|function| function.dyn_ref::<Function>()) {
            None => Ok(Self(None)),
            Some(Some(function)) => Ok(Self(Some(function.clone()))),
            Some(None) => refuse("progress should be a function".to_owned()),
        }
    }

    /// Reports `done` of `all` parts, and the name of the next.
    fn report(&self, done: usize, all: usize, name: &str) {
        if let Some(function) = &self.0 {
            let [done, all] = [done, all].map(|count| JsValue::from(count as f64));
            // An error of the caller's function is no fault of the device.
            _ = function.call3(&JsValue::UNDEFINED, &done, &all, &name.into());
        }
    }
}

/// A case file of the caller.
#[derive(Deserialize)]
struct CaseObject {
    name: String,
    #[serde(with = "serde_wasm_bindgen::preserve")]
    bytes: JsValue,
}

/// Runs case files on a device.
#[wasm_bindgen(js_name = verify)]
pub fn verify_cases(device: &Device, cases: Array, progress: JsValue) -> Promise {
    let device = device.0.clone();
    let read = |(at, case): (usize, JsValue)| -> Result<(String, Vec<u8>)> {
        let CaseObject { name, bytes: file } = options::required(&case, &format!("cases[{at}]"))?;
        Ok((name, bytes(&file)?))
    };
    let cases: Result<Vec<_>> = cases.iter().enumerate().map(read).collect();
    let progress = Progress::new(&progress);
    promise(async move {
        let (cases, progress) = (cases?, progress?);
        let mut result = DeviceResult::new(&device.to_string());
        let all = cases.len();
        for (at, (name, bytes)) in cases.into_iter().enumerate() {
            progress.report(at, all, &name);
            let file = StateDict::parse(&name, bytes).and_then(|file| CaseFile::read(&file));
            result.add(match file {
                Ok(file) => verify::run_file_async(&device, &file, &LoadOptions::new()).await,
                Err(error) => verify::CaseReport::error(Path::new(&name), &error),
            });
        }
        progress.report(all, all, "");
        from_report(&Report { results: vec![result] })
    })
}

/// The networks that judge a device: every kind by every schedule.
fn networks() -> impl Iterator<Item = (Config, Schedule)> {
    let schedules = Schedule::ALL.iter().filter(|schedule| **schedule != Schedule::Auto);
    let kinds = schedules.flat_map(|schedule| Kind::ALL.iter().map(move |kind| (kind, schedule)));
    kinds.map(|(&kind, &schedule)| (Config::new(kind, 12, 24).num_layers(2), schedule))
}

/// Runs networks of every kind and schedule against the definition in f64.
#[wasm_bindgen(js_name = selfTest)]
pub fn self_test(device: &Device, progress: JsValue) -> Promise {
    let (device, progress) = (device.0.clone(), Progress::new(&progress));
    promise(async move {
        let progress = progress?;
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
    })
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
#[wasm_bindgen]
pub fn lockstep(device: &Device, progress: JsValue) -> Promise {
    let (device, progress) = (device.0.clone(), Progress::new(&progress));
    promise(async move {
        let progress = progress?;
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
    })
}

/// Runs the kernels of a network; none of a schedule that the device refuses.
async fn lockstep_of(
    device: &Handle,
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
#[wasm_bindgen]
pub fn calibrate(device: &Device, progress: JsValue) -> Promise {
    let (device, progress) = (device.0.clone(), Progress::new(&progress));
    promise(async move {
        let progress = progress?;
        let percent = |share: f64, name: &str| {
            progress.report((share * 100.0).round() as usize, 100, name);
        };
        from_report(&calibrate::measure_async(&device, percent).await?)
    })
}

/// The options of a benchmark.
#[derive(Default, Deserialize)]
#[serde(default)]
struct BenchOptions {
    suite: Option<String>,
    #[serde(with = "serde_wasm_bindgen::preserve")]
    shapes: JsValue,
    seconds: Option<f64>,
    repetitions: Option<usize>,
}

/// A shape, with the names of a report's rows.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ShapeObject {
    name: Option<String>,
    kind: Option<String>,
    input_size: Option<usize>,
    hidden_size: Option<usize>,
    num_layers: Option<usize>,
    bidirectional: bool,
    seq_len: Option<usize>,
    batch: Option<usize>,
}

impl ShapeObject {
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
    fn read(self) -> Result<(Vec<Shape>, Options)> {
        Ok((self.shapes()?, self.options()?))
    }

    fn shapes(&self) -> Result<Vec<Shape>> {
        let Some(shapes) = given(&self.shapes) else {
            let name = self.suite.as_deref().unwrap_or("quick");
            return match Suite::parse(name) {
                Some(suite) => Ok(suite.shapes()),
                None => refuse(format!(
                    "unknown suite '{name}': expected one of {}",
                    Suite::NAMES.join(", ")
                )),
            };
        };
        let Some(shapes) = shapes.dyn_ref::<Array>() else {
            return refuse("options.shapes should be an array of objects".to_owned());
        };
        let shape = |(at, shape): (usize, JsValue)| {
            options::required::<ShapeObject>(&shape, &format!("options.shapes[{at}]"))?.shape()
        };
        shapes.iter().enumerate().map(shape).collect()
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

/// Times forward passes.
#[wasm_bindgen]
pub fn bench(device: &Device, options: JsValue, progress: JsValue) -> Promise {
    let options = options::read(&options, "options").and_then(BenchOptions::read);
    let (device, progress) = (device.0.clone(), Progress::new(&progress));
    promise(async move {
        let ((shapes, options), progress) = (options?, progress?);
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
    })
}
