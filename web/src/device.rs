//! The class `Device`.

use std::collections::BTreeMap;
use std::future::pending;

use js_sys::Promise;
use serde::Deserialize;
use tokio::sync::mpsc::unbounded_channel;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wgpu_rnn::device::{AdapterEntry, OpenOptions, adapters_async};
use wgpu_rnn::{Device as Handle, Error, wgpu};

use crate::calls::promise;
use crate::error::Result;
use crate::options;
use crate::values::object;

#[wasm_bindgen(raw_module = "./adapters.js")]
extern "C" {
    /// The name of the browser's adapter. wgpu reads its description only, which is often empty.
    #[wasm_bindgen(js_name = adapterName)]
    async fn adapter_name() -> JsValue;
}

/// A GPU or the CPU.
#[wasm_bindgen]
pub struct Device(pub(crate) Handle);

/// The fields of `OpenOptions`.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Fields {
    self_test: Option<bool>,
    limits: BTreeMap<String, u64>,
    threads: Option<usize>,
    timestamps: bool,
    #[serde(with = "serde_wasm_bindgen::preserve")]
    calibration: JsValue,
}

impl Fields {
    fn read(self) -> Result<OpenOptions> {
        let limits = self.limits.into_iter();
        let mut open = OpenOptions::default();
        open.self_test = self.self_test.unwrap_or(true);
        open.timestamps = self.timestamps;
        open.threads = self.threads;
        open.limits = limits.map(|(name, value)| (snake_case(&name), value)).collect();
        open.calibration = options::plain(&self.calibration, "options.calibration")?;
        Ok(open)
    }
}

/// Returns the name of a limit in Rust: `max_buffer_size` for `maxBufferSize`.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// Opens the device that a selector names.
async fn open(selector: &str, options: &OpenOptions) -> Result<Handle> {
    if !["auto", "cpu", "webgpu"].contains(&selector) {
        let text = format!("unknown device '{selector}': expected auto, cpu or webgpu");
        return Err(Error::UnknownName(text).into());
    }
    // wgpu panics where there is neither a page nor a worker, as in Node.
    let has_webgpu = selector != "cpu" && wgpu::util::is_browser_webgpu_supported().await;
    let adapters = if has_webgpu { adapters_async().await } else { Vec::new() };
    let takes = |entry: &AdapterEntry| selector == "webgpu" || !entry.is_software();
    match adapters.into_iter().find(takes) {
        Some(mut entry) => {
            if entry.info.name.is_empty() {
                entry.info.name = adapter_name().await.as_string().unwrap_or_default();
            }
            Ok(Handle::from_adapter_async(&entry, options).await?)
        }
        None if selector == "webgpu" => {
            let text = "there is no WebGPU here; open \"cpu\", or \"auto\" for the best device";
            Err(Error::NoAdapter(text.to_owned()).into())
        }
        None => Ok(Handle::cpu_with(options)?),
    }
}

#[wasm_bindgen]
impl Device {
    /// Opens the device that a selector names: `auto`, `cpu` or `webgpu`.
    pub fn open(selector: JsValue, options: JsValue) -> Promise {
        let selector = options::plain::<Option<String>>(&selector, "selector");
        let options = options::read::<Fields>(&options, "options").and_then(Fields::read);
        promise(
            async move { open(selector?.as_deref().unwrap_or("auto"), &options?).await.map(Self) },
        )
    }

    /// `cpu`, or the adapter's name.
    #[wasm_bindgen(getter)]
    pub fn name(&self) -> String {
        self.0.name().to_owned()
    }

    /// The backend.
    #[wasm_bindgen(getter)]
    pub fn backend(&self) -> String {
        self.0.backend()
    }

    /// The driver's name and version, if the browser reports them.
    #[wasm_bindgen(getter)]
    pub fn driver(&self) -> String {
        self.0.driver()
    }

    /// Whether kernels run on an adapter, not on the CPU engine.
    #[wasm_bindgen(getter, js_name = isGpu)]
    pub fn is_gpu(&self) -> bool {
        self.0.wgpu().is_some()
    }

    /// Whether the adapter is software.
    #[wasm_bindgen(getter, js_name = isSoftware)]
    pub fn is_software(&self) -> bool {
        self.0.is_software_adapter()
    }

    /// Whether the device is lost.
    #[wasm_bindgen(getter, js_name = isLost)]
    pub fn is_lost(&self) -> bool {
        self.0.is_lost()
    }

    /// The promise of the device's loss, `{ message }`. The CPU is never lost.
    #[wasm_bindgen(getter)]
    pub fn lost(&self) -> Promise {
        let Some((device, _)) = self.0.wgpu() else {
            return promise(pending::<Result<JsValue>>());
        };
        let (adapter, (lose, lost)) = (self.0.name().to_owned(), unbounded_channel());
        // Browsers call every listener, so that the library's own still hears.
        device.set_device_lost_callback(move |reason, message| {
            // Fails only if nobody waits any more.
            _ = lose.send(format!("{reason:?} {message}").trim().to_owned());
        });
        promise(async move {
            let mut lost = lost;
            let reason = lost.recv().await.unwrap_or_default();
            let message = Error::DeviceLost { adapter, reason }.to_string();
            Ok(object([("message", message.into())]))
        })
    }

    /// The limits that plans obey, under WebGPU's names.
    #[wasm_bindgen(getter)]
    pub fn limits(&self) -> JsValue {
        let limits = self.0.limits();
        let number = |value: u64| match value {
            u64::MAX => JsValue::from(f64::INFINITY),
            value => JsValue::from(value as f64),
        };
        object([
            ("maxStorageBufferBindingSize", number(limits.max_storage_buffer_binding_size)),
            ("maxBufferSize", number(limits.max_buffer_size)),
            (
                "maxComputeWorkgroupsPerDimension",
                limits.max_compute_workgroups_per_dimension.into(),
            ),
            (
                "maxComputeInvocationsPerWorkgroup",
                limits.max_compute_invocations_per_workgroup.into(),
            ),
            ("maxComputeWorkgroupSizeX", limits.max_compute_workgroup_size_x.into()),
            ("maxComputeWorkgroupStorageSize", limits.max_compute_workgroup_storage_size.into()),
            ("maxStorageBuffersPerShaderStage", limits.max_storage_buffers_per_shader_stage.into()),
            ("memoryBudget", number(limits.memory_budget)),
            ("maxLoopIterations", number(limits.max_loop_iterations)),
            ("maxWorkPerSubmission", number(limits.max_work_per_submission)),
            ("maxStepsPerDispatch", limits.max_steps_per_dispatch.into()),
        ])
    }

    /// Gives the GPU device back. The CPU has nothing to give.
    pub fn destroy(&self) {
        if let Some((device, _)) = self.0.wgpu() {
            device.destroy();
        }
    }

    /// Name, backend and driver.
    #[wasm_bindgen(js_name = toString)]
    #[allow(clippy::inherent_to_string, reason = "wasm-bindgen exports methods, not traits")]
    pub fn to_string(&self) -> String {
        self.0.to_string()
    }
}
