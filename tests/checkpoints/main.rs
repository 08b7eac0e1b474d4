//! Files of weights as users have them: files of PyTorch 1.13 and 2.9, shards, and other types.
//!
//! `tests/fixtures/checkpoints.py` wrote the fixtures.

mod checkpoints;
mod other_types;
#[path = "../common/pickles.rs"]
mod pickles;
mod shards;

use std::path::{Path, PathBuf};

use wgpu_rnn::StateDict;

/// The folders of the versions of PyTorch that wrote the fixtures.
const VERSIONS: [&str; 2] = ["1.13", "2.9"];

/// The path of a fixture, such as `1.13/tied.pt`.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints").join(name)
}

fn open(path: &Path) -> StateDict {
    StateDict::open(path).unwrap_or_else(|error| panic!("{error}"))
}

/// The tensors of a file: name, type, shape, and the bytes in row-major order.
fn tensors(file: &StateDict) -> Vec<(String, String, Vec<usize>, Vec<u8>)> {
    let tensor = |name: &str| {
        let entry = file.get(name).expect("it was listed");
        let bytes = file.bytes(name).unwrap_or_else(|error| panic!("{error}"));
        (name.to_owned(), entry.dtype().to_string(), entry.shape().to_vec(), bytes.into_owned())
    };
    file.names().map(tensor).collect()
}

/// The message of a file that must be refused.
fn refusal(path: &Path) -> String {
    match StateDict::open(path) {
        Ok(file) => panic!("{} was read: {:?}", path.display(), file.names().collect::<Vec<_>>()),
        Err(error) => error.to_string(),
    }
}

/// Fails unless the file is refused with this text.
fn assert_refused(path: &Path, part: &str) {
    let message = refusal(path);
    assert!(message.contains(part), "'{part}' is not in: {message}");
}
