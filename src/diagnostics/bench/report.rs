//! The report of a benchmark: measurements, ratios to other systems, and their means.

use serde::Serialize;

use super::Measurement;
use crate::engine::cpu;
use crate::kernel::Schedule;
use crate::perf::calibration::Calibration;

/// All results of a run. Scripts read its JSON: fields may be added, not renamed.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The machine.
    pub machine: Machine,
    /// The command line.
    pub command: String,
    /// The time of the start: RFC 3339, UTC.
    pub started: String,
    /// The number of measurements that the command asks for.
    pub planned: usize,
    /// Whether each planned measurement has a row or a reason. A stopped run leaves `false`.
    pub complete: bool,
    /// The constants of each roofline.
    pub calibrations: Vec<Calibration>,
    /// The measurements.
    pub rows: Vec<Entry>,
    /// The shapes without a measurement.
    pub skipped: Vec<Skipped>,
    /// The means of the ratios to each system.
    pub means: Vec<Mean>,
    /// The measurements of other systems.
    pub peers: Vec<Measurement>,
}

/// The machine of a run.
#[derive(Debug, Serialize)]
pub struct Machine {
    /// The operating system.
    pub os: &'static str,
    /// The instruction set.
    pub arch: &'static str,
    /// The processor and its threads.
    pub processor: String,
    /// The version of this crate.
    pub version: &'static str,
}

/// A measurement and its ratios to other systems.
#[derive(Debug, Serialize)]
pub struct Entry {
    /// The measurement.
    #[serde(flatten)]
    pub measurement: Measurement,
    /// The ratios to the peers of this shape.
    pub ratios: Vec<Ratio>,
}

/// A shape without a measurement on one device.
#[derive(Debug, Serialize)]
pub struct Skipped {
    /// The device.
    pub device: String,
    /// The shape.
    pub name: String,
    /// The schedule of the options, as in a measurement.
    pub schedule_option: String,
    /// The reason.
    pub reason: String,
}

impl Skipped {
    /// A shape that one device does not run.
    pub fn new(device: &str, name: &str, schedule: Schedule, reason: String) -> Self {
        let (device, name) = (device.to_owned(), name.to_owned());
        Self { device, name, schedule_option: schedule.to_string(), reason }
    }
}

impl std::fmt::Display for Skipped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { device, name, schedule_option, reason } = self;
        match schedule_option.as_str() {
            "auto" => write!(f, "skipped  {name} on {device}: {reason}"),
            schedule => write!(f, "skipped  {name} on {device} by {schedule}: {reason}"),
        }
    }
}

/// The time of another system divided by ours, for one shape.
#[derive(Debug, Serialize)]
pub struct Ratio {
    /// The other system.
    pub system: String,
    /// Its device.
    pub device: String,
    /// The ratio.
    pub ratio: f64,
    /// The clock of both times: `gpu` if both systems have it, `wall` otherwise.
    pub by: &'static str,
}

/// The geometric mean of the ratios to one system, over the shapes that both systems ran.
#[derive(Debug, PartialEq, Serialize)]
pub struct Mean {
    /// Our device.
    pub device: String,
    /// Our backend.
    pub backend: String,
    /// The other system.
    pub system: String,
    /// The other system's device.
    pub on: String,
    /// The clock, as in [`Ratio`]. Each clock has a mean.
    pub by: &'static str,
    /// The mean.
    pub ratio: f64,
    /// The number of shapes.
    pub shapes: usize,
}

impl std::fmt::Display for Ratio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { system, device, ratio, by } = self;
        write!(f, "{system} on {device} takes {ratio:.2} × as long ({by})")
    }
}

impl std::fmt::Display for Mean {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { system, on, ratio, by, shapes, .. } = self;
        write!(f, "{system} on {on} takes {ratio:.2} × as long, geometric mean of {shapes} ({by})")
    }
}

impl Report {
    /// A report without rows. `command` and `started`, in RFC 3339, describe the run.
    pub fn new(
        (command, started): (String, String),
        calibrations: Vec<Calibration>,
        peers: Vec<Measurement>,
        planned: usize,
    ) -> Self {
        let machine = Machine {
            os: std::env::consts::OS,
            arch: std::env::consts::ARCH,
            processor: cpu::id().driver,
            version: env!("CARGO_PKG_VERSION"),
        };
        Self {
            machine,
            command,
            started,
            planned,
            complete: false,
            calibrations,
            rows: Vec::new(),
            skipped: Vec::new(),
            means: Vec::new(),
            peers,
        }
    }

    /// Adds a measurement. Returns its row.
    pub fn add(&mut self, measurement: Measurement) -> &Entry {
        let ratios = ratios(&measurement, &self.peers);
        self.rows.push(Entry { measurement, ratios });
        self.means = means(&self.rows);
        self.count();
        &self.rows[self.rows.len() - 1]
    }

    /// Adds a shape without a measurement.
    pub fn skip(&mut self, skipped: Skipped) {
        self.skipped.push(skipped);
        self.count();
    }

    fn count(&mut self) {
        self.complete = self.rows.len() + self.skipped.len() >= self.planned;
    }

    /// Whether the output of a shape disagrees with the reference.
    pub fn disagrees(&self) -> bool {
        self.rows.iter().any(|row| row.measurement.agrees == Some(false))
    }

    /// Whether the report has no measurement.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// The ratios of all peers with the shape and the weight type of `ours`.
fn ratios(ours: &Measurement, peers: &[Measurement]) -> Vec<Ratio> {
    let compare = |peer: &Measurement| {
        let (ratio, by_gpu) = ours.ratio(peer);
        let by = if by_gpu { "gpu" } else { "wall" };
        Ratio { system: peer.system.clone(), device: peer.device.clone(), ratio, by }
    };
    peers
        .iter()
        .filter(|peer| ours.same_shape(peer) && ours.dtype == peer.dtype)
        .map(compare)
        .collect()
}

/// A mean for each of our devices, each system on its device, and each clock.
fn means(rows: &[Entry]) -> Vec<Mean> {
    let mut means: Vec<Mean> = Vec::new();
    for Entry { measurement, ratios } in rows {
        for Ratio { system, device: on, ratio, by } in ratios {
            let Measurement { device, backend, .. } = measurement;
            let key = |mean: &Mean| {
                (&mean.device, &mean.backend, &mean.system, &mean.on, mean.by)
                    == (device, backend, system, on, *by)
            };
            let at = means.iter().position(key).unwrap_or_else(|| {
                let [device, backend, system, on] = [device, backend, system, on].map(Clone::clone);
                means.push(Mean { device, backend, system, on, by, ratio: 0.0, shapes: 0 });
                means.len() - 1
            });
            // A sum of logarithms until the end.
            means[at].ratio += ratio.ln();
            means[at].shapes += 1;
        }
    }
    means.iter_mut().for_each(|mean| mean.ratio = (mean.ratio / mean.shapes as f64).exp());
    means
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Entry, Mean, means, ratios};
    use crate::diagnostics::bench::Measurement;

    /// A measurement of an LSTM of `seq_len` steps with these times, in microseconds.
    pub fn measurement(
        system: &str,
        device: &str,
        seq_len: usize,
        wall_us: f64,
        gpu_us: Option<f64>,
    ) -> Measurement {
        let quantiles = |us: f64| json!({"median": us, "min": us, "p95": us});
        let fields = json!({
            "system": system, "device": device, "backend": "b", "driver": "", "kind": "lstm",
            "input_size": 1, "hidden_size": 2, "num_layers": 1, "bidirectional": false,
            "seq_len": seq_len, "batch": 1, "dtype": "f32",
            "wall_us": quantiles(wall_us), "gpu_us": gpu_us.map(quantiles), "us_per_step": 1.0,
        });
        serde_json::from_value(fields).expect("a measurement")
    }

    #[test]
    fn means_are_geometric_and_separate_for_each_device_system_and_clock() {
        let peers = [
            measurement("slow", "p", 1, 200.0, None),
            measurement("slow", "p", 2, 800.0, None),
            measurement("slow", "q", 1, 50.0, None),
            measurement("quick", "p", 2, 25.0, None),
            measurement("quick", "p", 3, 1.0, None),
            measurement("clocked", "p", 1, 1.0, Some(40.0)),
            measurement("clocked", "p", 2, 300.0, None),
        ];
        let ours = [
            measurement("wgpu-rnn", "d", 1, 100.0, Some(20.0)),
            measurement("wgpu-rnn", "d", 2, 100.0, Some(20.0)),
            measurement("wgpu-rnn", "e", 1, 400.0, None),
            measurement("wgpu-rnn", "d", 4, 100.0, None),
        ];
        let rows = ours.map(|ours| Entry { ratios: ratios(&ours, &peers), measurement: ours });
        let got = means(&rows);
        let want = [
            // The geometric mean of 2 and 8; the arithmetic one would be 5.
            ("d", "slow", "p", "wall", 4.0, 2),
            ("d", "slow", "q", "wall", 0.5, 1),
            ("d", "clocked", "p", "gpu", 2.0, 1),
            ("d", "quick", "p", "wall", 0.25, 1),
            ("d", "clocked", "p", "wall", 3.0, 1),
            ("e", "slow", "p", "wall", 0.5, 1),
            ("e", "slow", "q", "wall", 0.125, 1),
            ("e", "clocked", "p", "wall", 0.0025, 1),
        ];
        assert_eq!(got.len(), want.len(), "{got:#?}");
        for (got, (device, system, on, by, ratio, shapes)) in got.iter().zip(want) {
            let named = |text: &str| text.to_owned();
            let (device, backend, system, on) =
                (named(device), named("b"), named(system), named(on));
            // Logarithms round.
            assert!((got.ratio / ratio - 1.0).abs() < 1e-12, "{got:?}, expected {ratio}");
            let want = Mean { device, backend, system, on, by, ratio: got.ratio, shapes };
            assert_eq!(*got, want);
        }
    }

    #[test]
    fn without_peers_there_is_no_mean() {
        let ours = measurement("wgpu-rnn", "d", 1, 100.0, None);
        assert_eq!(means(&[Entry { ratios: ratios(&ours, &[]), measurement: ours }]), []);
        assert_eq!(means(&[]), []);
    }
}
