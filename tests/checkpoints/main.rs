//! Files of weights as users have them: files of PyTorch 1.13 and 2.9, shards, and other types.
//!
//! `tests/fixtures/checkpoints.py` wrote the fixtures.

mod checkpoints;
#[path = "../common/opening.rs"]
mod opening;
mod other_types;
#[path = "../common/pickles.rs"]
mod pickles;
mod shards;

use std::path::{Path, PathBuf};

use opening::{open, refusal, tensors};

/// The folders of the versions of PyTorch that wrote the fixtures.
const VERSIONS: [&str; 2] = ["1.13", "2.9"];

/// The path of a fixture, such as `1.13/tied.pt`.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints").join(name)
}

/// Fails unless the file is refused with this text.
fn assert_refused(path: &Path, part: &str) {
    let message = refusal(path);
    assert!(message.contains(part), "'{part}' is not in: {message}");
}
