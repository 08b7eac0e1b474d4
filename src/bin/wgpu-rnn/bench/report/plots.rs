//! Plots of a row for each shape: all devices on one axis, and each device next to its roofline.

use std::fmt::Write as _;

use wgpu_rnn::internals::diagnostics::bench::Measurement;

use super::svg::{LogAxis, Mark, escape, line, percent, text, tick_time, time, wide};
use super::{Entry, Group, Report, device_label};

/// The height of a row: a line of text over a line of marks.
const ROW: f64 = 36.0;

/// The height of the ticks' labels over a plot.
const TOP: f64 = 24.0;

/// The most ticks of an axis that fills its column.
const TICKS: usize = 6;

/// Measurements that share a mark: of a device, a schedule or another system.
pub struct Series<'a> {
    pub title: String,
    pub mark: Mark,
    pub own: bool,
    /// One for each shape, by the shape's name here.
    pub rows: Vec<(&'a str, &'a Measurement)>,
}

impl Series<'_> {
    /// The wall time of a shape.
    pub fn wall_us(&self, shape: &str) -> Option<f64> {
        self.rows.iter().find(|(name, _)| *name == shape).map(|(_, m)| m.wall_us.median)
    }
}

/// Returns the series of a report: its devices by schedule, then other systems at the same shapes.
pub fn series(report: &Report) -> Vec<Series<'_>> {
    let options = |entry: &Entry| entry.measurement.schedule_option.clone();
    let first = report.rows.first().map(options);
    let by_schedule = report.rows.iter().any(|entry| Some(options(entry)) != first);
    let mut all: Vec<Series<'_>> = Vec::new();
    let mut add = |own: bool, title: String, shape, measurement| {
        let next = all.len();
        let found = all.iter_mut().find(|series| series.own == own && series.title == title);
        match found {
            Some(series) => series.rows.push((shape, measurement)),
            None => all.push(Series {
                title,
                mark: Mark::new(next, !own),
                own,
                rows: vec![(shape, measurement)],
            }),
        }
    };
    for Entry { measurement: m, .. } in &report.rows {
        let device = device_label(m);
        let title = if by_schedule { format!("{device}, {}", m.schedule_option) } else { device };
        add(true, title, m.name.as_str(), m);
    }
    for peer in &report.peers {
        let matches = |m: &&Measurement| m.same_shape(peer) && m.dtype == peer.dtype;
        if let Some(m) = report.rows.iter().map(|entry| &entry.measurement).find(matches) {
            add(false, format!("{} on {}", peer.system, peer.device), m.name.as_str(), peer);
        }
    }
    all
}

/// Returns the names of all measured shapes, in order.
pub fn shapes(report: &Report) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for entry in &report.rows {
        let name = entry.measurement.name.as_str();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Plots the wall time of a pass of each shape, with a mark for each series; empty with one series.
pub fn comparison(report: &Report, series: &[Series<'_>]) -> String {
    if series.len() < 2 {
        return String::new();
    }
    let shapes = shapes(report);
    let times = series.iter().flat_map(|one| &one.rows).map(|(_, m)| m.wall_us.median);
    let axis = LogAxis::new(times);
    let mut svg = grid(axis, shapes.len());
    for (at, shape) in shapes.iter().enumerate() {
        let y = TOP + ROW * at as f64;
        let marks: Vec<(f64, &Series<'_>)> =
            series.iter().filter_map(|one| Some((one.wall_us(shape)?, one))).collect();
        let least = marks.iter().map(|(us, _)| *us).fold(f64::INFINITY, f64::min);
        let most = marks.iter().map(|(us, _)| *us).fold(0.0, f64::max);
        svg += &labels(y, shape, &format!("best {}", time(least)));
        svg +=
            &line("gap", (&percent(axis.at(least)), y + 25.0), (&percent(axis.at(most)), y + 25.0));
        for (us, one) in marks {
            let title = format!("{shape} on {}: {}", one.title, time(us));
            svg += &one.mark.draw((&percent(axis.at(us)), y + 25.0), &title);
        }
    }
    let picture = wide(TOP + ROW * shapes.len() as f64, "wall time of a pass", &svg);
    format!("{}{picture}", legend(series.iter().map(|one| (one.mark, one.title.as_str()))))
}

/// Plots the time of a step of each shape, a plot for each device on the same axis. A device with a
/// roofline has strokes for it.
pub fn steps(groups: &[Group<'_>]) -> String {
    let rows = groups.iter().flat_map(|group| &group.rows).map(|entry| &entry.measurement);
    let values = rows.flat_map(|m| [Some(m.us_per_step), m.floor_us_per_step]).flatten();
    let axis = LogAxis::new(values);
    let mut html = String::from("<div class=\"plots\">");
    for Group { title, rows, .. } in groups {
        let mut svg = grid(axis, rows.len());
        for (at, Entry { measurement: m, .. }) in rows.iter().enumerate() {
            let y = TOP + ROW * at as f64;
            let name = match m.schedule_option.as_str() {
                "" | "auto" => m.name.clone(),
                schedule => format!("{}, {schedule}", m.name),
            };
            let (mark, us) = (Mark::new(0, false), time(m.us_per_step));
            let place = percent(axis.at(m.us_per_step));
            let Some(least) = m.floor_us_per_step else {
                svg += &labels(y, &name, &us);
                svg += &mark.draw((&place, y + 25.0), &format!("{name}: {us}"));
                continue;
            };
            let share = 100.0 * least / m.us_per_step;
            svg += &labels(y, &name, &format!("{us}, {share:.0} %"));
            let stroke = percent(axis.at(least));
            svg += &line("gap", (&stroke, y + 25.0), (&place, y + 25.0));
            svg += &line("roofline", (&stroke, y + 18.0), (&stroke, y + 32.0));
            let about = format!("{name}: {us}, roofline {}", time(least));
            svg += &mark.draw((&place, y + 25.0), &about);
        }
        let picture = wide(TOP + ROW * rows.len() as f64, "time of a step", &svg);
        let _ = write!(html, "<figure><h3>{}</h3>{picture}</figure>", escape(title));
    }
    html + "</div>"
}

/// The ticks of an axis over rows.
fn grid(axis: LogAxis, rows: usize) -> String {
    let bottom = TOP + ROW * rows as f64;
    let mut svg = String::new();
    for tick in axis.ticks(TICKS) {
        let x = percent(axis.at(tick));
        svg += &line("grid", (&x, TOP - 6.0), (&x, bottom));
        svg += &text("tick", (&x, 12.0), &tick_time(tick));
    }
    svg
}

/// The name of a row on the left, and its figure on the right.
fn labels(y: f64, name: &str, figure: &str) -> String {
    text("name", ("0", y + 13.0), name) + &text("figure", ("100%", y + 13.0), figure)
}

/// A list of marks and their meanings.
pub fn legend<'a>(marks: impl Iterator<Item = (Mark, &'a str)>) -> String {
    let item = |(mark, title): (Mark, &str)| {
        let picture = mark.draw(("7", 7.0), title);
        format!(
            "<li><svg xmlns=\"http://www.w3.org/2000/svg\" width=\"14\" height=\"14\">{picture}\
             </svg> {}</li>",
            escape(title)
        )
    };
    format!("<ul class=\"legend\">{}</ul>", marks.map(item).collect::<String>())
}
