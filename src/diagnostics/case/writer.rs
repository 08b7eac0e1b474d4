//! Writing case files.

use std::collections::HashMap;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::diagnostics::compare::Tolerance;
use crate::error::{Error, Result, printable_path};
use crate::fs;
use crate::params::config::{Config, Kind};
use crate::params::{Params, expected_parameters, validate};
use crate::reference;
use crate::tensor::{State, Tensor, room};

/// Writes a case file (`rnncase/1`): a network, its input and the results to expect.
///
/// [`verify`](crate::diagnostics::verify) runs the file on any device, and so does the command
/// `wgpu-rnn verify`. Without expected results the file has those of the definition, computed in
/// f64 and rounded to f32.
///
/// ```
/// # fn main() -> wgpu_rnn::Result<()> {
/// use wgpu_rnn::diagnostics::CaseWriter;
/// use wgpu_rnn::diagnostics::verify::{self, Status};
/// use wgpu_rnn::{Config, Device, Params, Tensor};
///
/// let params = Params::init(&Config::gru(3, 4), 0)?;
/// let input = Tensor::new([5, 1, 3], (0..15).map(|i| i as f32 / 15.0).collect())?; // [T, B, I]
/// # let folder = tempfile::tempdir().expect("a temporary folder");
/// # let path = folder.path().join("gru.safetensors");
/// # let path = path.as_path();
/// CaseWriter::new(&params, &input).write(path)?;
/// assert_eq!(verify::run(&Device::cpu(), path).status, Status::Pass);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "write() writes the file"]
pub struct CaseWriter<'a> {
    params: &'a Params,
    input: &'a Tensor,
    lengths: Option<&'a [usize]>,
    state: Option<&'a State>,
    expected: Option<(&'a Tensor, &'a State)>,
    tolerance: Tolerance,
}

impl<'a> CaseWriter<'a> {
    /// Begins a case of a module and its input: `[T, B, I]`, `[B, T, I]` with `batch_first`, or
    /// `[T, I]`.
    pub fn new(params: &'a Params, input: &'a Tensor) -> Self {
        let (lengths, state, expected) = (None, None, None);
        Self { params, input, lengths, state, expected, tolerance: Tolerance::F32 }
    }

    /// Sets the valid steps of each row, `[B]`. Without them all steps are valid.
    pub fn lengths(mut self, lengths: &'a [usize]) -> Self {
        self.lengths = Some(lengths);
        self
    }

    /// Sets the initial state, which is zero otherwise.
    pub fn state(mut self, state: &'a State) -> Self {
        self.state = Some(state);
        self
    }

    /// Sets the results to expect, such as those of PyTorch: the output, and the last state.
    pub fn expected(mut self, output: &'a Tensor, state: &'a State) -> Self {
        self.expected = Some((output, state));
        self
    }

    /// Sets the tolerance, which is [`Tolerance::F32`] otherwise.
    pub fn tolerance(mut self, tolerance: Tolerance) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Writes the file, whole or not at all. The case has the name of the file, without its
    /// extension.
    ///
    /// # Errors
    /// [`Error::Shape`] and [`Error::Option`] in PyTorch's words when the input, the lengths or the
    /// state do not fit the module, and [`Error::Shape`] when the expected results do not.
    /// [`Error::Unsupported`] for a cell that PyTorch lacks. [`Error::OutOfMemory`] when the host's
    /// memory does not hold the file, and [`Error::Io`] when it cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let config = self.params.config();
        if config.is_variant() {
            return Err(Error::Unsupported(
                "a case file of a cell that PyTorch lacks; compare it with assert_matches"
                    .to_owned(),
            ));
        }
        let (output, last) = self.results()?;
        let tensors =
            [("input", Some(self.input)), ("output", Some(&output)), ("hn", Some(&last.h))];
        let tensors = tensors.into_iter().chain([
            ("cn", last.c.as_ref()),
            ("h0", self.state.map(|state| &state.h)),
            ("c0", self.state.and_then(|state| state.c.as_ref())),
        ]);
        let mut stored: Vec<Stored> = Vec::new();
        for (name, tensor) in tensors {
            if let Some(tensor) = tensor {
                stored.push(Stored::f32(name, tensor.shape(), tensor.data(), path)?);
            }
        }
        for ((name, shape), values) in expected_parameters(config).iter().zip(self.params.values())
        {
            stored.push(Stored::f32(name, shape, values, path)?);
        }
        if let Some(lengths) = self.lengths {
            let bytes = lengths.iter().flat_map(|&length| (length as i64).to_le_bytes()).collect();
            let shape = vec![lengths.len()];
            stored.push(Stored { name: "lengths".to_owned(), dtype: Dtype::I64, shape, bytes });
        }
        let invalid = |error: safetensors::SafeTensorError| Error::File {
            path: path.to_owned(),
            message: error.to_string(),
        };
        let views: Result<Vec<(&str, TensorView<'_>)>, _> =
            stored.iter().map(Stored::view).collect();
        // The bytes of the tensors, and those of the file.
        let bytes = stored.iter().map(|tensor| tensor.bytes.len()).sum::<usize>();
        room(bytes / 4, printable_path(path))?;
        let id = path.file_stem().unwrap_or_default().to_string_lossy();
        let metadata = self.metadata(&id).into_iter().collect();
        let file = views.and_then(|views| safetensors::serialize(views, Some(metadata)));
        fs::write(path, &file.map_err(invalid)?)
    }

    /// Returns the results to expect, after the checks.
    fn results(&self) -> Result<(Tensor, State)> {
        let config = self.params.config();
        let state = self.state.map(|state| (state.h.shape(), state.c.as_ref().map(Tensor::shape)));
        let checked = validate::forward(config, self.input.shape(), state)?;
        if let Some(lengths) = self.lengths {
            validate::lengths(lengths, checked)?;
        }
        let mut shape = self.input.shape().to_vec();
        shape.pop();
        let rows = (shape.len() == 2).then_some(checked.sizes.batch);
        shape.push(config.output_size());
        let layers = config.num_layers * config.num_directions();
        let state = |features| [Some(layers), rows, Some(features)].into_iter().flatten().collect();
        let [h, c]: [Vec<usize>; 2] = [state(config.state_size()), state(config.hidden_size)];
        let is_lstm = config.kind == Kind::Lstm;
        let Some((output, last)) = self.expected else {
            let outputs = reference::module(self.params, self.input, self.lengths, self.state)?;
            let tensor = |shape, values: Vec<f64>| {
                Tensor::new(shape, values.into_iter().map(|value| value as f32).collect())
            };
            let c = is_lstm.then(|| tensor(c, outputs.c_n)).transpose()?;
            return Ok((tensor(shape, outputs.output)?, State { h: tensor(h, outputs.h_n)?, c }));
        };
        let found = [Some(output), Some(&last.h), last.c.as_ref()].map(|t| t.map(Tensor::shape));
        let want = [Some(&shape[..]), Some(&h[..]), is_lstm.then_some(&c[..])];
        if found != want {
            return Err(Error::Shape(format!(
                "the expected output, h and c of the case have the shapes {found:?}; those of \
                 {config} are {want:?}"
            )));
        }
        Ok((output.clone(), last.clone()))
    }

    fn metadata(&self, id: &str) -> HashMap<String, String> {
        let config = self.params.config();
        let (unbatched, c) = (self.input.shape().len() == 2, config.kind == Kind::Lstm);
        let features = [
            (config.bias, "bias"),
            (!config.bias, "nobias"),
            (self.state.is_some(), "h0"),
            (self.state.is_some() && c, "c0"),
            (config.bidirectional, "bidir"),
            (config.num_layers > 1, "multilayer"),
            (unbatched, "unbatched"),
            (config.batch_first, "batch_first"),
            (self.lengths.is_some(), "lengths"),
            (config.proj_size > 0, "proj"),
            (config.reverse, "reverse_only"),
        ];
        let kind = config.kind.to_string();
        let features = features.into_iter().filter(|(has, _)| *has).map(|(_, name)| name);
        let features: Vec<&str> = std::iter::once(kind.as_str()).chain(features).collect();
        let Config { input_size, hidden_size, proj_size, num_layers, .. } = config;
        let Tolerance { atol, rtol } = self.tolerance;
        let entries = [
            ("format", "rnncase/1".to_owned()),
            ("id", id.to_owned()),
            ("features", features.join(",")),
            ("kind", kind.clone()),
            ("input_size", input_size.to_string()),
            ("hidden_size", hidden_size.to_string()),
            ("proj_size", proj_size.to_string()),
            ("num_layers", num_layers.to_string()),
            ("bidirectional", config.bidirectional.to_string()),
            ("batch_first", config.batch_first.to_string()),
            ("reverse", config.reverse.to_string()),
            ("unbatched", unbatched.to_string()),
            ("expected", if c { "output,hn,cn" } else { "output,hn" }.to_owned()),
            ("atol", atol.to_string()),
            ("rtol", rtol.to_string()),
        ];
        entries.map(|(key, value)| (key.to_owned(), value)).into()
    }
}

/// A tensor as a file has it.
struct Stored {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Stored {
    fn f32(name: &str, shape: &[usize], values: &[f32], path: &Path) -> Result<Self> {
        room(values.len(), printable_path(path))?;
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Ok(Self { name: name.to_owned(), dtype: Dtype::F32, shape: shape.to_vec(), bytes })
    }

    fn view(&self) -> Result<(&str, TensorView<'_>), safetensors::SafeTensorError> {
        let view = TensorView::new(self.dtype, self.shape.clone(), &self.bytes)?;
        Ok((self.name.as_str(), view))
    }
}
