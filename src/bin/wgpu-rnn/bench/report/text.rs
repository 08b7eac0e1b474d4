//! The report as text: a line on stdout for each row, as it comes.

use wgpu_rnn::internals::diagnostics::bench::Measurement;

use super::{Entry, Report, Skipped, device_label};
use crate::terminal::{BAD, FAINT, STRONG, line};

/// The headings of [`figures`], and the width of each column.
const COLUMNS: [(&str, usize); 10] = [
    ("wall ms", 9),
    ("gpu ms", 8),
    ("µs/step", 9),
    ("roofline", 9),
    ("%", 3),
    ("bound", 10),
    ("schedule", 10),
    ("dispatches", 10),
    ("encode µs", 9),
    ("max abs", 8),
];

/// The headings of [`figures`].
pub fn headings() -> impl Iterator<Item = &'static str> {
    COLUMNS.iter().map(|(heading, _)| *heading)
}

/// The figures of a measurement as text; `-` stands for a missing figure.
pub fn figures(m: &Measurement) -> [String; 10] {
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

/// A table on stdout whose columns have their widths from the start. The first row brings the
/// headings.
pub struct Table {
    /// The width of the names of shapes; `None` where stdout is not for text.
    names: Option<usize>,
    /// The title of the only device; each row names its device if there are several.
    device: Option<String>,
    begun: bool,
}

impl Table {
    /// A table of these shapes on these devices.
    pub fn new<'a>(
        on_stdout: bool,
        names: impl Iterator<Item = &'a str>,
        devices: &[&str],
    ) -> Self {
        let longest = names.chain(["shape"]).map(|name| name.chars().count()).max();
        let device = match devices {
            [device] => Some((*device).to_owned()),
            _ => None,
        };
        Self { names: longest.filter(|_| on_stdout), device, begun: false }
    }

    /// Prints the headings, once.
    fn begin(&mut self) {
        if self.begun || self.names.is_none() {
            return;
        }
        self.begun = true;
        if let Some(device) = &self.device {
            line!("{STRONG}{device}{STRONG:#}");
        }
        let headings = headings().map(str::to_owned).collect::<Vec<_>>();
        self.print("shape", &headings, "device", |text| line!("{FAINT}{text}{FAINT:#}"));
    }

    fn print(&self, name: &str, cells: &[String], device: &str, print: impl FnOnce(String)) {
        let Some(width) = self.names else { return };
        let mut text = format!("  {name:<width$}");
        for (cell, (_, width)) in cells.iter().zip(COLUMNS) {
            text += &format!("  {cell:>width$}");
        }
        if self.device.is_none() {
            text += &format!("  {device}");
        }
        print(text);
    }

    /// Prints a measurement, its disagreement, and its ratios to other systems.
    pub fn row(&mut self, Entry { measurement: m, ratios }: &Entry) {
        self.begin();
        self.print(&m.name, &figures(m), &device_label(m), |text| {
            line!("{text}");
            if m.agrees == Some(false) {
                line!("    {BAD}disagrees with the reference in f64{BAD:#}");
            }
            ratios.iter().for_each(|ratio| line!("    {ratio}"));
        });
    }

    pub fn skipped(&mut self, skipped: &Skipped) {
        self.begin();
        if self.names.is_some() {
            line!("{FAINT}{skipped}{FAINT:#}");
        }
    }

    /// Prints the means of each device.
    pub fn end(&self, report: &Report) {
        for group in super::groups(report).iter().filter(|_| self.names.is_some()) {
            if self.device.is_none() && !group.means.is_empty() {
                line!("{STRONG}{}{STRONG:#}", group.title);
            }
            group.means.iter().for_each(|mean| line!("  {STRONG}{mean}{STRONG:#}"));
        }
    }
}
