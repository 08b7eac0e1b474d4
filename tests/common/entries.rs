//! Files of tensors made by hand, and the problems that a state dict can have.

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use wgpu_rnn::StateDict;
use wgpu_rnn::internals::error::StateDictProblem;

/// A tensor of a file: name, type, shape, bytes.
#[derive(Clone)]
pub struct Entry {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

impl Entry {
    /// An F32 tensor with values that only it has: `tag`, `tag` + 1/8, ...
    pub fn new(name: &str, shape: &[usize], tag: f32) -> Self {
        let count = shape.iter().product::<usize>();
        let bytes = (0..count).flat_map(|i| (tag + i as f32 / 8.0).to_le_bytes()).collect();
        Self { name: name.to_owned(), dtype: Dtype::F32, shape: shape.to_vec(), bytes }
    }
}

/// An entry for each of these shapes, its name after `prefix`. No two begin with equal values.
pub fn entries(named: Vec<(String, Vec<usize>)>, prefix: &str) -> Vec<Entry> {
    let named = named.into_iter().enumerate();
    named
        .map(|(i, (name, shape))| Entry::new(&format!("{prefix}{name}"), &shape, i as f32))
        .collect()
}

/// The entries but those of these names, which must be there.
pub fn without(mut entries: Vec<Entry>, names: &[&str]) -> Vec<Entry> {
    let before = entries.len();
    entries.retain(|entry| !names.contains(&entry.name.as_str()));
    assert_eq!(entries.len() + names.len(), before, "all of {names:?} were there");
    entries
}

/// The state dict of a file of these tensors.
pub fn state_dict(entries: &[Entry], metadata: &[(&str, &str)]) -> StateDict {
    let views = entries.iter().map(|entry| {
        let view = TensorView::new(entry.dtype, entry.shape.clone(), &entry.bytes)
            .expect("bytes fill the shape");
        (entry.name.as_str(), view)
    });
    let pairs = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let metadata = (!metadata.is_empty()).then(|| pairs.collect());
    let file = safetensors::serialize(views.collect::<Vec<_>>(), metadata)
        .expect("tensors of valid sizes");
    StateDict::parse("test.safetensors", file).expect("a valid file")
}

pub fn missing(name: &str) -> StateDictProblem {
    StateDictProblem::Missing { name: name.to_owned() }
}

pub fn unexpected(name: &str) -> StateDictProblem {
    StateDictProblem::Unexpected { name: name.to_owned() }
}

pub fn wrong_shape(name: &str, expected: &[usize], found: &[usize]) -> StateDictProblem {
    StateDictProblem::WrongShape {
        name: name.to_owned(),
        expected: expected.to_vec(),
        found: found.to_vec(),
    }
}
