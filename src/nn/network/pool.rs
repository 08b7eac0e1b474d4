//! Pools of networks: many sequences at the same time.

use super::{Module, Network};
use crate::error::{Error, Result};
use crate::nn::pool::{Interface, Pool, PoolOptions};
use crate::params::network::StepShape;
use crate::params::validate::Sizes;
use crate::plan::{
    NetworkSizes, PoolPlan, StateRow, largest_tick, network_schedules, plan_network, plan_ticks,
};

impl Network {
    /// Creates a pool of slots, all closed, for sequences that this network runs. A slot holds the
    /// states of all modules. The pool keeps the network's weights alive.
    ///
    /// An input step has the values of [`input`](Self::input), row-major. If convolutions have
    /// strides, a frame has a multiple of the input steps that make a step of the output.
    ///
    /// # Errors
    /// [`Error::Option`] that names a module whose results depend on later steps, for a pool
    /// without slots, and for steps that are no multiple of the strides; [`Error::Unsupported`] for
    /// networks of tokens, for decoders with attention, and for an output of `[C, L]`;
    /// [`Error::Shape`] for a pool without rows or steps; [`Error::Limit`] with the limit that the
    /// pool would exceed; the errors of the device.
    pub fn pool(&self, options: &PoolOptions) -> Result<Pool> {
        let Module { graph, device, runner, .. } = &*self.0;
        let unsupported = |what: &str| Err(Error::Unsupported(format!("a pool of {what}")));
        let StepShape::Features(output_size) = self.output() else {
            return unsupported("a network whose output is [C, L]; end it with flatten()");
        };
        if self.input() == StepShape::Token {
            return unsupported("a network of tokens; use streams");
        }
        if graph.memory().is_some() {
            return unsupported("a network that attends a memory; use decoder()");
        }
        let stride = graph.stride()?;
        let PoolOptions { slots, steps, rows } = *options;
        if !steps.is_multiple_of(stride) || (steps > 1 && graph.is_stepwise()) {
            let wanted = if graph.is_stepwise() { 1 } else { stride };
            return Err(Error::Option(format!(
                "a pool of this network: Expected ticks of {} {wanted} steps, got {steps}",
                if graph.is_stepwise() { "exactly" } else { "a multiple of" }
            )));
        }
        let (plan, state) = self.plan_pool(slots, Sizes { seq_len: steps, batch: rows })?;
        let input_size = self.input().count();
        let interface = Interface { input_size, output_size, stride, state, module: None };
        Pool::of_plan(device, runner.weights(), plan, interface, options)
    }

    /// Plans the ticks of a pool. Returns the rows of a slot's state as well.
    fn plan_pool(&self, slots: usize, sizes: Sizes) -> Result<(PoolPlan, Vec<StateRow>)> {
        let Module { graph, device, options, layout, .. } = &*self.0;
        let (profile, sizes) = (device.profile(), largest_tick(slots, sizes)?);
        // All tick sizes share one decision, so a row's bits do not depend on its tick.
        let schedules = network_schedules(graph, layout, sizes, &profile, options.schedule)?;
        let plan = |batch| {
            let sizes = NetworkSizes::from(Sizes { batch, ..sizes });
            plan_network(graph, layout, sizes, &profile, &schedules)
        };
        let state = plan(sizes.batch.min(1))?.states.iter().map(|part| part.row).collect();
        let plan_rows = |batch| plan(batch).map(crate::plan::NetworkPlan::into_tick);
        Ok((plan_ticks(slots, sizes, device.limits(), plan_rows)?, state))
    }
}
