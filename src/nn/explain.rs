//! Explanations: how a module runs sizes on its device, why, and whether the CPU should be faster.

use std::fmt;

use crate::engine::device::Device;
use crate::engine::session::EngineRef;
use crate::error::Result;
use crate::kernel::Schedule;
use crate::nn::rnn::Rnn;
use crate::params::validate::Sizes;
use crate::perf::cost;
use crate::plan::{self, Decision, Request, WeightLayout};

/// The result of [`Rnn::explain`]. `Display` prints it in two to four lines.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Explanation {
    /// The schedule, the reason for it, and the predicted step times of known schedules.
    pub schedule: Decision,
    /// The number of dispatches of all passes.
    pub dispatches: u64,
    /// The number of passes: parts of the batch that run one after the other.
    pub passes: usize,
    /// The number of segments: ranges of time steps.
    pub segments: usize,
    /// Bytes on the device, weights included.
    pub bytes: u64,
    /// Predicted time from call to result on the module's device, in microseconds, without the
    /// copies of input and output. `None` where too little is known of the device.
    pub device_us: Option<f64>,
    /// Predicted time on this machine's CPU, in microseconds. `None` also when the module runs on
    /// the CPU.
    pub cpu_us: Option<f64>,
    /// Whether all rates were measured on these devices. Otherwise some are typical of the device
    /// type.
    pub measured: bool,
    /// The number of runs that were abandoned on the device; see [`Device::abandoned_runs`].
    pub abandoned_runs: u64,
}

impl Explanation {
    /// Returns whether the CPU should return the results earlier.
    pub fn cpu_is_faster(&self) -> bool {
        self.device_us.zip(self.cpu_us).is_some_and(|(device, cpu)| cpu < device)
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "schedule {}: {}", self.schedule.schedule, self.schedule.reason)?;
        write!(
            f,
            "{}, {} of time, {} of the batch, {:.1} MiB on the device",
            counted(self.dispatches, "dispatch", "dispatches"),
            counted(self.segments as u64, "segment", "segments"),
            counted(self.passes as u64, "pass", "passes"),
            self.bytes as f64 / f64::from(1 << 20)
        )?;
        let source = if self.measured {
            "as measured"
        } else {
            "by rates typical of such devices; `calibrate` measures them"
        };
        if self.abandoned_runs > 0 {
            write!(
                f,
                "\n{} abandoned on this device, because workgroups waited in vain; the schedule \
                 persistent no longer runs here",
                counted(self.abandoned_runs, "run was", "runs were"),
            )?;
        }
        match (self.device_us, self.cpu_us) {
            (Some(device), Some(cpu)) => {
                let verdict = if self.cpu_is_faster() {
                    "the CPU should be faster"
                } else {
                    "faster than the CPU"
                };
                write!(
                    f,
                    "\n{verdict}: about {device:.0} µs from call to result here, {cpu:.0} µs \
                     there ({source})"
                )
            }
            (Some(device), None) => {
                write!(f, "\nabout {device:.0} µs from call to result ({source})")
            }
            (None, _) => Ok(()),
        }
    }
}

fn counted(count: u64, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

impl Rnn {
    /// Explains how `batch` rows of `seq_len` steps would run, and predicts their time.
    ///
    /// ```
    /// # fn main() -> wgpu_rnn::Result<()> {
    /// use wgpu_rnn::{Config, Device, Params, Rnn};
    /// let lstm = Rnn::new(&Device::cpu(), &Params::init(&Config::lstm(3, 4), 0)?)?;
    /// println!("{}", lstm.explain(100, 1)?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The errors of [`Rnn::plan`].
    pub fn explain(&self, seq_len: usize, batch: usize) -> Result<Explanation> {
        self.explain_beside(&Device::cpu(), seq_len, batch)
    }

    /// [`explain`](Self::explain) in comparison with a CPU device whose rates may be measured.
    ///
    /// # Errors
    /// The errors of [`Rnn::plan`].
    pub fn explain_beside(
        &self,
        cpu: &Device,
        seq_len: usize,
        batch: usize,
    ) -> Result<Explanation> {
        let plan = self.plan(seq_len, batch)?;
        let passes = batch.div_ceil(plan.sizes.batch);
        let dispatches = plan.recording.dispatch_count().saturating_mul(passes as u64);
        // Beyond 32 bits a prediction has no meaning, and its products would overflow.
        let sizes = Sizes { seq_len, batch: batch.min(1 << 30) };
        let device_us = self.forecast(self.device(), &plan.schedule, sizes, dispatches)?;
        let on_cpu = matches!(self.device().engine(), EngineRef::Cpu(_));
        let cpu_us = if on_cpu {
            None
        } else {
            let (config, profile) = (self.config(), cpu.profile());
            let storage = cpu.storage(self.options().weights)?;
            let weights = &WeightLayout::stored(config, storage, profile.limits)?;
            let request = Request { config, weights, sizes, training: false };
            let there = plan::decide(Schedule::Auto, &request, &profile)?;
            self.forecast(cpu, &there, sizes, dispatches)?
        };
        let measured =
            self.device().calibration().measured && (on_cpu || cpu.calibration().measured);
        Ok(Explanation {
            dispatches,
            passes,
            segments: plan.segments.len(),
            bytes: plan.size(),
            schedule: plan.schedule,
            device_us,
            cpu_us,
            measured,
            abandoned_runs: self.device().abandoned_runs(),
        })
    }

    /// Predicts the time of a forward pass by a schedule on a device, in microseconds.
    fn forecast(
        &self,
        device: &Device,
        choice: &Decision,
        sizes: Sizes,
        dispatches: u64,
    ) -> Result<Option<f64>> {
        let Some(step) = choice.predictions.first() else { return Ok(None) };
        let stored = device.storage(self.options().weights)?.read_as();
        Ok(cost::forward(device.calibration(), self.config(), sizes, stored, step, dispatches))
    }
}

#[cfg(test)]
mod tests {
    use super::Explanation;
    use crate::kernel::Schedule;
    use crate::plan::Decision;

    fn explanation(device_us: Option<f64>, cpu_us: Option<f64>, measured: bool) -> Explanation {
        Explanation {
            schedule: Decision {
                reason: "it was there".to_owned(),
                ..Decision::asked(Schedule::StepTiled)
            },
            dispatches: 1,
            passes: 2,
            segments: 1,
            bytes: 3 << 19,
            device_us,
            cpu_us,
            measured,
            abandoned_runs: 0,
        }
    }

    #[test]
    fn it_says_who_should_be_faster_where_that_is_known() {
        let text = explanation(Some(20.0), Some(10.0), true).to_string();
        assert_eq!(
            text,
            "schedule step_tiled: it was there\n1 dispatch, 1 segment of time, 2 passes of the \
             batch, 1.5 MiB on the device\nthe CPU should be faster: about 20 µs from call to \
             result here, 10 µs there (as measured)"
        );
        let text = explanation(Some(20.0), Some(20.0), false).to_string();
        assert!(text.contains("faster than the CPU: ") && text.contains("typical"), "{text}");
        let text = explanation(Some(20.0), None, true).to_string();
        assert!(text.contains("about 20 µs") && !text.contains("CPU"), "{text}");
        assert_eq!(explanation(None, Some(1.0), true).to_string().lines().count(), 2);
        for (runs, want) in [(1, "\n1 run was abandoned"), (2, "\n2 runs were abandoned")] {
            let explanation = Explanation { abandoned_runs: runs, ..explanation(None, None, true) };
            assert!(explanation.to_string().contains(want), "{explanation}");
        }
    }
}
