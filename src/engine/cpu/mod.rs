//! The CPU engine: executes a recording through each kernel's twin.

mod dropout;
mod embed;
mod generate;
mod linear;
mod log;
mod matmul;
mod network;
mod nll;
mod pack;
mod persistent;
mod probe;
mod processor;
mod recurrence;
mod sample;
mod scratch;
mod sequence;
mod slots;
mod softmax;
mod step;
mod threads;
mod twins;
mod variant;
mod written;

pub use processor::id;
pub use twins::twin;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use smallvec::SmallVec;

pub(crate) use matmul::{Matrix, multiply_transposed};
pub use threads::{ONE_THREAD, Threads};

use crate::error::Result;
use crate::kernel::Access;
use crate::kernel::uniforms::Step;
use crate::plan::recording::{Axis, BufferId, BufferSpec, Command, Dispatch, Recording};
use crate::tensor::{room, zeroed};

pub use wgpu_rnn_simd::Panels;

/// A list of slices of a buffer. Up to eight need no allocation, so a step of few rows makes none.
type Slices<T> = SmallVec<[T; 8]>;

/// The most storage bindings of a kernel: the number that WebGPU guarantees on every device.
const MAX_BINDINGS: usize = 8;

/// A storage binding of a twin.
#[derive(Debug)]
pub enum TwinBuffer<'a> {
    /// Read only.
    Read(&'a [f32]),
    /// A weight matrix, read only.
    Matrix(&'a Panels),
    /// Read and written.
    ReadWrite(&'a mut [f32]),
}

/// The CPU function of a kernel. It takes the dispatch, the step, and the storage bindings in the
/// order of the kernel's table row.
pub type Twin = fn(&Dispatch, Step, &mut [TwinBuffer<'_>]);

/// A weight buffer in host memory.
#[derive(Debug, Clone)]
pub enum Weight {
    /// A bias, in the plan's layout.
    Values(Vec<f32>),
    /// A weight with features, packed for products.
    Matrix(Panels),
}

impl Weight {
    /// Makes the weight buffer of `spec` from `values`.
    pub fn new(spec: &BufferSpec, values: Vec<f32>) -> Self {
        let (directions, rows, features) = match &spec.axes[..] {
            [(Axis::Direction | Axis::Layer, directions), rows @ .., (Axis::Feature, features)] => {
                (*directions, rows, *features)
            }
            [rows @ .., (Axis::Feature, features)] => (1, rows, *features),
            _ => return Self::Values(values),
        };
        let rows = rows.iter().map(|&(_, extent)| extent).product();
        Self::Matrix(Panels::new(&values, directions, rows, features))
    }
}

/// The CPU engine of a recording, with its buffers in host memory.
///
/// The engines of a model share its weights; all other buffers belong to one engine.
#[derive(Debug, Clone)]
pub struct Engine {
    recording: Arc<Recording>,
    weights: Arc<Vec<Weight>>,
    /// Indexed by [`BufferId`]; empty for weights and for parts of other buffers.
    buffers: Vec<Vec<f32>>,
    /// The most values that a twin allocates.
    scratch: usize,
    threads: Threads,
}

impl Engine {
    /// Makes buffers of zeros for `recording`, whose first buffers are `weights`.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory) when the host's memory does not hold them;
    /// the errors of [`Threads::start`].
    pub fn new(recording: Arc<Recording>, weights: Arc<Vec<Weight>>) -> Result<Self> {
        Threads::start()?;
        let own = |(index, spec): (usize, &BufferSpec)| {
            let elsewhere =
                index < weights.len() || recording.whole(BufferId(index)).0 != BufferId(index);
            let what = format_args!("the buffer '{}'", spec.label);
            if elsewhere { Ok(Vec::new()) } else { zeroed(spec.len(), what) }
        };
        let buffers =
            recording.buffers.iter().enumerate().map(own).collect::<Result<Vec<Vec<f32>>>>()?;
        let dispatches = recording.commands.iter().flat_map(|command| command.dispatches(0));
        let scratch = dispatches.map(|dispatch| scratch::of(dispatch, &recording)).max();
        let scratch = scratch.unwrap_or(0);
        Ok(Self { recording, weights, buffers, scratch, threads: Threads::default() })
    }

    /// Runs on `threads`, not on all cores.
    #[must_use]
    pub fn on(self, threads: Threads) -> Self {
        Self { threads, ..self }
    }

    /// The values of a buffer.
    pub fn buffer(&self, id: BufferId) -> Cow<'_, [f32]> {
        match self.read(id) {
            TwinBuffer::Read(values) => values.into(),
            TwinBuffer::ReadWrite(values) => (&*values).into(),
            TwinBuffer::Matrix(panels) => panels.unpack().into(),
        }
    }

    fn read(&self, id: BufferId) -> TwinBuffer<'_> {
        match self.recording.whole(id) {
            (whole, _) if whole == id => self.bound(id),
            (whole, start) => {
                TwinBuffer::Read(&self.buffers[whole.0][start..][..self.recording.spec(id).len()])
            }
        }
    }

    /// A buffer as kernels bind it: not a part of another.
    fn bound(&self, id: BufferId) -> TwinBuffer<'_> {
        match self.weights.get(id.0) {
            Some(Weight::Values(values)) => TwinBuffer::Read(values),
            Some(Weight::Matrix(panels)) => TwinBuffer::Matrix(panels),
            None => TwinBuffer::Read(&self.buffers[id.0]),
        }
    }

    /// The values of a buffer that is not a weight.
    ///
    /// # Panics
    /// When the buffer is a weight: engines share weights.
    pub fn buffer_mut(&mut self, id: BufferId) -> &mut [f32] {
        let ((whole, start), len) = (self.recording.whole(id), self.recording.spec(id).len());
        &mut self.own(whole)[start..][..len]
    }

    /// The recording that the engine executes.
    pub fn recording(&self) -> &Recording {
        &self.recording
    }

    /// Copies the values of `from` to `to`.
    ///
    /// # Panics
    /// When `to` is a weight or the two differ in length.
    pub fn copy(&mut self, from: BufferId, to: BufferId) {
        if from == to {
            return;
        }
        let ((whole, start), len) = (self.recording.whole(to), self.recording.spec(to).len());
        let (source, first) = self.recording.whole(from);
        if source == whole {
            self.own(whole).copy_within(first..first + len, start);
            return;
        }
        // Take the target out of the list, so that the copy can borrow the source.
        let mut target = std::mem::take(self.own(whole));
        target[start..start + len].copy_from_slice(&self.buffer(from));
        *self.own(whole) = target;
    }

    fn own(&mut self, id: BufferId) -> &mut Vec<f32> {
        assert!(id.0 >= self.weights.len(), "weights are shared between engines");
        &mut self.buffers[id.0]
    }

    /// Executes the whole recording.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory) when the host's memory does not hold the
    /// twins' temporary values.
    pub fn run(&mut self) -> Result<()> {
        self.run_commands(0..self.recording.commands.len())
    }

    /// Executes a range of the recording's commands.
    ///
    /// # Errors
    /// The errors of [`run`](Self::run).
    ///
    /// # Panics
    /// When the recording has fewer commands.
    pub fn run_commands(&mut self, commands: Range<usize>) -> Result<()> {
        room(self.scratch, "temporary values of a run")?;
        let mut dispatches = self.recording.commands[commands.clone()]
            .iter()
            .flat_map(|command| command.dispatches(0));
        if dispatches.any(|dispatch| threads::threads_for(dispatch.multiply_adds(), 2) > 1) {
            self.threads.clone().run(|| self.run_here(commands));
        } else {
            self.run_here(commands);
        }
        Ok(())
    }

    fn run_here(&mut self, commands: Range<usize>) {
        let recording = Arc::clone(&self.recording);
        for command in &recording.commands[commands] {
            if let &Command::Clear { buffer, start, len } = command {
                self.clear(buffer, start, len);
            }
            for index in 0..command.count() {
                for dispatch in command.dispatches(index) {
                    self.dispatch(dispatch, index);
                }
            }
        }
    }

    /// Sets `len` values of a buffer from `start` on to 0.
    ///
    /// # Panics
    /// When the buffer is a weight or has fewer values.
    pub fn clear(&mut self, id: BufferId, start: usize, len: usize) {
        self.buffer_mut(id)[start..start + len].fill(0.0);
    }

    /// Executes one dispatch at a step index.
    pub fn dispatch(&mut self, dispatch: &Dispatch, index: u32) {
        // Take written buffers out of the list, so that the call can borrow the others.
        let mut written = [const { None }; MAX_BINDINGS];
        for ((id, binding), place) in
            dispatch.bindings.iter().zip(dispatch.kernel.bindings()).zip(&mut written)
        {
            if binding.access == Access::ReadWrite {
                *place = Some(std::mem::take(&mut self.buffers[id.0]));
            }
        }
        {
            let mut bindings = [const { TwinBuffer::Read(&[]) }; MAX_BINDINGS];
            for ((id, buffer), binding) in
                dispatch.bindings.iter().zip(&mut written).zip(&mut bindings)
            {
                *binding = match buffer {
                    Some(buffer) => TwinBuffer::ReadWrite(buffer),
                    None => self.bound(*id),
                };
            }
            twin(dispatch.kernel)(
                dispatch,
                Step { index: dispatch.index(index), pad: [0; 3] },
                &mut bindings[..dispatch.bindings.len()],
            );
        }
        for (id, buffer) in dispatch.bindings.iter().zip(written) {
            if let Some(buffer) = buffer {
                self.buffers[id.0] = buffer;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::MAX_BINDINGS;
    use crate::kernel::Kernel;

    #[test]
    fn no_kernel_has_more_bindings_than_a_dispatch_has_places() {
        for kernel in Kernel::all() {
            let count = kernel.bindings().count();
            assert!(count <= MAX_BINDINGS, "{} has {count}", kernel.name());
        }
    }
}
