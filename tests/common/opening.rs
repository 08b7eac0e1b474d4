//! Opening files of weights, and comparing their tensors.

use std::path::Path;

use wgpu_rnn::StateDict;

pub fn open(path: &Path) -> StateDict {
    StateDict::open(path).unwrap_or_else(|error| panic!("{error}"))
}

/// The tensors of a file: name, type, shape, and the bytes in row-major order.
pub fn tensors(file: &StateDict) -> Vec<(String, String, Vec<usize>, Vec<u8>)> {
    let tensor = |name: &str| {
        let entry = file.get(name).expect("it was listed");
        let bytes = file.bytes(name).unwrap_or_else(|error| panic!("{error}"));
        (name.to_owned(), entry.dtype().to_string(), entry.shape().to_vec(), bytes.into_owned())
    };
    file.names().map(tensor).collect()
}

/// The message of a file that must be refused.
pub fn refusal(path: &Path) -> String {
    match StateDict::open(path) {
        Ok(file) => panic!("{} was read: {:?}", path.display(), file.names().collect::<Vec<_>>()),
        Err(error) => error.to_string(),
    }
}
