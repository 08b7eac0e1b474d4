//! The report of `wgpu-rnn bench`: measurements, ratios to other systems, and their means.
//!
//! [`Report`] is the JSON. [`Table`] writes it as text, [`page`] as HTML with plots.

mod page;
mod peers;
mod plots;
mod scaling;
mod svg;
mod text;
mod verdict;

use std::ffi::OsString;
use std::time::SystemTime;

use serde::Serialize;
use wgpu_rnn::Schedule;
use wgpu_rnn::internals::diagnostics::bench::Measurement;
use wgpu_rnn::internals::engine::cpu;
use wgpu_rnn::internals::perf::calibration::Calibration;

pub use page::page;
pub use peers::read_peers;
pub use text::Table;

/// All results of a run. Scripts read its JSON: fields may be added, not renamed.
#[derive(Serialize)]
pub struct Report {
    machine: Machine,
    /// The command line.
    command: String,
    /// The time of the start: RFC 3339, UTC.
    started: String,
    /// The number of measurements that the command asks for.
    planned: usize,
    /// Whether each planned measurement has a row or a reason. A stopped run leaves `false`.
    complete: bool,
    /// The constants of each roofline.
    calibrations: Vec<Calibration>,
    rows: Vec<Entry>,
    skipped: Vec<Skipped>,
    means: Vec<Mean>,
    /// The measurements of other systems.
    peers: Vec<Measurement>,
}

#[derive(Serialize)]
struct Machine {
    os: &'static str,
    arch: &'static str,
    processor: String,
    version: &'static str,
}

/// A measurement and its ratios to other systems.
#[derive(Serialize)]
pub struct Entry {
    #[serde(flatten)]
    measurement: Measurement,
    ratios: Vec<Ratio>,
}

/// A shape without a measurement on one device.
#[derive(Serialize)]
pub struct Skipped {
    pub device: String,
    pub name: String,
    /// The schedule of the options, as in a measurement.
    pub schedule_option: String,
    pub reason: String,
}

impl Skipped {
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
#[derive(Serialize)]
struct Ratio {
    system: String,
    device: String,
    ratio: f64,
    /// The clock of both times: `gpu` if both systems have it, `wall` otherwise.
    by: &'static str,
}

/// The geometric mean of the ratios to one system, over the shapes that both systems ran.
#[derive(Debug, PartialEq, Serialize)]
struct Mean {
    /// Our device.
    device: String,
    /// Our backend.
    backend: String,
    system: String,
    /// The other system's device.
    on: String,
    /// The clock, as in [`Ratio`]. Each clock has a mean.
    by: &'static str,
    ratio: f64,
    /// The number of shapes.
    shapes: usize,
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
    /// A report without rows, at the start of the command.
    pub fn new(calibrations: Vec<Calibration>, peers: Vec<Measurement>, planned: usize) -> Self {
        let machine = Machine {
            os: std::env::consts::OS,
            arch: std::env::consts::ARCH,
            processor: cpu::id().driver,
            version: env!("CARGO_PKG_VERSION"),
        };
        Self {
            machine,
            command: command_line(std::env::args_os()),
            started: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
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

    /// The entries and means of each device, in the order of measurement.
    fn groups(&self) -> Vec<Group<'_>> {
        let mut groups: Vec<Group<'_>> = Vec::new();
        for row in &self.rows {
            let title = device_title(&row.measurement);
            match groups.iter_mut().find(|group| group.title == title) {
                Some(group) => group.rows.push(row),
                None => {
                    let of_device = |mean: &&Mean| {
                        mean.device == row.measurement.device
                            && mean.backend == row.measurement.backend
                    };
                    let means = self.means.iter().filter(of_device).collect();
                    groups.push(Group { title, rows: vec![row], means });
                }
            }
        }
        groups
    }
}

/// The part of a report about one device.
struct Group<'a> {
    title: String,
    rows: Vec<&'a Entry>,
    means: Vec<&'a Mean>,
}

impl Group<'_> {
    /// The device's name with its backend.
    fn label(&self) -> String {
        self.rows.first().map(|row| device_label(&row.measurement)).unwrap_or_default()
    }

    /// The device's name, without backend and driver.
    fn name(&self) -> &str {
        self.rows.first().map_or("", |row| &row.measurement.device)
    }

    /// The device as an argument of `--device`, in quotes if a shell needs them.
    fn selector(&self) -> String {
        quoted(self.name())
    }
}

/// The device of a measurement with its backend.
fn device_label(m: &Measurement) -> String {
    if m.backend == "cpu" { m.device.clone() } else { format!("{} ({})", m.device, m.backend) }
}

/// The device of a measurement with its backend and driver.
fn device_title(m: &Measurement) -> String {
    match (m.backend.as_str(), m.driver.as_str()) {
        ("cpu", _) => m.device.clone(),
        (backend, "") => format!("{} ({backend})", m.device),
        (backend, driver) => format!("{} ({backend}, {driver})", m.device),
    }
}

/// Returns a command line that a shell understands.
fn command_line(args: impl Iterator<Item = OsString>) -> String {
    args.map(|arg| quoted(&arg.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

/// Quotes an argument if a shell needs it.
fn quoted(arg: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+".contains(c);
    if !arg.is_empty() && arg.chars().all(plain) {
        return arg.to_owned();
    }
    format!("'{}'", arg.replace('\'', r"'\''"))
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
    use wgpu_rnn::internals::diagnostics::bench::Measurement;

    use super::{Entry, Mean, command_line, means, ratios};

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
    fn a_command_line_can_be_typed_again() {
        let args = ["wgpu-rnn", "--device", "llvmpipe (LLVM)", "", "it's", "--seconds=0.3"];
        let want = r"wgpu-rnn --device 'llvmpipe (LLVM)' '' 'it'\''s' --seconds=0.3";
        assert_eq!(command_line(args.into_iter().map(Into::into)), want);
    }

    #[test]
    fn without_peers_there_is_no_mean() {
        let ours = measurement("wgpu-rnn", "d", 1, 100.0, None);
        assert_eq!(means(&[Entry { ratios: ratios(&ours, &[]), measurement: ours }]), []);
        assert_eq!(means(&[]), []);
    }
}
