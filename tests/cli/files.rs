//! Files for the program to read.

use std::path::PathBuf;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use tempfile::TempDir;
use wgpu_rnn::internals::params::expected_parameters;
use wgpu_rnn::{Config, Params, Rnn, State, StateDict, Tensor};

use crate::seeded;

/// A case file of this repository.
pub fn fixture(name: &str) -> String {
    text(fixtures().join("pytorch").join(name))
}

/// A language model of this repository.
pub fn language_model(name: &str) -> String {
    text(fixtures().join("language_model").join(name))
}

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn text(path: PathBuf) -> String {
    path.into_os_string().into_string().expect("a path in UTF-8")
}

/// A tensor of a file: name, type, shape, bytes.
pub type Entry = (String, Dtype, Vec<usize>, Vec<u8>);

/// An F32 tensor.
pub fn f32s(name: &str, tensor: &Tensor) -> Entry {
    let bytes = tensor.data().iter().flat_map(|value| value.to_le_bytes()).collect();
    (name.to_owned(), Dtype::F32, tensor.shape().to_vec(), bytes)
}

/// The state dict of a network with random weights.
pub fn weights(config: &Config, prefix: &str) -> Vec<Entry> {
    let named = expected_parameters(config).into_iter().enumerate();
    named
        .map(|(i, (name, shape))| {
            f32s(&format!("{prefix}{name}"), &seeded::tensor(i as u64, &shape, 0.5))
        })
        .collect()
}

/// A folder that is removed at the end.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    /// The path of a file in it.
    pub fn path(&self, name: &str) -> String {
        text(self.0.path().join(name))
    }

    /// Writes bytes and returns their path.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap_or_else(|error| panic!("{path}: {error}"));
        path
    }

    /// Writes tensors and returns their path.
    pub fn save(&self, name: &str, entries: &[Entry]) -> String {
        let views = entries.iter().map(|(name, dtype, shape, bytes)| {
            (name, TensorView::new(*dtype, shape.clone(), bytes).expect("bytes fill the shape"))
        });
        let file = safetensors::serialize(views.collect::<Vec<_>>(), None)
            .expect("tensors of valid sizes");
        self.write(name, file)
    }

    /// Writes a copy of a fixture in which value `offset` of `tensor` is another.
    pub fn altered(&self, fixture_name: &str, tensor: &str, offset: usize, value: f32) -> String {
        let original = std::fs::read(fixture(fixture_name)).expect("the fixture is there");
        let (_, header) = SafeTensors::read_metadata(&original).expect("a valid fixture");
        let file = SafeTensors::deserialize(&original).expect("a valid fixture");
        let entries: Vec<Entry> = file
            .iter()
            .map(|(name, view)| {
                let mut bytes = view.data().to_vec();
                if name == tensor {
                    bytes[4 * offset..4 * offset + 4].copy_from_slice(&value.to_le_bytes());
                }
                (name.to_owned(), view.dtype(), view.shape().to_vec(), bytes)
            })
            .collect();
        let views = entries.iter().map(|(name, dtype, shape, bytes)| {
            (name, TensorView::new(*dtype, shape.clone(), bytes).expect("bytes fill the shape"))
        });
        let file = safetensors::serialize(views.collect::<Vec<_>>(), header.metadata().clone());
        self.write("altered.safetensors", file.expect("tensors of valid sizes"))
    }

    /// The names of the files in it, sorted.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).expect("the folder can be read");
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name();
        let mut names: Vec<String> =
            entries.map(|e| name(e).into_string().expect("a name in UTF-8")).collect();
        names.sort();
        names
    }
}

/// What the library makes of the same files.
pub fn forward(
    weights: &str,
    prefix: &str,
    change: impl FnOnce(Config) -> Config,
    input: &str,
) -> (Tensor, State) {
    let weights = StateDict::open(weights).expect("the weights can be read");
    let params =
        Params::from_state_dict(&weights, prefix).and_then(|p| p.with(change)).expect("a network");
    let file = StateDict::open(input).expect("the input can be read");
    let h = file.get("h0").map(|_| file.input("h0").expect("h0 is F32"));
    let c = file.get("c0").map(|_| file.input("c0").expect("c0 is F32"));
    let rnn = Rnn::new(&wgpu_rnn::Device::cpu(), &params).expect("the network fits");
    rnn.forward(&file.input("input").expect("input is F32"), h.map(|h| State { h, c }).as_ref())
        .expect("it runs")
}

/// What the program wrote; fails when there is anything besides `output`, `hn` and `cn`.
pub fn written(path: &str) -> (Tensor, State) {
    let file = StateDict::open(path).expect("the output can be read");
    let names: Vec<&str> = file.names().collect();
    let lstm = file.get("cn").is_some();
    assert_eq!(
        names,
        if lstm { vec!["cn", "hn", "output"] } else { vec!["hn", "output"] },
        "the tensors written"
    );
    let get = |name| file.input(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    (get("output"), State { h: get("hn"), c: lstm.then(|| get("cn")) })
}
