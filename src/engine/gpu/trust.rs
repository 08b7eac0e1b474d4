//! Trust in a device: whether its workgroups may wait for each other.

use std::sync::Mutex;

use crate::engine::wait::lock;
use crate::plan::Exchange;

/// The way in which a device exchanges states, and the number of runs that were abandoned on it.
#[derive(Debug)]
pub(crate) struct Trust(Mutex<State>);

#[derive(Debug)]
struct State {
    exchange: Exchange,
    abandoned: u64,
}

impl Trust {
    /// The trust in a device before a probe. A software adapter needs none: it runs one step a
    /// dispatch.
    pub fn new(software: bool) -> Self {
        let exchange = match software {
            true => Exchange::OneStep,
            false => Exchange::Refused("this device has not been probed yet"),
        };
        Self(Mutex::new(State { exchange, abandoned: 0 }))
    }

    /// Returns the way in which the device exchanges states.
    pub fn exchange(&self) -> Exchange {
        lock(&self.0).exchange
    }

    /// Sets the way in which the device exchanges states, after a probe.
    pub fn set_exchange(&self, exchange: Exchange) {
        lock(&self.0).exchange = exchange;
    }

    /// Returns the number of abandoned runs: those in which a workgroup waited in vain.
    pub fn abandoned_runs(&self) -> u64 {
        lock(&self.0).abandoned
    }

    /// Records an abandoned run. From now on the device `title` exchanges no states.
    pub fn abandon(&self, title: &str) {
        {
            let mut state = lock(&self.0);
            state.exchange =
                Exchange::Refused("this device abandoned a run in which one waited in vain");
            state.abandoned += 1;
        }
        log::warn!(
            "{title}: a run of the schedule persistent was abandoned, because a workgroup waited \
             in vain for another; it and all later runs take another schedule"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::{Exchange, Trust};

    #[test]
    fn an_abandoned_run_ends_the_trust() {
        assert!(matches!(Trust::new(false).exchange(), Exchange::Refused(_)), "before a probe");
        let trust = Trust::new(true);
        assert_eq!(trust.exchange(), Exchange::OneStep);
        assert_eq!(trust.abandoned_runs(), 0);
        for runs in 1..3 {
            trust.abandon("a device");
            assert!(
                matches!(trust.exchange(), Exchange::Refused(why) if why.contains("abandoned"))
            );
            assert_eq!(trust.abandoned_runs(), runs);
        }
    }
}
