//! Plots of time over one size: T, H or B.

use wgpu_rnn::internals::diagnostics::bench::Measurement;

use super::plots::Series;
use super::svg::{LogAxis, Mark, escape, line, text, tick_time, time};

/// A size that shapes can vary in.
type Size = (&'static str, &'static str, fn(&Measurement) -> usize);

const SIZES: [Size; 3] = [
    ("T", "time steps (T)", |m| m.seq_len),
    ("H", "hidden units (H)", |m| m.hidden_size),
    ("B", "rows (B)", |m| m.batch),
];

/// The smallest number of points that make a curve.
const MIN_POINTS: usize = 3;

/// The places of a plot in its picture, in pixels: left, right, top, bottom.
const FRAME: [f64; 4] = [56.0, 328.0, 8.0, 216.0];

/// The times of shapes that are equal but for one size.
struct Curve<'a> {
    /// All that the shapes have in common.
    key: String,
    series: &'a Series<'a>,
    /// The size, and the wall time of a pass in microseconds.
    points: Vec<(f64, f64)>,
}

/// Returns a plot for each size that shapes vary in; empty without one.
pub fn plots(series: &[Series<'_>]) -> String {
    SIZES.iter().map(|size| plot(series, size)).collect()
}

/// The curves over one size.
fn curves<'a>(series: &'a [Series<'a>], (name, _, size): &Size) -> Vec<Curve<'a>> {
    let mut curves: Vec<Curve<'a>> = Vec::new();
    for (at, one) in series.iter().enumerate() {
        for (_, m) in &one.rows {
            let key = format!("{at} {}", common(m, name));
            let point = (size(m) as f64, m.wall_us.median);
            match curves.iter_mut().find(|curve| curve.key == key) {
                Some(curve) => curve.points.push(point),
                None => curves.push(Curve { key, series: one, points: vec![point] }),
            }
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
    let sizes = SIZES.map(|(name, _, size)| if name == varied { 0 } else { size(m) });
    format!("{} {} {} {} {input} {sizes:?}", m.kind, m.num_layers, m.bidirectional, m.dtype)
}

fn plot(series: &[Series<'_>], size: &Size) -> String {
    let curves = curves(series, size);
    if curves.is_empty() {
        return String::new();
    }
    let [left, right, top, bottom] = FRAME;
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let across = LogAxis::new(points().map(|point| point.0));
    let up = LogAxis::new(points().map(|point| point.1));
    let x = |value: f64| left + across.at(value) * (right - left);
    let y = |value: f64| bottom + up.at(value) * (top - bottom);
    let px = |place: f64| format!("{place:.1}");
    let mut svg = String::new();
    for tick in across.ticks(6) {
        svg += &line("grid", (&px(x(tick)), top), (&px(x(tick)), bottom));
        svg += &text("tick", (&px(x(tick)), bottom + 16.0), &tick.to_string());
    }
    for tick in up.ticks(6) {
        svg += &line("grid", (&px(left), y(tick)), (&px(right), y(tick)));
        svg += &text("figure", (&px(left - 6.0), y(tick) + 4.0), &tick_time(tick));
    }
    svg += &text("tick", (&px(f64::midpoint(left, right)), bottom + 34.0), size.1);
    for Curve { series: Series { mark, title, .. }, points, .. } in &curves {
        let places: Vec<String> =
            points.iter().map(|&(size, us)| format!("{:.1},{:.1}", x(size), y(us))).collect();
        svg += &format!("<polyline points=\"{}\" stroke=\"{}\"/>", places.join(" "), mark.colour());
        for &(size, us) in points {
            svg += &Mark::draw(*mark, (&px(x(size)), y(us)), &format!("{title}: {}", time(us)));
        }
    }
    let label = format!("wall time over {}", size.1);
    format!(
        "<figure><svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" aria-label=\"{}\" \
         viewBox=\"0 0 340 256\" width=\"340\" height=\"256\">{svg}</svg></figure>",
        escape(&label)
    )
}
