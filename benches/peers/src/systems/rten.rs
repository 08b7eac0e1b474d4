//! rten: an ONNX model on the CPU. rten has LSTM and GRU.

use std::error::Error;

use rten::Model;
use rten_tensor::prelude::*;
use rten_tensor::{NdTensorView, Tensor};

use super::{Forward, Output, System};
use crate::onnx;
use crate::shape::Shape;

pub fn system() -> System {
    System::cpu("rten", false, build)
}

fn build(shape: &Shape, input: Vec<f32>) -> Result<Forward, Box<dyn Error>> {
    let model = Model::load(onnx::model(shape))?;
    let dims = shape.dims(false, shape.input_size);
    Ok(Box::new(move || {
        let x = NdTensorView::from_data(dims, input.as_slice());
        let y: Tensor<f32> = model.run_one(x.into(), None)?.try_into()?;
        Ok(Output { dims: y.shape().to_vec(), values: y.into_data() })
    }))
}
