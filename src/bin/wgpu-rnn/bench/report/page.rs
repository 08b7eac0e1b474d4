//! The report as one HTML page with SVG plots: well-formed XML without external resources.

use std::fmt::Write as _;

use wgpu_rnn::internals::diagnostics::bench::Measurement;

use super::{Entry, Group, HEADINGS, Report, device_title, figures};

const STYLE: &str = "
:root { color-scheme: light dark;
  --ink: #1b1f24; --paper: #ffffff; --faint: #667078; --rule: #d5dade; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7ea; --paper: #14171a; --faint: #97a1aa; --rule: #343b41; } }
body { color: var(--ink); background: var(--paper); font: 15px/1.45 system-ui, sans-serif;
  max-width: 1180px; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; }
th, td { padding: 0.2rem 0.4rem; text-align: right; border-bottom: 1px solid var(--rule); }
th:first-child, td:first-child { text-align: left; }
td:not(:first-child, :last-child) { white-space: nowrap; }
td:last-child { min-width: 10rem; }
.scroll { overflow-x: auto; }
.faint { color: var(--faint); }
.plots { display: flex; flex-wrap: wrap; gap: 1rem; }
svg { max-width: 100%; height: auto; fill: none; stroke-width: 1; }
svg text { fill: var(--ink); font: 12px sans-serif; }
svg .axis { stroke: var(--ink); }
svg .grid { stroke: var(--rule); }
svg .gap { stroke: var(--faint); }
";

/// Colours that are visible on white and on black.
const COLOURS: [&str; 6] = ["#3b82f6", "#f97316", "#10b981", "#a855f7", "#ef4444", "#ca8a04"];

/// Returns the page.
pub fn page(report: &Report) -> String {
    let machine = &report.machine;
    let mut body = format!(
        "<h1>wgpu-rnn bench</h1><p class=\"faint\">{}, {} {}; wgpu-rnn {}</p>",
        escape(&machine.processor),
        machine.os,
        machine.arch,
        machine.version
    );
    for Group { title, rows, means } in report.groups() {
        let _ = write!(
            body,
            "<h2>{}</h2><p>Time for each step: the dot is the measured time, the stroke is the \
             roofline, the least time that the machine allows.</p>{}{}",
            escape(&title),
            steps_plot(&rows),
            table(&rows)
        );
        body += &list(means.iter().map(ToString::to_string));
    }
    let plots: String = SIZES.iter().map(|size| scaling_plot(report, size)).collect();
    if !plots.is_empty() {
        let _ = write!(
            body,
            "<h2>Scaling</h2><p>Thin lines are rooflines.</p><div class=\"plots\">{plots}</div>"
        );
    }
    if !report.skipped.is_empty() {
        body += "<h2>Skipped</h2>";
        let skipped = report.skipped.iter();
        body += &list(skipped.map(|s| format!("{} on {}: {}", s.name, s.device, s.reason)));
    }
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\
         <title>wgpu-rnn bench</title><style>{STYLE}</style></head><body>{body}</body></html>\n"
    )
}

fn list(items: impl Iterator<Item = String>) -> String {
    let items: String = items.map(|item| format!("<li>{}</li>", escape(&item))).collect();
    if items.is_empty() { items } else { format!("<ul>{items}</ul>") }
}

fn table(rows: &[&Entry]) -> String {
    let line = |tag: &str, cells: Vec<String>| -> String {
        let cells = cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escape(cell)));
        format!("<tr>{}</tr>", cells.collect::<String>())
    };
    let sizes = ["shape", "T", "B", "I", "H", "L", "D"];
    let headings = sizes.iter().chain(&HEADINGS).chain(&["other systems"]);
    let headings = line("th", headings.map(|&heading| heading.to_owned()).collect());
    let body: String = rows
        .iter()
        .map(|Entry { measurement: m, ratios }| {
            let directions = 1 + usize::from(m.bidirectional);
            let sizes = [m.seq_len, m.batch, m.input_size, m.hidden_size, m.num_layers, directions];
            let ratios: Vec<String> = ratios.iter().map(ToString::to_string).collect();
            let mut cells = vec![m.name.clone()];
            cells.extend(sizes.map(|size| size.to_string()));
            cells.extend(figures(m));
            cells.push(if ratios.is_empty() { "-".to_owned() } else { ratios.join("; ") });
            line("td", cells)
        })
        .collect();
    format!(
        "<div class=\"scroll\"><table><thead>{headings}</thead><tbody>{body}</tbody></table></div>"
    )
}

/// Plots a line for each shape: a dot at its time and a stroke at its roofline.
fn steps_plot(rows: &[&Entry]) -> String {
    let (left, right, row_height) = (218.0, 852.0, 26.0);
    let bottom = 8.0 + row_height * rows.len() as f64;
    let values = rows.iter().map(|row| &row.measurement);
    let values = values.flat_map(|m| [Some(m.us_per_step), m.floor_us_per_step]).flatten();
    let x = LogAxis::new(values, left, right);
    let mut svg = x.draw_horizontal(8.0, bottom, "µs for each step");
    svg += &line("axis", (left, 8.0), (left, bottom));
    for (at, Entry { measurement: m, .. }) in rows.iter().enumerate() {
        let y = 8.0 + row_height * (at as f64 + 0.5);
        svg += &text("end", (left - 8.0, y + 4.0), &m.name);
        let time = x.at(m.us_per_step);
        if let Some(roofline) = m.floor_us_per_step.map(|us| x.at(us)) {
            svg += &line("gap", (roofline, y), (time, y));
            let _ = write!(
                svg,
                "<path d=\"M{roofline:.1} {:.1}V{:.1}\" stroke=\"{}\" stroke-width=\"4\"/>",
                y - 7.0,
                y + 7.0,
                COLOURS[1]
            );
        }
        svg += &dot((time, y), 5, COLOURS[0], &format!("{}: {:.2} µs", m.name, m.us_per_step));
    }
    picture(860.0, bottom + 44.0, &svg)
}

/// A size that shapes can vary in.
type Size = (&'static str, fn(&Measurement) -> usize);

const SIZES: [Size; 3] = [("T", |m| m.seq_len), ("H", |m| m.hidden_size), ("B", |m| m.batch)];

/// The smallest number of points that make a curve.
const MIN_POINTS: usize = 3;

/// The times of shapes that are equal but for one size.
struct Curve {
    /// All that the shapes have in common.
    key: String,
    device: String,
    /// The size, the time and the roofline, in microseconds for a pass.
    points: Vec<(f64, f64, Option<f64>)>,
}

/// The curves over one size.
fn curves(report: &Report, (name, size): &Size) -> Vec<Curve> {
    let mut curves: Vec<Curve> = Vec::new();
    for m in report.rows.iter().map(|row| &row.measurement) {
        let key = common(m, name);
        let steps = (m.seq_len * m.num_layers) as f64;
        let roofline = m.floor_us_per_step.map(|us| us * steps);
        let point = (size(m) as f64, m.us_per_step * steps, roofline);
        match curves.iter_mut().find(|curve| curve.key == key) {
            Some(curve) => curve.points.push(point),
            None => curves.push(Curve { key, device: m.device.clone(), points: vec![point] }),
        }
    }
    for Curve { points, .. } in &mut curves {
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points.dedup_by(|a, b| a.0 == b.0);
    }
    curves.retain(|curve| curve.points.len() >= MIN_POINTS);
    curves
}

/// Describes a measurement without the size `varied`. An input as wide as the state varies with H.
fn common(m: &Measurement, varied: &str) -> String {
    let input = if m.input_size == m.hidden_size { 0 } else { m.input_size };
    let sizes = SIZES.map(|(name, size)| if name == varied { 0 } else { size(m) });
    let device = device_title(m);
    format!(
        "{device} {} {} {} {input} {} {sizes:?}",
        m.kind, m.num_layers, m.bidirectional, m.dtype
    )
}

/// Plots a line for each device, and a thin one for its roofline; empty without curves.
fn scaling_plot(report: &Report, size: &Size) -> String {
    let curves = curves(report, size);
    if curves.is_empty() {
        return String::new();
    }
    let (left, right, top, bottom) = (72.0, 412.0, 8.0, 296.0);
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let x = LogAxis::new(points().map(|point| point.0), left, right);
    let times = points().flat_map(|point| [Some(point.1), point.2]).flatten();
    let y = LogAxis::new(times, bottom, top);
    let mut svg = x.draw_horizontal(top, bottom, size.0);
    svg += &y.draw_vertical(left, right, "µs for a pass");
    for (at, Curve { device, points, .. }) in curves.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        let line = |points: &mut dyn Iterator<Item = (f64, f64)>, width: &str| {
            let points: Vec<String> =
                points.map(|(size, us)| format!("{:.1},{:.1}", x.at(size), y.at(us))).collect();
            let points = points.join(" ");
            format!("<polyline points=\"{points}\" stroke=\"{colour}\" stroke-width=\"{width}\"/>")
        };
        svg += &line(&mut points.iter().map(|&(size, us, _)| (size, us)), "2");
        svg += &line(&mut points.iter().filter_map(|&(size, _, us)| Some((size, us?))), "0.7");
        for &(size, us, _) in points {
            svg += &dot((x.at(size), y.at(us)), 3, colour, &format!("{size}: {us:.1} µs"));
        }
        let legend = top + 12.0 + 16.0 * at as f64;
        svg += &dot((left + 14.0, legend), 4, colour, device);
        svg += &text("start", (left + 24.0, legend + 4.0), device);
    }
    format!("<div>{}</div>", picture(420.0, 340.0, &svg))
}

/// A logarithmic axis from one pixel position to another.
struct LogAxis {
    low: f64,
    high: f64,
    start: f64,
    end: f64,
}

impl LogAxis {
    /// An axis with room around all positive `values`.
    fn new(values: impl Iterator<Item = f64>, start: f64, end: f64) -> Self {
        let (low, high) = values
            .filter(|value| value.is_finite() && *value > 0.0)
            .fold((f64::MAX, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = if low > high { (1.0, 10.0) } else { (low / 1.5, high * 1.5) };
        Self { low, high, start, end }
    }

    /// The position of a value; values beyond the axis are at its ends.
    fn at(&self, value: f64) -> f64 {
        let share = (value.max(self.low).min(self.high) / self.low).ln();
        self.start + share / (self.high / self.low).ln() * (self.end - self.start)
    }

    /// Powers of ten on the axis; on a short axis their doubles and quintuples too.
    fn ticks(&self) -> Vec<f64> {
        let factors: &[u32] = if self.high / self.low < 300.0 { &[1, 2, 5] } else { &[1] };
        let exponents = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
        exponents
            .flat_map(|exponent| factors.iter().map(move |factor| format!("{factor}e{exponent}")))
            .filter_map(|tick| tick.parse().ok())
            .filter(|tick| (self.low..=self.high).contains(tick))
            .collect()
    }

    fn draw_horizontal(&self, top: f64, bottom: f64, title: &str) -> String {
        let mut svg = String::new();
        for tick in self.ticks() {
            svg += &line("grid", (self.at(tick), top), (self.at(tick), bottom));
            svg += &text("middle", (self.at(tick), bottom + 16.0), &tick.to_string());
        }
        svg += &line("axis", (self.start, bottom), (self.end, bottom));
        svg + &text("middle", (f64::midpoint(self.start, self.end), bottom + 34.0), title)
    }

    fn draw_vertical(&self, left: f64, right: f64, title: &str) -> String {
        let mut svg = String::new();
        for tick in self.ticks() {
            svg += &line("grid", (left, self.at(tick)), (right, self.at(tick)));
            svg += &text("end", (left - 6.0, self.at(tick) + 4.0), &tick.to_string());
        }
        svg += &line("axis", (left, self.start), (left, self.end));
        let y = f64::midpoint(self.start, self.end);
        let title = text("middle", (0.0, 0.0), title);
        svg + &format!("<g transform=\"translate(14 {y:.1}) rotate(-90)\">{title}</g>")
    }
}

fn picture(width: f64, height: f64, content: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\">{content}</svg>"
    )
}

fn line(class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) -> String {
    format!("<path class=\"{class}\" d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\"/>")
}

fn text(anchor: &str, (x, y): (f64, f64), text: &str) -> String {
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>", escape(text))
}

/// A dot with a text that appears under the pointer.
fn dot((x, y): (f64, f64), radius: u32, colour: &str, title: &str) -> String {
    format!(
        "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{colour}\"><title>{}</title>\
         </circle>",
        escape(title)
    )
}

/// Escapes text for XML and replaces characters that XML excludes.
fn escape(plain: &str) -> String {
    let mut escaped = String::with_capacity(plain.len());
    for c in plain.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() && c != '\n' && c != '\t' => escaped.push('?'),
            c => escaped.push(c),
        }
    }
    escaped
}
