//! Pools of recurrent modules.

use super::{Interface, Pool, PoolOptions};
use crate::error::{Error, Result};
use crate::nn::rnn::Rnn;
use crate::params::config::{Config, Kind};
use crate::params::validate::Sizes;
use crate::plan::{PoolPlan, StateRow, plan_pool};

impl Rnn {
    /// Creates a pool of slots, all closed, for sequences that this module runs. The pool keeps the
    /// module's weights alive.
    ///
    /// # Errors
    /// [`Error::Option`] for a bidirectional module, whose reverse direction begins with the last
    /// step, and for a pool without slots; [`Error::Unsupported`] for a module that was loaded with
    /// the schedule `wavefront` or `persistent`; [`Error::Shape`] for a pool without rows or steps;
    /// [`Error::Limit`] with the limit that the pool would exceed; the errors of the device.
    pub fn pool(&self, options: &PoolOptions) -> Result<Pool> {
        let (plan, weights) = (self.plan_pool(options)?, self.runner().weights());
        Pool::of_plan(self.device(), weights, plan, interface(self.config()), options)
    }

    /// Plans a pool. The plan shows how ticks run and how much memory the pool takes, before it
    /// exists.
    ///
    /// # Errors
    /// The errors of [`pool`](Self::pool), except those of the device.
    #[doc(hidden)]
    pub fn plan_pool(&self, options: &PoolOptions) -> Result<PoolPlan> {
        let config = self.config();
        if let Some(backwards) = config.backwards() {
            return Err(Error::Option(format!(
                "a {backwards} {} has no pool: its reverse direction begins with the last step \
                 of the sequence; use forward() on whole sequences",
                config.kind.module()
            )));
        }
        let PoolOptions { slots, steps, rows } = *options;
        let request = self.request(Sizes { seq_len: steps, batch: rows }, false);
        plan_pool(&request, slots, &self.device().profile(), self.schedule())
    }
}

/// Returns the sizes of a module. Its state is h and, in an LSTM, c of each layer.
fn interface(config: &Config) -> Interface {
    let c = (config.kind == Kind::Lstm).then(|| StateRow::c(config));
    let layer: Vec<_> = std::iter::once(StateRow::h(config)).chain(c).collect();
    Interface {
        input_size: config.input_size,
        output_size: config.state_size(),
        stride: 1,
        state: layer.repeat(config.num_layers),
        module: Some(config.clone()),
    }
}
