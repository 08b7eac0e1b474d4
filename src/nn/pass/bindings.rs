//! The tensors that a pass reads and writes, and their checks.

use super::Recorder;
use super::tensors::{Allowed, Expected, Placed, TensorBinding, place};
use crate::engine::gpu::Gpu;
use crate::error::{Error, Result};
use crate::params::validate::{self, Sizes};
use crate::plan::recording::BufferId;
use crate::plan::{Strided, Tensors};

/// The tensors that a [`Pass`](super::Pass) reads and writes, in buffers of the caller. Shapes are
/// those of [`Rnn::forward`](crate::Rnn::forward), always with three axes.
///
/// One buffer may hold several tensors. Written tensors must not overlap each other. They may
/// overlap tensors that the pass reads, because it reads all of them first. With `h_0` and `h_n` in
/// one place, each pass continues from the previous one.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct PassBindings<'a> {
    pub(super) input: TensorBinding<'a>,
    lengths: Option<TensorBinding<'a>>,
    h_0: Option<TensorBinding<'a>>,
    c_0: Option<TensorBinding<'a>>,
    pub(super) output: Option<TensorBinding<'a>>,
    h_n: Option<TensorBinding<'a>>,
    c_n: Option<TensorBinding<'a>>,
    pub(super) state: Option<TensorBinding<'a>>,
}

impl<'a> PassBindings<'a> {
    /// Reads `input`: `[T, B, I]`, or `[B, T, I]` with `batch_first`.
    pub fn new(input: impl Into<TensorBinding<'a>>) -> Self {
        let input = input.into();
        Self {
            input,
            lengths: None,
            h_0: None,
            c_0: None,
            output: None,
            h_n: None,
            c_n: None,
            state: None,
        }
    }

    /// Reads the valid steps of each row, `[B]`, as `u32`, with the meaning of
    /// [`Rnn::forward_lengths`](crate::Rnn::forward_lengths). A length beyond T counts as T.
    /// Without lengths, all steps are valid.
    pub fn lengths(mut self, lengths: impl Into<TensorBinding<'a>>) -> Self {
        self.lengths = Some(lengths.into());
        self
    }

    /// Reads the initial hidden state, `[L·D, B, R]`. Without it, the state is zero.
    pub fn h_0(mut self, h_0: impl Into<TensorBinding<'a>>) -> Self {
        self.h_0 = Some(h_0.into());
        self
    }

    /// Reads the initial cell state of an LSTM, `[L·D, B, H]`. Without it, the state is zero.
    pub fn c_0(mut self, c_0: impl Into<TensorBinding<'a>>) -> Self {
        self.c_0 = Some(c_0.into());
        self
    }

    /// Writes `output`: `[T, B, D·R]`, or `[B, T, D·R]` with `batch_first`.
    pub fn output(mut self, output: impl Into<TensorBinding<'a>>) -> Self {
        self.output = Some(output.into());
        self
    }

    /// Writes the hidden state after the last step, `[L·D, B, R]`.
    pub fn h_n(mut self, h_n: impl Into<TensorBinding<'a>>) -> Self {
        self.h_n = Some(h_n.into());
        self
    }

    /// Reads the state of all modules of a network, `[1, B, W]`, and writes the next one to the
    /// same place; see [`NetworkRecorder`](super::NetworkRecorder). Without it, the state is zero.
    pub fn state(mut self, state: impl Into<TensorBinding<'a>>) -> Self {
        self.state = Some(state.into());
        self
    }

    /// Refuses tensors that a network lacks.
    pub(super) fn check_network(&self) -> Result<()> {
        let others = [
            ("lengths", self.lengths),
            ("h_0", self.h_0),
            ("c_0", self.c_0),
            ("h_n", self.h_n),
            ("c_n", self.c_n),
        ];
        match others.into_iter().find(|(_, tensor)| tensor.is_some()) {
            None => Ok(()),
            Some((name, _)) => Err(Error::Option(format!(
                "{name}: a network has one state of all modules; bind state"
            ))),
        }
    }

    /// Writes an LSTM's cell state after the last step, `[L·D, B, H]`.
    pub fn c_n(mut self, c_n: impl Into<TensorBinding<'a>>) -> Self {
        self.c_n = Some(c_n.into());
        self
    }
}

/// The result of the checks of [`PassBindings`].
pub(super) struct Bindings<'a> {
    /// The places of the values in `buffers`.
    pub tensors: Tensors,
    /// The buffers that follow those of the plan, in the order of their numbers.
    pub buffers: Vec<wgpu::BufferBinding<'a>>,
}

impl<'a> Bindings<'a> {
    /// Checks every tensor that `recorder` is to read or write.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Option`] and [`Error::Limit`], under the conditions of
    /// [`Recorder::bind`].
    pub fn check(recorder: &'a Recorder, given: &PassBindings<'a>) -> Result<Self> {
        let Recorder { config, plan, gpu, .. } = recorder;
        let h = recorder.h_shape();
        let c = [h[0], h[1], config.hidden_size];
        // PyTorch's rule: an LSTM takes both or none, and no other module has a cell state.
        match (given.h_0, given.c_0) {
            (None, None) => {}
            (None, Some(_)) => return Err(Error::Option("c_0 is given without h_0".to_owned())),
            (Some(_), c_0) => {
                let state = (h.as_slice(), c_0.map(|_| c.as_slice()));
                validate::forward(config, &recorder.input_shape(), Some(state))?;
            }
        }
        if given.c_n.is_some() && recorder.c_shape().is_none() {
            let module = config.kind.module();
            return Err(Error::Option(format!("c_n: a {module} has no cell state; only LSTM has")));
        }
        if given.output.or(given.h_n).or(given.c_n).is_none() {
            return Err(Error::Option("nothing is written: give output, h_n or c_n".to_owned()));
        }
        if given.state.is_some() {
            let module = config.kind.module();
            return Err(Error::Option(format!(
                "state: a {module} has h and c; only a network has one state of all modules"
            )));
        }
        let Sizes { batch, .. } = plan.sizes;
        let mut checker = Checker::new(gpu, plan.recording.buffers.len());
        let by_step = |tensor: Strided| match config.batch_first {
            true => {
                Strided { step_stride: tensor.row_stride, row_stride: tensor.step_stride, ..tensor }
            }
            false => tensor,
        };
        let lengths = given.lengths.unwrap_or(TensorBinding::from(&recorder.whole_rows));
        let tensors = Tensors {
            input: checker.read("input", recorder.input_shape(), given.input).map(by_step)?,
            lengths: checker.read("lengths", [1, 1, batch], lengths)?,
            h_0: given.h_0.map(|tensor| checker.read("h_0", h, tensor)).transpose()?,
            c_0: given.c_0.map(|tensor| checker.read("c_0", c, tensor)).transpose()?,
            output: given
                .output
                .map(|tensor| checker.write("output", recorder.output_shape(), tensor).map(by_step))
                .transpose()?,
            h_n: given.h_n.map(|tensor| checker.write("h_n", h, tensor)).transpose()?,
            c_n: given.c_n.map(|tensor| checker.write("c_n", c, tensor)).transpose()?,
        };
        Ok(Self { tensors, buffers: checker.buffers })
    }
}

/// Checks tensors one by one and gives their buffers numbers.
pub(super) struct Checker<'a> {
    allowed: Allowed,
    /// The number of the first buffer of the caller.
    first: usize,
    pub(super) buffers: Vec<wgpu::BufferBinding<'a>>,
    written: Vec<Placed<'a>>,
}

impl<'a> Checker<'a> {
    /// Starts with the limits of a device, and the number of the first buffer of the caller.
    pub(super) fn new(gpu: &Gpu, first: usize) -> Self {
        let alignment = gpu.device().limits().min_storage_buffer_offset_alignment.max(4);
        let allowed = Allowed {
            size: gpu.limits().max_storage_buffer_binding_size,
            alignment: alignment.into(),
        };
        Self { allowed, first, buffers: Vec::new(), written: Vec::new() }
    }

    pub(super) fn read(
        &mut self,
        name: &'static str,
        shape: [usize; 3],
        tensor: TensorBinding<'a>,
    ) -> Result<Strided> {
        let placed = place(tensor, Expected { name, shape, written: false }, self.allowed)?;
        Ok(self.number(placed))
    }

    pub(super) fn write(
        &mut self,
        name: &'static str,
        shape: [usize; 3],
        tensor: TensorBinding<'a>,
    ) -> Result<Strided> {
        let placed = place(tensor, Expected { name, shape, written: true }, self.allowed)?;
        if let Some(other) = self.written.iter().find(|other| other.overlaps(&placed)) {
            return Err(Error::Option(format!(
                "{name}: expected bytes that no other tensor is written to, but {:?} overlap {:?} \
                 of {}",
                placed.bytes, other.bytes, other.name
            )));
        }
        self.written.push(placed.clone());
        Ok(self.number(placed))
    }

    fn number(&mut self, placed: Placed<'a>) -> Strided {
        let buffer = BufferId(self.first + self.buffers.len());
        self.buffers.push(placed.binding);
        let [step_stride, row_stride] = placed.strides;
        Strided { buffer, offset: placed.first, step_stride, row_stride }
    }
}
