//! The report of `wgpu-rnn bench` as text and as a page.
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

use wgpu_rnn::internals::diagnostics::bench::Measurement;
use wgpu_rnn::internals::diagnostics::bench::report::{Entry, Mean};
pub use wgpu_rnn::internals::diagnostics::bench::report::{Report, Skipped};
use wgpu_rnn::internals::perf::calibration::Calibration;

pub use page::page;
pub use peers::read_peers;
pub use text::Table;

/// Returns a report without rows, at the start of the command.
pub fn start(calibrations: Vec<Calibration>, peers: Vec<Measurement>, planned: usize) -> Report {
    let started = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let command = command_line(std::env::args_os());
    Report::new((command, started), calibrations, peers, planned)
}

/// Returns the entries and means of each device, in the order of measurement.
fn groups(report: &Report) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for row in &report.rows {
        let title = device_title(&row.measurement);
        match groups.iter_mut().find(|group| group.title == title) {
            Some(group) => group.rows.push(row),
            None => {
                let of_device = |mean: &&Mean| {
                    mean.device == row.measurement.device && mean.backend == row.measurement.backend
                };
                let means = report.means.iter().filter(of_device).collect();
                groups.push(Group { title, rows: vec![row], means });
            }
        }
    }
    groups
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

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wgpu_rnn::internals::diagnostics::bench::Measurement;

    use super::command_line;

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
    fn a_command_line_can_be_typed_again() {
        let args = ["wgpu-rnn", "--device", "llvmpipe (LLVM)", "", "it's", "--seconds=0.3"];
        let want = r"wgpu-rnn --device 'llvmpipe (LLVM)' '' 'it'\''s' --seconds=0.3";
        assert_eq!(command_line(args.into_iter().map(Into::into)), want);
    }
}
