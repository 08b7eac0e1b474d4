//! 03-pickles: files of `torch.save`.

use std::path::Path;

use wgpu_rnn::StateDict;

use crate::Report;

/// Fails unless both files hold the same tensors, bit for bit.
pub fn assert_same_tensors(path: &Path, twin: &Path) {
    let open = |path: &Path| StateDict::open(path).unwrap_or_else(|error| panic!("{error}"));
    let (file, twin) = (open(path), open(twin));
    let names = |file: &StateDict| file.names().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(names(&file), names(&twin), "{}: names", path.display());
    for name in twin.names() {
        let bits = |file: &StateDict| {
            let tensor = file.tensor(name).unwrap_or_else(|error| panic!("{error}"));
            let bits: Vec<u32> = tensor.data().iter().map(|value| value.to_bits()).collect();
            (tensor.shape().to_vec(), bits)
        };
        assert_eq!(bits(&file), bits(&twin), "{}: {name}", path.display());
        let dtype = |file: &StateDict| file.get(name).map(|entry| entry.dtype());
        assert_eq!(dtype(&file), dtype(&twin), "{}: {name}", path.display());
    }
}

/// The message of a file that must be refused.
pub fn refusal(path: &Path) -> String {
    match StateDict::open(path) {
        Ok(file) => panic!("{} was read: {:?}", path.display(), file.names().collect::<Vec<_>>()),
        Err(error) => error.to_string(),
    }
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
