//! 03-pickles: files of `torch.save`.

use std::path::Path;

use crate::Report;
pub use crate::opening::refusal;
use crate::opening::{open, tensors};

/// Fails unless both files hold the same tensors, bit for bit.
pub fn assert_same_tensors(path: &Path, twin: &Path) {
    assert_eq!(tensors(&open(path)), tensors(&open(twin)), "{}", path.display());
}

pub fn a_pickle_holds_the_tensors_of_its_twin() {
    let report = Report::of("03-pickles");
    for twin in ["state_dict.safetensors", "bf16.safetensors"] {
        let files = report.texts(&format!("same_tensors_as_{twin}"));
        assert!(!files.is_empty(), "{twin} has twins");
        for file in files {
            // A remark may follow the name.
            let name = file.split(' ').next().unwrap_or_default();
            assert_same_tensors(&report.path(name), &report.path(twin));
        }
    }
}

pub fn what_is_no_state_dict_is_named() {
    let report = Report::of("03-pickles");
    for (file, parts) in [
        ("whole_module.pt", ["torch.nn.modules.", "torch.save(model.state_dict(), "]),
        ("legacy.pt", ["legacy format", "torch.save(torch.load("]),
    ] {
        assert!(report.expected["error"][file].is_string(), "the report names {file}");
        let message = refusal(&report.path(file));
        for part in parts {
            assert!(message.contains(part), "'{part}' is not in: {message}");
        }
    }
}
