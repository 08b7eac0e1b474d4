//! The host side of language models: state dicts, the definition in `f64`, and what PyTorch gives.

mod fixtures;
#[path = "../common/language_models.rs"]
mod language_models;
mod loading;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use wgpu_rnn::StateDict;

/// A tensor of a file: name, type, shape, bytes.
#[derive(Clone)]
struct Entry {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Entry {
    /// An F32 tensor whose values tell tensors apart: `tag`, `tag` + 1/8, ...
    fn new(name: &str, shape: &[usize], tag: f32) -> Self {
        let count = shape.iter().product::<usize>();
        let bytes = (0..count).flat_map(|i| (tag + i as f32 / 8.0).to_le_bytes()).collect();
        Self { name: name.to_owned(), dtype: Dtype::F32, shape: shape.to_vec(), bytes }
    }
}

/// The file of these tensors.
fn state_dict(entries: &[Entry], metadata: &[(&str, &str)]) -> StateDict {
    let views = entries.iter().map(|entry| {
        let view = TensorView::new(entry.dtype, entry.shape.clone(), &entry.bytes)
            .expect("bytes fill the shape");
        (entry.name.as_str(), view)
    });
    let metadata =
        metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let file = safetensors::serialize(views.collect::<Vec<_>>(), Some(metadata))
        .expect("tensors of valid sizes");
    StateDict::parse("test.safetensors", file).expect("a valid file")
}
