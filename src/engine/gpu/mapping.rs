//! Mapping of buffers for the host to read, and the wait for it.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use super::context::Gpu;
use super::faults::USE;
use super::progress::Progress;
use super::role::Role;
use crate::engine::wait::Waiting;
use crate::error::Result;
use crate::tensor::copied;

/// Slices of buffers that are being mapped. Dropping this unmaps the buffers.
#[derive(Debug)]
pub(super) struct Mapping<'a> {
    gpu: &'a Gpu,
    buffers: Vec<wgpu::BufferSlice<'a>>,
    progress: Arc<Progress>,
}

impl<'a> Mapping<'a> {
    /// Requests the mapping, which takes effect after all submitted work.
    pub fn start(gpu: &'a Gpu, buffers: Vec<wgpu::BufferSlice<'a>>) -> Result<Self> {
        let progress = Arc::new(Progress::of(buffers.len()));
        let mapping = Self { gpu, buffers, progress };
        gpu.scoped_for(USE, "reading back", || {
            for buffer in &mapping.buffers {
                let answer = gpu.answer(&mapping.progress);
                buffer.map_async(wgpu::MapMode::Read, move |result| answer.give(result.is_ok()));
            }
        })?;
        Ok(mapping)
    }

    /// Waits for the buffers and returns copies of their values.
    pub async fn values(self, waiting: Waiting) -> Result<Vec<Vec<f32>>> {
        let mut values = Vec::with_capacity(self.buffers.len());
        self.each(waiting, |_, of_one| values.push(copied(of_one, "values to read"))).await?;
        values.into_iter().collect()
    }

    /// Waits for the buffers and calls `take` with the index and the values of each, in order.
    pub async fn each(self, waiting: Waiting, mut take: impl FnMut(usize, &[f32])) -> Result<()> {
        let mapped = match waiting {
            Waiting::Block => self.block()?,
            Waiting::Await => self.wakened().await?,
        };
        self.gpu.check()?;
        if !mapped {
            self.gpu.settle().await;
            return Err(self.gpu.explain("a read-back failed".to_owned()));
        }
        for (index, buffer) in self.buffers.iter().enumerate() {
            let view =
                buffer.get_mapped_range().map_err(|error| self.gpu.explain(error.to_string()))?;
            match bytemuck::try_cast_slice(&view) {
                Ok(values) => take(index, values),
                // Browsers return a copy of any alignment.
                Err(_) => take(index, &bytemuck::pod_collect_to_vec::<u8, f32>(&view)),
            }
        }
        Ok(())
    }

    fn block(&self) -> Result<bool> {
        loop {
            self.gpu.poll(wgpu::PollType::wait_indefinitely())?;
            // Another polling thread may have taken the callbacks and not called them yet.
            if let Poll::Ready(mapped) = self.progress.wait() {
                return Ok(mapped);
            }
            self.gpu.ask()?;
        }
    }

    async fn wakened(&self) -> Result<bool> {
        let mut watched = false;
        poll_fn(|context| {
            if Role::current() == Role::Waker {
                // The thread that would poll is this one.
                return Poll::Ready(self.block());
            }
            if self.progress.poll(context).is_pending() {
                // For executors that poll unasked, and for devices that nothing polls.
                if let Err(error) = self.gpu.poll(wgpu::PollType::Poll) {
                    return Poll::Ready(Err(error));
                }
                if !watched {
                    watched = true;
                    self.gpu.watch(&self.progress);
                }
            }
            self.progress.poll(context).map(Ok)
        })
        .await
    }
}

impl Drop for Mapping<'_> {
    fn drop(&mut self) {
        self.progress.forget();
        let unmap = || self.buffers.iter().for_each(|buffer| buffer.buffer().unmap());
        // A browser takes any buffer.
        if cfg!(target_arch = "wasm32") {
            return unmap();
        }
        // Unmapping a buffer that is not mapped is a validation error; the scope discards it.
        let scope = self.gpu.device().push_error_scope(wgpu::ErrorFilter::Validation);
        Role::Crate.during(unmap);
        drop(scope.pop());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Weak};
    use std::task::{Context, Poll, Waker};

    use super::{Mapping, Progress};
    use crate::engine::gpu::context::Gpu;
    use crate::engine::gpu::imaginary;
    use crate::engine::gpu::poller::Answer;
    use crate::engine::gpu::polling::Polling;
    use crate::engine::options::OpenOptions;
    use crate::engine::wait::Waiting;
    use crate::error::{Error, Result};

    /// Starts a read-back, lets `fault` happen, and waits for the values.
    fn read(waiting: Waiting, polling: Polling, fault: impl Fn(&Gpu, &wgpu::Buffer)) -> Result<()> {
        let gpu = imaginary::open(&OpenOptions::default().polling(polling));
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let buffer = gpu.buffer("read-back", 4, usage)?;
        let mapping = Mapping::start(&gpu, vec![buffer.slice(..)])?;
        fault(&gpu, &buffer);
        pollster::block_on(mapping.values(waiting)).map(drop)
    }

    #[test]
    fn a_read_back_that_fails_is_an_error_and_no_hang() {
        for polling in [Polling::Thread, Polling::Program] {
            for waiting in [Waiting::Block, Waiting::Await] {
                read(waiting, polling, |_, _| {}).expect("no fault");
                let error = read(waiting, polling, |_, buffer| buffer.unmap());
                let error = error.expect_err("the buffer was unmapped").to_string();
                assert!(error.contains("a read-back failed"), "{waiting:?}: {error}");
                let error = read(waiting, polling, |gpu, _| gpu.device().destroy());
                let error = error.expect_err("the device was destroyed");
                assert!(matches!(error, Error::DeviceLost { .. }), "{waiting:?}: {error}");
            }
        }
    }

    #[test]
    fn a_read_back_that_never_comes_is_a_failure() {
        let progress = Arc::new(Progress::of(2));
        let context = &Context::from_waker(Waker::noop());
        Answer::new(&progress, Weak::new()).give(true);
        assert_eq!(progress.poll(context), Poll::Pending, "one of two");
        drop(Answer::new(&progress, Weak::new()));
        assert_eq!(progress.poll(context), Poll::Ready(false), "wgpu dropped a callback");
    }
}
