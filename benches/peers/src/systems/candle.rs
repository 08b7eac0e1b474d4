//! candle: its LSTM and GRU on the CPU, one direction, one layer after another.

use std::error::Error;

use candle_core::{DType, Device, Tensor};
use candle_nn::{GRU, GRUConfig, LSTM, LSTMConfig, RNN, VarBuilder, VarMap};

use super::{Forward, Output, System};
use crate::shape::{Kind, Shape};

pub fn system() -> System {
    let driver = format!("{} threads", candle_core::utils::get_num_threads());
    System { driver, ..System::cpu("candle-nn", true, build) }
}

/// A layer.
enum Layer {
    Lstm(LSTM),
    Gru(GRU),
}

impl Layer {
    fn new(shape: &Shape, layer: usize, weights: VarBuilder<'_>) -> Result<Self, Box<dyn Error>> {
        let (input, hidden) = (shape.layer_input_size(layer), shape.hidden_size);
        match shape.kind {
            _ if shape.bidirectional => Err("candle's layers have one direction".into()),
            Kind::Lstm => Ok(Self::Lstm(LSTM::new(input, hidden, LSTMConfig::default(), weights)?)),
            Kind::Gru => Ok(Self::Gru(GRU::new(input, hidden, GRUConfig::default(), weights)?)),
            Kind::RnnTanh | Kind::RnnRelu => Err("candle has LSTM and GRU only".into()),
        }
    }

    /// `[B, T, I]` to `[B, T, H]`.
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Self::Lstm(layer) => layer.states_to_tensor(&layer.seq(x)?),
            // The GRU joins time and features: `[B, T·H]`.
            Self::Gru(layer) => {
                let (batch, seq_len, _) = x.dims3()?;
                layer.states_to_tensor(&layer.seq(x)?)?.reshape((batch, seq_len, ()))
            }
        }
    }
}

fn build(shape: &Shape, input: Vec<f32>) -> Result<Forward, Box<dyn Error>> {
    let variables = VarMap::new();
    let weights = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
    let layers = (0..shape.num_layers).map(|layer| Layer::new(shape, layer, weights.pp(layer)));
    let layers: Vec<Layer> = layers.collect::<Result<_, _>>()?;
    let dims = shape.dims(true, shape.input_size);
    Ok(Box::new(move || {
        let mut x = Tensor::from_slice(&input, dims.as_slice(), &Device::Cpu)?;
        for layer in &layers {
            x = layer.forward(&x)?;
        }
        Ok(Output { dims: x.dims().to_vec(), values: x.flatten_all()?.to_vec1()? })
    }))
}
