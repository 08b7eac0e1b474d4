//! burn: its LSTM and GRU, layers one after the other, on wgpu and on the CPU.

use burn::nn::{BiGru, BiGruConfig, BiLstm, BiLstmConfig, Gru, GruConfig, Lstm, LstmConfig};
use burn::tensor::{Device, DeviceKind, Tensor, TensorData};

use crate::{Forward, Shape, System};

/// wgpu on the adapter that burn takes for its default (`CUBECL_WGPU_DEFAULT_DEVICE=Cpu` names a software adapter), and
/// ndarray.
pub fn systems() -> Vec<System> {
    let system = |name, backend, device: Device| {
        let title = device.identity().map_or_else(|| "cpu".to_owned(), |identity| identity.name);
        let build = move |shape: &Shape, input: Vec<f32>| build(&device, shape, input);
        System { name, device: title, backend, build: Box::new(build) }
    };
    vec![
        system("burn 0.22 wgpu", "wgpu", Device::wgpu(DeviceKind::DefaultDevice)),
        system("burn 0.22 ndarray", "cpu", Device::ndarray()),
    ]
}

/// A layer of any of the four kinds that burn has.
enum Layer {
    Lstm(Lstm),
    BiLstm(BiLstm),
    Gru(Gru),
    BiGru(BiGru),
}

impl Layer {
    fn new(shape: &Shape, layer: usize, device: &Device) -> Result<Self, String> {
        let (input, hidden) = (shape.layer_input_size(layer), shape.hidden_size);
        Ok(match (shape.kind.as_str(), shape.bidirectional) {
            ("lstm", false) => Self::Lstm(LstmConfig::new(input, hidden, true).init(device)),
            ("lstm", true) => Self::BiLstm(BiLstmConfig::new(input, hidden, true).init(device)),
            ("gru", false) => Self::Gru(GruConfig::new(input, hidden, true).init(device)),
            ("gru", true) => Self::BiGru(BiGruConfig::new(input, hidden, true).init(device)),
            (kind, _) => return Err(format!("no {kind} here")),
        })
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        match self {
            Self::Lstm(layer) => layer.forward(x, None).0,
            Self::BiLstm(layer) => layer.forward(x, None).0,
            Self::Gru(layer) => layer.forward(x, None),
            Self::BiGru(layer) => layer.forward(x, None).0,
        }
    }
}

fn build(device: &Device, shape: &Shape, input: Vec<f32>) -> Result<Forward, Box<dyn std::error::Error>> {
    let layers: Vec<Layer> =
        (0..shape.num_layers).map(|layer| Layer::new(shape, layer, device)).collect::<Result<_, _>>()?;
    let (device, sizes) = (device.clone(), [shape.batch, shape.seq_len, shape.input_size]);
    Ok(Box::new(move || {
        let x = Tensor::<3>::from_data(TensorData::new(input.clone(), sizes), &device);
        let y = layers.iter().fold(x, |x, layer| layer.forward(x));
        y.into_data().to_vec::<f32>().map_err(|error| format!("{error:?}").into())
    }))
}
