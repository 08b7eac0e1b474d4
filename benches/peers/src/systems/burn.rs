//! burn: its modules, one layer after another, on wgpu and on the CPU.

use std::error::Error;

use burn::nn::activation::ActivationConfig;
use burn::nn::{BiGru, BiGruConfig, BiLstm, BiLstmConfig, BiRnn, BiRnnConfig};
use burn::nn::{Gru, GruConfig, Lstm, LstmConfig, Rnn, RnnConfig};
use burn::tensor::wgpu::{WgpuSetup, wgpu};
use burn::tensor::{Device, Tensor, TensorData};

use super::{Adapter, Forward, Output, System, named};
use crate::shape::{Kind, Shape};

/// Returns burn on the adapters and on its two CPU backends in Rust.
pub fn systems(adapters: &[Adapter]) -> Vec<System> {
    let mut systems = Vec::new();
    for adapter in adapters {
        let Adapter { name, backend, driver } = adapter.clone();
        match open(adapter) {
            Ok(device) => {
                let there = System {
                    device: name,
                    backend,
                    driver,
                    ..System::cpu("burn-wgpu", true, building(device))
                };
                systems.push(there);
            }
            Err(error) => eprintln!("{} on {name}: left out: {error}", named("burn-wgpu")),
        }
    }
    systems.push(System::cpu("burn-flex", true, building(Device::flex())));
    #[expect(deprecated, reason = "earlier measurements used it; burn-flex replaces it")]
    systems.push(System::cpu("burn-ndarray", true, building(Device::ndarray())));
    systems
}

/// Opens an adapter by its name, with the features, limits and memory hints that burn requests.
///
/// burn selects adapters by type and number only. Experimental features are off: burn generates
/// WGSL here, which does not use them.
fn open(adapter: &Adapter) -> Result<Device, Box<dyn Error>> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let found = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()));
    let wanted = |info: &wgpu::AdapterInfo| {
        info.name == adapter.name && info.backend.to_string() == adapter.backend
    };
    let adapter = found
        .into_iter()
        .find(|found| wanted(&found.get_info()))
        .ok_or("burn's wgpu does not find it")?;
    let without =
        wgpu::Features::MAPPABLE_PRIMARY_BUFFERS | wgpu::Features::all_experimental_mask();
    let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
        required_features: adapter.features().difference(without),
        required_limits: adapter.limits(),
        memory_hints: wgpu::MemoryHints::MemoryUsage,
        ..wgpu::DeviceDescriptor::default()
    }))?;
    let backend = adapter.get_info().backend;
    Ok(Device::wgpu_options()
        .setup(WgpuSetup { instance, adapter, device, queue, backend })
        .init()?)
}

/// A layer.
enum Layer {
    Rnn(Rnn),
    BiRnn(BiRnn),
    Lstm(Lstm),
    BiLstm(BiLstm),
    Gru(Gru),
    BiGru(BiGru),
}

impl Layer {
    fn new(shape: &Shape, layer: usize, device: &Device) -> Self {
        let (input, hidden) = (shape.layer_input_size(layer), shape.hidden_size);
        let rnn = |activation| {
            if shape.bidirectional {
                let config =
                    BiRnnConfig::new(input, hidden, true).with_hidden_activation(activation);
                Self::BiRnn(config.init(device))
            } else {
                Self::Rnn(
                    RnnConfig::new(input, hidden, true)
                        .with_hidden_activation(activation)
                        .init(device),
                )
            }
        };
        match (shape.kind, shape.bidirectional) {
            (Kind::RnnTanh, _) => rnn(ActivationConfig::Tanh),
            (Kind::RnnRelu, _) => rnn(ActivationConfig::Relu),
            (Kind::Lstm, false) => Self::Lstm(LstmConfig::new(input, hidden, true).init(device)),
            (Kind::Lstm, true) => Self::BiLstm(BiLstmConfig::new(input, hidden, true).init(device)),
            (Kind::Gru, false) => Self::Gru(GruConfig::new(input, hidden, true).init(device)),
            (Kind::Gru, true) => Self::BiGru(BiGruConfig::new(input, hidden, true).init(device)),
        }
    }

    /// `[B, T, I]` to `[B, T, D·H]`.
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        match self {
            Self::Rnn(layer) => layer.forward(x, None).0,
            Self::BiRnn(layer) => layer.forward(x, None).0,
            Self::Lstm(layer) => layer.forward(x, None).0,
            Self::BiLstm(layer) => layer.forward(x, None).0,
            Self::Gru(layer) => layer.forward(x, None),
            Self::BiGru(layer) => layer.forward(x, None).0,
        }
    }
}

fn building(device: Device) -> impl Fn(&Shape, Vec<f32>) -> Result<Forward, Box<dyn Error>> {
    move |shape, input| {
        let layers: Vec<Layer> =
            (0..shape.num_layers).map(|layer| Layer::new(shape, layer, &device)).collect();
        let (device, dims) = (device.clone(), shape.dims(true, shape.input_size));
        Ok(Box::new(move || {
            let x = Tensor::<3>::from_data(TensorData::new(input.clone(), dims), &device);
            let y = layers.iter().fold(x, |x, layer| layer.forward(x));
            let dims = y.dims().to_vec();
            // Waits for the device.
            let values = y.into_data().into_vec().map_err(|error| format!("{error:?}"))?;
            Ok(Output { dims, values })
        }))
    }
}
