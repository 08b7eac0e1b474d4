//! Forward passes recorded into the caller's command encoders.

mod bindings;
mod network;
mod tensors;

use std::sync::Arc;

use bindings::Bindings;
pub use bindings::PassBindings;
pub use network::NetworkRecorder;
pub use tensors::TensorBinding;

use crate::engine::gpu::{self, Around, BoundDispatch};
use crate::engine::session::Weights;
use crate::error::{Error, Result};
use crate::nn::rnn::Rnn;
use crate::params::config::{Config, Kind};
use crate::params::validate::Sizes;
use crate::plan::{self, Plan};

/// A forward pass of given sizes, ready for recording into command encoders of the caller.
///
/// It has its own plan and buffers, and shares the module's weights. [`bind`](Self::bind) adds the
/// caller's buffers and returns a [`Pass`], which can be recorded any number of times. A recorded
/// pass submits nothing, waits for nothing, and copies nothing through the host.
///
/// ```no_run
/// # use wgpu_rnn::wgpu::{Buffer, Device, Queue};
/// # fn frame(rnn: &wgpu_rnn::Rnn, samples: &Buffer, gains: &Buffer, h: &Buffer, device: &Device,
/// #     queue: &Queue) -> wgpu_rnn::Result<()> {
/// use wgpu_rnn::pass::PassBindings;
/// let recorder = rnn.recorder(4, 1)?; // 4 steps of 1 row
/// // The state stays in `h`.
/// let pass = recorder.bind(&PassBindings::new(samples).output(gains).h_0(h).h_n(h))?;
/// let mut encoder = device.create_command_encoder(&Default::default());
/// // Record passes that fill `samples`.
/// pass.record(&mut encoder)?;
/// // Record passes that use `gains`.
/// queue.submit([encoder.finish()]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Recorder {
    config: Config,
    plan: Plan,
    gpu: Arc<gpu::Gpu>,
    engine: Arc<gpu::Engine>,
    /// `[B]`: T for every row, the lengths of a pass without lengths.
    whole_rows: wgpu::Buffer,
}

/// A [`Recorder`] with buffers of the caller, which it keeps alive.
///
/// A pass reads all of the caller's tensors before it writes any. It never reads values that an
/// earlier pass left in the recorder's buffers. Passes of one recorder can therefore follow each
/// other in any order.
#[derive(Debug)]
#[must_use = "a pass does nothing until it is recorded"]
pub struct Pass {
    label: &'static str,
    engine: Arc<gpu::Engine>,
    gathers: Vec<BoundDispatch>,
    scatters: Vec<BoundDispatch>,
    allowed: u64,
}

impl Rnn {
    /// Prepares a forward pass of `seq_len` steps and `batch` rows for recording into command
    /// encoders.
    ///
    /// The encoders must come from the module's device ([`Device::wgpu`](crate::Device::wgpu)). The
    /// pass has no dropout.
    ///
    /// # Errors
    /// [`Error::Unsupported`] on the CPU, for a module of the schedule `wavefront` or `persistent`,
    /// and for one that reads sequences only from their end ([`Config::reverse`]);
    /// [`Error::Limit`] when the rows do not run all at once (an [`Rnn::forward`] would take
    /// several passes); [`Error::Shape`] when there is nothing to run; the errors of the device.
    pub fn recorder(&self, seq_len: usize, batch: usize) -> Result<Recorder> {
        let Weights::Gpu(gpu, weights) = self.runner().weights() else {
            return Err(Error::Unsupported(
                "recording on the cpu, which has no command encoders; use forward(), or a device \
                 of wgpu"
                    .to_owned(),
            ));
        };
        if self.config().reverse {
            return Err(Error::Unsupported(
                "recording of a module with reverse=True: only a bidirectional module's reverse \
                 direction is recorded; use forward()"
                    .to_owned(),
            ));
        }
        let request = self.request(Sizes { seq_len, batch }, false);
        let (profile, schedule) = (self.device().profile(), self.schedule());
        let plan = plan::plan_layered(&request, &profile, schedule, "a recorded pass")?;
        let engine = gpu::Engine::new(Arc::clone(gpu), Arc::new(plan.recording.clone()), weights)?;
        let whole_rows =
            gpu.filled("whole rows", wgpu::BufferUsages::STORAGE, &vec![seq_len as u32; batch])?;
        Ok(Recorder {
            config: self.config().clone(),
            plan,
            gpu: Arc::clone(gpu),
            engine: Arc::new(engine),
            whole_rows,
        })
    }
}

impl Recorder {
    /// Returns the shape of `input`: `[T, B, I]`, or `[B, T, I]` with `batch_first`.
    pub fn input_shape(&self) -> [usize; 3] {
        self.sequence_shape(self.config.input_size)
    }

    /// Returns the shape of `output`: `[T, B, D·R]`, or `[B, T, D·R]` with `batch_first`.
    pub fn output_shape(&self) -> [usize; 3] {
        self.sequence_shape(self.config.output_size())
    }

    /// Returns the shape of `h_0` and `h_n`: `[L·D, B, R]`.
    pub fn h_shape(&self) -> [usize; 3] {
        [
            self.config.num_layers * self.config.num_directions(),
            self.plan.sizes.batch,
            self.config.state_size(),
        ]
    }

    /// Returns the shape of an LSTM's `c_0` and `c_n`: `[L·D, B, H]`. `None` for other modules.
    pub fn c_shape(&self) -> Option<[usize; 3]> {
        let [layers, batch, _] = self.h_shape();
        (self.config.kind == Kind::Lstm).then_some([layers, batch, self.config.hidden_size])
    }

    fn sequence_shape(&self, features: usize) -> [usize; 3] {
        let Sizes { seq_len, batch } = self.plan.sizes;
        if self.config.batch_first {
            [batch, seq_len, features]
        } else {
            [seq_len, batch, features]
        }
    }

    /// Returns the plan that runs between the transfers from and to the caller's buffers.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Binds buffers of the caller, after every check that is possible before submission.
    ///
    /// Two faults remain for wgpu to report when the encoder is finished or submitted: an encoder
    /// of another device, and a buffer that is destroyed or mapped later.
    ///
    /// # Errors
    /// Each names the tensor, the expected and the found value. [`Error::Shape`] for a buffer that
    /// is too small, for strides that do not fit, and for a state that the module lacks.
    /// [`Error::Option`] for a buffer of another device or without the usage `STORAGE`, for an
    /// offset that is not a multiple of 4, and for written tensors that overlap. [`Error::Limit`]
    /// for a tensor that the device cannot bind; the errors of the device.
    pub fn bind(&self, bindings: &PassBindings<'_>) -> Result<Pass> {
        self.gpu.ask()?;
        let bindings = Bindings::check(self, bindings)?;
        let limits = self.gpu.limits();
        let transfers = plan::transfers(&self.plan, &self.config, &bindings.tensors, limits)?;
        Ok(Pass {
            label: self.config.kind.module(),
            engine: Arc::clone(&self.engine),
            gathers: self.engine.bind(&transfers.gathers, &bindings.buffers)?,
            scatters: self.engine.bind(&transfers.scatters, &bindings.buffers)?,
            allowed: limits.max_work_per_submission,
        })
    }
}

impl Pass {
    /// Records the whole pass as one compute pass. Its dispatches see all work that was recorded
    /// earlier.
    ///
    /// # Errors
    /// [`Error::Limit`] when the pass has several [`parts`](Self::parts).
    pub fn record(&self, encoder: &mut wgpu::CommandEncoder) -> Result<()> {
        let parts = self.parts();
        if parts > 1 {
            return Err(Error::Limit {
                limit: "max_work_per_submission",
                what: format!("a pass of {parts} parts in one submission"),
                needed: self.engine.work(),
                allowed: self.allowed,
                advice: "submit the parts of record_part() one by one, or record shorter sequences",
            });
        }
        self.record_part(encoder, 0)
    }

    /// Returns the number of submissions of the pass. Most passes have one part. More parts keep
    /// each submission within a watchdog's time
    /// ([`max_work_per_submission`](crate::plan::limits::Limits::max_work_per_submission)).
    pub fn parts(&self) -> usize {
        self.engine.parts()
    }

    /// Records one part. Submit the parts of a pass one after the other, with no other pass of this
    /// recorder between them.
    ///
    /// # Errors
    /// [`Error::Option`] when there is no such part.
    pub fn record_part(&self, encoder: &mut wgpu::CommandEncoder, part: usize) -> Result<()> {
        let parts = self.parts();
        if part >= parts {
            return Err(Error::Option(format!(
                "there is no part {part}: the pass has {parts}, counted from 0"
            )));
        }
        let around = Around {
            label: Some(self.label),
            before: if part == 0 { &self.gathers } else { &[] },
            after: if part + 1 == parts { &self.scatters } else { &[] },
            ..Around::default()
        };
        self.engine.encode(encoder, part, &around);
        Ok(())
    }
}
