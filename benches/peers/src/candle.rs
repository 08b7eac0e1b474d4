//! candle: its LSTM and GRU on the CPU, one direction, layers one after the other.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{GRU, GRUConfig, LSTM, LSTMConfig, RNN, VarBuilder, VarMap};

use crate::{Forward, Shape, System};

pub fn system() -> System {
    System { name: "candle 0.11", device: "cpu".to_owned(), backend: "cpu", build: Box::new(build) }
}

enum Layer {
    Lstm(LSTM),
    Gru(GRU),
}

impl Layer {
    fn new(shape: &Shape, layer: usize, weights: VarBuilder<'_>) -> std::result::Result<Self, Box<dyn std::error::Error>> {
        let (input, hidden) = (shape.layer_input_size(layer), shape.hidden_size);
        Ok(match (shape.kind.as_str(), shape.bidirectional) {
            ("lstm", false) => Self::Lstm(LSTM::new(input, hidden, LSTMConfig::default(), weights)?),
            ("gru", false) => Self::Gru(GRU::new(input, hidden, GRUConfig::default(), weights)?),
            (_, true) => return Err("one direction only".into()),
            (kind, _) => return Err(format!("no {kind} here").into()),
        })
    }

    /// `[B, T, I]` to `[B, T, H]`.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Lstm(layer) => layer.states_to_tensor(&layer.seq(x)?),
            Self::Gru(layer) => layer.states_to_tensor(&layer.seq(x)?),
        }
    }
}

fn build(shape: &Shape, input: Vec<f32>) -> std::result::Result<Forward, Box<dyn std::error::Error>> {
    let variables = VarMap::new();
    let weights = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
    let layers: Vec<Layer> = (0..shape.num_layers)
        .map(|layer| Layer::new(shape, layer, weights.pp(format!("layer{layer}"))))
        .collect::<std::result::Result<_, _>>()?;
    let sizes = (shape.batch, shape.seq_len, shape.input_size);
    Ok(Box::new(move || {
        let mut x = Tensor::from_slice(&input, sizes, &Device::Cpu)?;
        for layer in &layers {
            x = layer.forward(&x)?;
        }
        Ok(x.flatten_all()?.to_vec1::<f32>()?)
    }))
}
