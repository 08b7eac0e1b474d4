//! tract: an ONNX model on the CPU, optimised for the sizes of the input.

use std::error::Error;

use tract_onnx::prelude::*;

use super::{Forward, Output, System};
use crate::onnx;
use crate::shape::Shape;

pub fn system() -> System {
    // The default is one thread.
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    multithread::set_default_executor(multithread::Executor::multithread(threads));
    System { driver: format!("{threads} threads"), ..System::cpu("tract-onnx", false, build) }
}

fn build(shape: &Shape, input: Vec<f32>) -> Result<Forward, Box<dyn Error>> {
    let bytes = onnx::model(shape);
    let model = tract_onnx::onnx()
        .model_for_read(&mut bytes.as_slice())?
        .into_optimized()?
        .into_runnable()?;
    let dims = shape.dims(false, shape.input_size);
    Ok(Box::new(move || {
        let x = Tensor::from_shape(&dims, &input)?;
        let outputs = model.run(tvec![x.into_tvalue()])?;
        let y = outputs.first().ok_or("the model has no output")?;
        let values = y.try_as_plain_ram()?.as_slice::<f32>()?.to_vec();
        Ok(Output { dims: y.shape().to_vec(), values })
    }))
}
