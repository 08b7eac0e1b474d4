//! The report of `wgpu-rnn bench`: measurements, ratios to other systems, and their means.
//!
//! [`Report`] is the JSON. [`Report::print`] writes it as text, [`page`] as HTML with plots.

mod page;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use wgpu_rnn::internals::diagnostics::bench::Measurement;
use wgpu_rnn::internals::engine::cpu;
use wgpu_rnn::internals::perf::calibration::Calibration;
use wgpu_rnn::{Error, Schedule};

use crate::terminal::{BAD, FAINT, STRONG, line};
pub use page::page;

/// All results of a run. Scripts read its JSON: fields may be added, not renamed.
#[derive(Serialize)]
pub struct Report {
    machine: Machine,
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
struct Entry {
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

/// The measurements in files that `bench --json` or a script of `benches/peers` wrote.
///
/// # Errors
/// [`Error::Io`] if a file cannot be read; [`Error::File`] if it does not have that form.
pub fn read_peers(paths: &[PathBuf]) -> Result<Vec<Measurement>, Error> {
    #[derive(Deserialize)]
    struct File {
        rows: Vec<Measurement>,
    }
    let mut peers = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(path)
            .map_err(|source| Error::Io { path: path.clone(), source })?;
        let file: File = serde_json::from_str(&text).map_err(|error| Error::File {
            path: path.clone(),
            message: format!("not a file of rows from `wgpu-rnn bench --json`: {error}"),
        })?;
        peers.extend(file.rows);
    }
    Ok(peers)
}

impl Report {
    pub fn new(
        calibrations: Vec<Calibration>,
        measurements: Vec<Measurement>,
        skipped: Vec<Skipped>,
        peers: Vec<Measurement>,
    ) -> Self {
        let rows: Vec<Entry> = measurements
            .into_iter()
            .map(|measurement| Entry { ratios: ratios(&measurement, &peers), measurement })
            .collect();
        let machine = Machine {
            os: std::env::consts::OS,
            arch: std::env::consts::ARCH,
            processor: cpu::id().driver,
            version: env!("CARGO_PKG_VERSION"),
        };
        Self { machine, calibrations, means: means(&rows), rows, skipped, peers }
    }

    /// Prints the report on stdout, a table for each device.
    pub fn print(&self) {
        for Group { title, rows, means } in self.groups() {
            line!("{STRONG}{title}{STRONG:#}");
            let headings = ["shape"].iter().chain(&HEADINGS).map(|&heading| heading.to_owned());
            let mut lines: Vec<Vec<String>> = vec![headings.collect()];
            lines.extend(rows.iter().map(|row| {
                let name = std::iter::once(row.measurement.name.clone());
                name.chain(figures(&row.measurement)).collect()
            }));
            let lines = aligned(&lines);
            line!("{FAINT}{}{FAINT:#}", lines[0]);
            for (row, text) in rows.iter().zip(&lines[1..]) {
                line!("{text}");
                if row.measurement.agrees == Some(false) {
                    line!("    {BAD}disagrees with the reference in f64{BAD:#}");
                }
                row.ratios.iter().for_each(|ratio| line!("    {ratio}"));
            }
            means.iter().for_each(|mean| line!("  {STRONG}{mean}{STRONG:#}"));
        }
        for skipped in &self.skipped {
            line!("{FAINT}{skipped}{FAINT:#}");
        }
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

/// The device of a measurement with its backend and driver.
fn device_title(m: &Measurement) -> String {
    match (m.backend.as_str(), m.driver.as_str()) {
        ("cpu", _) => m.device.clone(),
        (backend, "") => format!("{} ({backend})", m.device),
        (backend, driver) => format!("{} ({backend}, {driver})", m.device),
    }
}

/// The headings of [`figures`].
const HEADINGS: [&str; 10] = [
    "wall ms",
    "gpu ms",
    "µs/step",
    "roofline",
    "%",
    "bound",
    "schedule",
    "dispatches",
    "encode µs",
    "max abs",
];

/// The figures of a measurement as text; `-` stands for a missing figure.
fn figures(m: &Measurement) -> [String; 10] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let roofline = m.floor_us_per_step;
    [
        format!("{:.3}", m.wall_us.median / 1e3),
        or_dash(m.gpu_us.map(|gpu| format!("{:.3}", gpu.median / 1e3))),
        format!("{:.2}", m.us_per_step),
        or_dash(roofline.map(|us| format!("{us:.2}"))),
        or_dash(roofline.map(|us| format!("{:.0}", 100.0 * us / m.us_per_step))),
        or_dash(m.bound.clone()),
        m.schedule.clone(),
        m.dispatches.to_string(),
        format!("{:.0}", m.encode_us),
        or_dash(m.max_abs_vs_f64.map(|x| format!("{x:.1e}"))),
    ]
}

/// Pads cells to columns: the first to the left, the others to the right.
fn aligned(lines: &[Vec<String>]) -> Vec<String> {
    let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0);
    let pad = |(at, cell): (usize, &String)| match at {
        0 => format!("  {cell:<width$}", width = width(at)),
        _ => format!("  {cell:>width$}", width = width(at)),
    };
    lines.iter().map(|line| line.iter().enumerate().map(pad).collect()).collect()
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

    use super::{Entry, Mean, means, ratios};

    /// A measurement of an LSTM of `seq_len` steps with these times, in microseconds.
    fn measurement(
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
