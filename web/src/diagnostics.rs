//! Judging a device: `diagnostics` of `../js/index.js`. The work is done in a side module.

use js_sys::{Array, Function, Promise};
use serde::Deserialize;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wgpu_rnn::Device as Handle;

use crate::calls::{Call, promise};
use crate::device::Device;
use crate::error::{Result, refuse};
use crate::options;
use crate::side::{self, Diagnostics};
use crate::values::{bytes, given};

/// The function that hears of the progress of a call.
pub struct Progress(Option<Function>);

impl Progress {
    fn new(function: &JsValue) -> Result<Self> {
        match given(function).map(|function| function.dyn_ref::<Function>()) {
            None => Ok(Self(None)),
            Some(Some(function)) => Ok(Self(Some(function.clone()))),
            Some(None) => refuse("progress should be a function".to_owned()),
        }
    }

    /// Reports `done` of `all` parts, and the name of the next.
    pub fn report(&self, done: usize, all: usize, name: &str) {
        if let Some(function) = &self.0 {
            let [done, all] = [done, all].map(|count| JsValue::from(count as f64));
            // An error of the caller's function is no fault of the device.
            _ = function.call3(&JsValue::UNDEFINED, &done, &all, &name.into());
        }
    }
}

/// A case file of the caller.
pub struct Case {
    /// The name of the file.
    pub name: String,
    /// The content of the file.
    pub bytes: Vec<u8>,
}

#[derive(Deserialize)]
struct CaseObject {
    name: String,
    #[serde(with = "serde_wasm_bindgen::preserve")]
    bytes: JsValue,
}

impl Case {
    fn read_all(cases: &Array) -> Result<Vec<Self>> {
        let read = |(at, case): (usize, JsValue)| {
            let CaseObject { name, bytes: file } =
                options::required(&case, &format!("cases[{at}]"))?;
            Ok(Self { name, bytes: bytes(&file)? })
        };
        cases.iter().enumerate().map(read).collect()
    }
}

/// The options of a benchmark.
pub struct BenchOptions {
    /// The name of a suite.
    pub suite: Option<String>,
    /// Other shapes.
    pub shapes: Option<Vec<BenchShape>>,
    /// The approximate time for one shape.
    pub seconds: Option<f64>,
    /// The most timed runs of a shape.
    pub repetitions: Option<usize>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct BenchObject {
    suite: Option<String>,
    #[serde(with = "serde_wasm_bindgen::preserve")]
    shapes: JsValue,
    seconds: Option<f64>,
    repetitions: Option<usize>,
}

/// A shape, with the names of a report's rows.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct BenchShape {
    pub name: Option<String>,
    pub kind: Option<String>,
    pub input_size: Option<usize>,
    pub hidden_size: Option<usize>,
    pub num_layers: Option<usize>,
    pub bidirectional: bool,
    pub seq_len: Option<usize>,
    pub batch: Option<usize>,
}

impl BenchOptions {
    fn read(options: &JsValue) -> Result<Self> {
        let BenchObject { suite, shapes, seconds, repetitions } =
            options::read(options, "options")?;
        let shapes = given(&shapes).map(BenchShape::read_all).transpose()?;
        Ok(Self { suite, shapes, seconds, repetitions })
    }
}

impl BenchShape {
    fn read_all(shapes: &JsValue) -> Result<Vec<Self>> {
        let Some(shapes) = shapes.dyn_ref::<Array>() else {
            return refuse("options.shapes should be an array of objects".to_owned());
        };
        let read = |(at, shape): (usize, JsValue)| {
            options::required(&shape, &format!("options.shapes[{at}]"))
        };
        shapes.iter().enumerate().map(read).collect()
    }
}

/// A function of the side module, with the other arguments of its call.
type Start = Box<dyn FnOnce(&'static dyn Diagnostics, Handle, Progress) -> Call>;

/// Starts a call, unless an argument was refused.
fn run(
    device: &Device,
    progress: &JsValue,
    call: Result<impl FnOnce(&'static dyn Diagnostics, Handle, Progress) -> Call + 'static>,
) -> Promise {
    let progress = Progress::new(progress);
    start(device.0.clone(), progress, call.map(|call| Box::new(call) as Start))
}

/// Starts a call in a box: all calls share the code that loads the side module.
fn start(device: Handle, progress: Result<Progress>, call: Result<Start>) -> Promise {
    promise(async move {
        let (call, progress) = (call?, progress?);
        call(side::diagnostics().await?, device, progress).await
    })
}

/// Runs case files on a device.
#[wasm_bindgen]
pub fn verify(device: &Device, cases: Array, progress: JsValue) -> Promise {
    let call =
        |cases| move |side: &'static dyn Diagnostics, on, hears| side.verify(on, cases, hears);
    run(device, &progress, Case::read_all(&cases).map(call))
}

/// Runs networks of every kind and schedule against the definition in f64.
#[wasm_bindgen(js_name = selfTest)]
pub fn self_test(device: &Device, progress: JsValue) -> Promise {
    run(device, &progress, Ok(Diagnostics::self_test))
}

/// Runs each kernel against its twin on the CPU.
#[wasm_bindgen]
pub fn lockstep(device: &Device, progress: JsValue) -> Promise {
    run(device, &progress, Ok(Diagnostics::lockstep))
}

/// Measures the constants of a device.
#[wasm_bindgen]
pub fn calibrate(device: &Device, progress: JsValue) -> Promise {
    run(device, &progress, Ok(Diagnostics::calibrate))
}

/// Times forward passes.
#[wasm_bindgen]
pub fn bench(device: &Device, options: JsValue, progress: JsValue) -> Promise {
    let call =
        |options| move |side: &'static dyn Diagnostics, on, hears| side.bench(on, options, hears);
    run(device, &progress, BenchOptions::read(&options).map(call))
}
