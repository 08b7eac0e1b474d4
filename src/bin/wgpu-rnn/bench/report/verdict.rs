//! The conclusions of a report, as sentences.

use super::plots::{Series, shapes};
use super::svg::time;
use super::{Group, Report, groups};

/// Returns the conclusions, the most important one first.
pub fn sentences(report: &Report, series: &[Series<'_>]) -> Vec<String> {
    let mut sentences = Vec::new();
    let done = report.rows.len() + report.skipped.len();
    if !report.complete {
        sentences.push(format!(
            "The run was stopped after {done} of {} measurements, or it still runs.",
            report.planned
        ));
    }
    sentences.extend(fastest(report, series));
    sentences.push(agreement(report));
    let groups = groups(report);
    for group in &groups {
        let of = if groups.len() > 1 { format!("{}: ", group.label()) } else { String::new() };
        sentences.extend(group.means.iter().map(|mean| format!("{of}{mean}.")));
    }
    sentences.extend(groups.iter().map(roofline));
    sentences.extend(match report.skipped.len() {
        0 => None,
        1 => Some("1 measurement was skipped; the reason is at the end.".to_owned()),
        many => Some(format!("{many} measurements were skipped; the reasons are at the end.")),
    });
    sentences
}

/// Whether all results are within the tolerance.
fn agreement(report: &Report) -> String {
    let rows: Vec<_> = report.rows.iter().map(|entry| &entry.measurement).collect();
    if rows.is_empty() {
        return "No shape was measured.".to_owned();
    }
    let wrong: Vec<String> = rows
        .iter()
        .filter(|m| m.agrees == Some(false))
        .map(|m| format!("{} on {}", m.name, m.device))
        .collect();
    if wrong.is_empty() {
        let largest = rows.iter().filter_map(|m| m.max_abs_vs_f64).fold(0.0, f64::max);
        return format!(
            "All results agree with the reference in f64: the largest difference is {largest:.1e}."
        );
    }
    format!(
        "{} of {} results disagree with the reference in f64: {}.",
        wrong.len(),
        rows.len(),
        wrong.join("; ")
    )
}

/// The fastest of our series, and the ratios of the others to it. With one series, its times.
fn fastest(report: &Report, series: &[Series<'_>]) -> Vec<String> {
    let own: Vec<&Series<'_>> = series.iter().filter(|one| one.own).collect();
    if let [only] = own[..] {
        let times: Vec<f64> = only.rows.iter().map(|(_, m)| m.wall_us.median).collect();
        let least = times.iter().copied().fold(f64::INFINITY, f64::min);
        let most = times.iter().copied().fold(0.0, f64::max);
        let passes = match times.len() {
            1 => format!("a pass in {}", time(least)),
            count => format!("passes of {count} shapes in {} to {}", time(least), time(most)),
        };
        return vec![format!("{} runs {passes} (wall time).", only.title)];
    }
    // The base is the series that no other beats by its mean.
    let base = own.iter().find(|base| {
        own.iter().all(|other| ratio(report, base, other).is_none_or(|(ratio, _)| ratio >= 1.0))
    });
    let Some(base) = base else { return Vec::new() };
    // The others' times of each shape that the base and another ran.
    let shared = shapes(report).into_iter().filter_map(|shape| {
        let others = own.iter().filter(|other| other.title != base.title);
        let least = others.filter_map(|other| other.wall_us(shape)).reduce(f64::min)?;
        Some(base.wall_us(shape)? <= least)
    });
    let shared: Vec<bool> = shared.collect();
    let mut sentences = vec![format!(
        "{} is the fastest: it has the least wall time in {} of {} shapes that several ran.",
        base.title,
        shared.iter().filter(|first| **first).count(),
        shared.len()
    )];
    for other in own.iter().filter(|other| other.title != base.title) {
        sentences.extend(ratio(report, base, other).map(|(ratio, shapes)| {
            format!(
                "{} takes {ratio:.2} × as long, geometric mean of {shapes} (wall).",
                other.title
            )
        }));
    }
    sentences
}

/// The geometric mean of the times of `other` over those of `base`, and the number of shapes that
/// both ran; `None` without one.
fn ratio(report: &Report, base: &Series<'_>, other: &Series<'_>) -> Option<(f64, usize)> {
    let logs: Vec<f64> = shapes(report)
        .into_iter()
        .filter_map(|shape| Some((other.wall_us(shape)? / base.wall_us(shape)?).ln()))
        .collect();
    let mean = logs.iter().sum::<f64>() / logs.len() as f64;
    (!logs.is_empty()).then(|| (mean.exp(), logs.len()))
}

/// The share of the roofline that a device reaches, or the command that measures a roofline.
fn roofline(group: &Group<'_>) -> String {
    let rows = group.rows.iter().map(|entry| &entry.measurement);
    let logs: Vec<f64> =
        rows.filter_map(|m| Some((m.floor_us_per_step? / m.us_per_step).ln())).collect();
    if logs.is_empty() {
        return format!(
            "{} has no roofline yet: run `wgpu-rnn calibrate --device {}`, then this command \
             again.",
            group.label(),
            group.selector()
        );
    }
    let mean = (logs.iter().sum::<f64>() / logs.len() as f64).exp();
    if mean > 1.0 {
        return format!(
            "{} is faster than its roofline, so its calibration is wrong: run `wgpu-rnn calibrate \
             --device {}` on an idle machine.",
            group.label(),
            group.selector()
        );
    }
    format!(
        "{} reaches {:.0} % of its roofline, geometric mean of {}.",
        group.label(),
        100.0 * mean,
        logs.len()
    )
}

#[cfg(test)]
mod tests {
    use super::super::plots::series;
    use super::super::tests::measurement;
    use super::super::{Report, page};
    use super::sentences;

    /// A report of two devices and two shapes; the device `slow` takes 2 and 8 times as long.
    fn report() -> Report {
        let mut report = super::super::start(Vec::new(), Vec::new(), 4);
        for (device, times) in [("slow", [200.0, 800.0]), ("quick", [100.0, 100.0])] {
            for (seq_len, us) in [1, 2].into_iter().zip(times) {
                let mut m = measurement("wgpu-rnn", device, seq_len, us, None);
                m.name = format!("shape {seq_len}");
                m.agrees = Some(true);
                report.add(m);
            }
        }
        report
    }

    #[test]
    fn the_fastest_device_comes_first_with_the_ratio_of_the_other() {
        let report = report();
        let said = sentences(&report, &series(&report));
        assert_eq!(
            said[..2],
            [
                "quick (b) is the fastest: it has the least wall time in 2 of 2 shapes that \
                 several ran.",
                "slow (b) takes 4.00 × as long, geometric mean of 2 (wall).",
            ]
        );
        assert!(
            said.contains(
                &"slow (b) has no roofline yet: run `wgpu-rnn calibrate --device slow`, then this \
              command again."
                    .to_owned()
            )
        );
    }

    #[test]
    fn a_disagreement_and_a_stop_are_said() {
        let mut report = report();
        report.rows[3].measurement.agrees = Some(false);
        report.complete = false;
        report.planned = 9;
        let said = sentences(&report, &series(&report));
        let first = "The run was stopped after 4 of 9 measurements, or it still runs.";
        assert_eq!(said[0], first);
        let wrong = "1 of 4 results disagree with the reference in f64: shape 2 on quick.";
        assert!(said.iter().any(|sentence| sentence == wrong), "{said:#?}");
    }

    #[test]
    fn devices_share_an_axis() {
        let page = page(&report());
        let (_, comparison) = page.split_once("<h2>Comparison</h2>").expect("two devices");
        let (comparison, _) = comparison.split_once("</section>").expect("a section");
        for mark in ["shape 1 on slow (b): 200 µs", "shape 1 on quick (b): 100 µs"] {
            assert!(comparison.contains(mark), "no '{mark}': {comparison}");
        }
        // Four marks of times, two of the legend.
        assert_eq!(comparison.matches("<circle").count(), 6, "{comparison}");
    }
}
