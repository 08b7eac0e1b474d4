//! A plan with an engine: what one forward pass of given sizes needs, ready to be run again and again.

use std::sync::Arc;

use crate::cpu;
use crate::device::{Device, Engine};
use crate::error::Result;
use crate::gpu;
use crate::recording::{BufferId, BufferSpec, Recording};

/// The packed weights of a model where its device can read them.
#[derive(Debug, Clone)]
pub enum Weights {
    /// In host memory.
    Cpu(Arc<Vec<Vec<f32>>>),
    /// In buffers of the device.
    Gpu(Arc<gpu::Gpu>, Arc<Vec<wgpu::Buffer>>),
}

impl Weights {
    /// Fills the weight buffers of a model where its device can read them; `pack` gives the values of each.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory) and the other errors of the device.
    pub fn load(device: &Device, buffers: &[BufferSpec], pack: impl Fn(usize) -> Vec<f32>) -> Result<Self> {
        Ok(match device.engine() {
            Engine::Cpu => Self::Cpu(Arc::new((0..buffers.len()).map(pack).collect())),
            Engine::Gpu(gpu) => Self::Gpu(Arc::clone(gpu), Arc::new(gpu::upload_weights(gpu, buffers, pack)?)),
        })
    }
}

/// A recording on an engine.
#[derive(Debug)]
pub enum Session {
    /// On the twins.
    Cpu(cpu::Engine),
    /// On the kernels.
    Gpu(gpu::Engine),
}

impl Session {
    /// Makes the buffers of `recording` where `weights` are.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory) and the other errors of the device.
    pub fn new(recording: Arc<Recording>, weights: &Weights) -> Result<Self> {
        Ok(match weights {
            Weights::Cpu(weights) => Self::Cpu(cpu::Engine::new(recording, Arc::clone(weights))),
            Weights::Gpu(gpu, buffers) => Self::Gpu(gpu::Engine::new(Arc::clone(gpu), recording, buffers)?),
        })
    }

    /// Writes a buffer before a run.
    ///
    /// # Errors
    /// The errors of the device.
    ///
    /// # Panics
    /// When `values` is longer than the buffer.
    pub fn write(&mut self, id: BufferId, values: &[f32]) -> Result<()> {
        match self {
            Self::Cpu(engine) => {
                engine.buffer_mut(id)[..values.len()].copy_from_slice(values);
                Ok(())
            }
            Self::Gpu(engine) => engine.write(id, values),
        }
    }

    /// Runs the recording and reads `results`.
    ///
    /// # Errors
    /// The errors of the device.
    pub fn run(&mut self, results: &[BufferId]) -> Result<Vec<Vec<f32>>> {
        match self {
            Self::Cpu(engine) => {
                engine.run();
                Ok(results.iter().map(|id| engine.buffer(*id).to_vec()).collect())
            }
            Self::Gpu(engine) => engine.run(results),
        }
    }
}
