//! The report on stdout.

use super::Report;
use super::peers::Mean;
use crate::terminal::{BAD, FAINT, STRONG, line};

pub fn print(report: &Report) {
    let width =
        report.rows.iter().map(|compared| compared.row.name.chars().count()).max().unwrap_or(0);
    let mut devices: Vec<&str> = Vec::new();
    for compared in &report.rows {
        if !devices.contains(&compared.row.device.as_str()) {
            devices.push(&compared.row.device);
        }
    }
    for device in devices {
        line!("{STRONG}{device}{STRONG:#}");
        line!(
            "  {FAINT}{:width$} {:>10} {:>10} {:>9} {:>9} {:>6} {:>10} {:>10} {:>9} {:>8}{FAINT:#}",
            "shape",
            "wall ms",
            "gpu ms",
            "µs/step",
            "floor",
            "%",
            "bound",
            "dispatches",
            "encode µs",
            "max abs"
        );
        for compared in report.rows.iter().filter(|compared| compared.row.device == device) {
            let row = &compared.row;
            let floor = row.floor_us_per_step;
            line!(
                "  {:width$} {:>10.3} {:>10} {:>9.2} {:>9} {:>6} {:>10} {:>10} {:>9.0} {:>8}",
                row.name,
                row.wall_us.median / 1e3,
                or_dash(row.gpu_us.map(|gpu| format!("{:.3}", gpu.median / 1e3))),
                row.us_per_step,
                or_dash(floor.map(|us| format!("{us:.2}"))),
                or_dash(floor.map(|us| format!("{:.0}", 100.0 * us / row.us_per_step))),
                or_dash(row.bound.clone()),
                row.dispatches,
                row.encode_us,
                or_dash(row.max_abs_vs_f64.map(|x| format!("{x:.1e}"))),
            );
            if row.agrees == Some(false) {
                line!("    {BAD}disagrees with the definition in f64{BAD:#}");
            }
            for ratio in &compared.ratios {
                line!(
                    "    {:.2} × faster than {} on {} ({})",
                    ratio.ratio,
                    ratio.system,
                    ratio.device,
                    ratio.by
                );
            }
        }
        for mean in report.means.iter().filter(|mean| mean.device == device) {
            line!("  {STRONG}{}{STRONG:#}", on_the_whole(mean));
        }
    }
    for skipped in &report.skipped {
        line!(
            "{FAINT}skipped  {} on {}: {}{FAINT:#}",
            skipped.name,
            skipped.device,
            skipped.reason
        );
    }
}

/// A mean in words.
pub fn on_the_whole(mean: &Mean) -> String {
    let Mean { ratio, system, on, by, shapes, .. } = mean;
    format!("{ratio:.2} × faster than {system} on {on}, geometric mean of {shapes} ({by})")
}

pub fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}
