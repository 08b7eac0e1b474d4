//! Plots as SVG. Ink has a colour of its own that the page's style sheet replaces, so that it can be read in the dark.

use plotters::coord::Shift;
use plotters::prelude::*;

/// What the style sheet makes of this is the colour of text and axes.
pub const INK: RGBColor = RGBColor(1, 2, 3);

/// Colours that stand out on white and on black.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0x3b, 0x82, 0xf6),
    RGBColor(0xf9, 0x73, 0x16),
    RGBColor(0x10, 0xb9, 0x81),
    RGBColor(0xa8, 0x55, 0xf7),
    RGBColor(0xef, 0x44, 0x44),
    RGBColor(0xca, 0x8a, 0x04),
];

/// A shape's time and floor, in microseconds for a step.
pub struct Bar {
    pub name: String,
    pub time: f64,
    pub floor: Option<f64>,
}

/// Times that depend on one size.
pub struct Curve {
    pub name: String,
    /// The size, the time and the floor, in microseconds for a whole pass.
    pub points: Vec<(f64, f64, Option<f64>)>,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws on an area of this size.
fn svg(
    size: (u32, u32),
    draw: impl FnOnce(&Area<'_>) -> Result<(), String>,
) -> Result<String, String> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        draw(&area)?;
        area.present().map_err(|error| error.to_string())?;
    }
    Ok(text)
}

/// A range that holds all of these on a logarithmic axis, with room around it.
fn range(values: impl Iterator<Item = f64>) -> std::ops::Range<f64> {
    let (low, high) = values
        .filter(|v| v.is_finite() && *v > 0.0)
        .fold((f64::MAX, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
    if low > high { 1.0..10.0 } else { low / 1.5..high * 1.5 }
}

/// One line for each shape: a dot where its time is, and a stroke at its floor.
pub fn against_floor(bars: &[Bar]) -> Result<String, String> {
    let count = bars.len() as i32;
    svg((860, 60 + 26 * bars.len() as u32), |area| {
        let times = range(bars.iter().flat_map(|bar| [Some(bar.time), bar.floor]).flatten());
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .x_label_area_size(36)
            .y_label_area_size(210)
            .build_cartesian_2d(times.log_scale(), -1..count)
            .map_err(|error| error.to_string())?;
        let name = |at: &i32| {
            usize::try_from(count - 1 - at)
                .ok()
                .and_then(|at| bars.get(at))
                .map(|bar| bar.name.clone())
        };
        chart
            .configure_mesh()
            .disable_y_mesh()
            .axis_style(INK)
            .bold_line_style(INK.mix(0.15))
            .light_line_style(INK.mix(0.05))
            .label_style(("sans-serif", 12).into_font().color(&INK))
            .x_desc("µs for each step")
            .x_label_formatter(&|x| format!("{x}"))
            .y_labels(bars.len() + 2)
            .y_label_formatter(&|at| name(at).unwrap_or_default())
            .draw()
            .map_err(|error| error.to_string())?;
        let mut elements = Vec::new();
        let mut strokes = Vec::new();
        for (at, bar) in bars.iter().enumerate() {
            let y = count - 1 - at as i32;
            if let Some(floor) = bar.floor {
                strokes.push(PathElement::new(
                    vec![(floor, y), (bar.time, y)],
                    INK.mix(0.4).stroke_width(1),
                ));
                strokes.push(PathElement::new(
                    vec![(floor, y), (floor * 1.015, y)],
                    COLOURS[1].stroke_width(14),
                ));
            }
            elements.push(Circle::new((bar.time, y), 5, COLOURS[0].filled()));
        }
        chart.draw_series(strokes).map_err(|error| error.to_string())?;
        chart.draw_series(elements).map_err(|error| error.to_string())?;
        Ok(())
    })
}

/// A line for each device, and a thin one for its floor.
pub fn scaling(size: &str, curves: &[Curve]) -> Result<String, String> {
    svg((420, 340), |area| {
        let points = || curves.iter().flat_map(|curve| &curve.points);
        let sizes = range(points().map(|point| point.0));
        let times = range(points().flat_map(|point| [Some(point.1), point.2]).flatten());
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .x_label_area_size(36)
            .y_label_area_size(64)
            .build_cartesian_2d(sizes.log_scale(), times.log_scale())
            .map_err(|error| error.to_string())?;
        chart
            .configure_mesh()
            .axis_style(INK)
            .bold_line_style(INK.mix(0.15))
            .light_line_style(INK.mix(0.05))
            .label_style(("sans-serif", 12).into_font().color(&INK))
            .disable_x_mesh()
            .x_desc(size)
            .x_labels(3)
            .y_desc("µs for a pass")
            .x_label_formatter(&|x| format!("{x}"))
            .y_label_formatter(&|y| format!("{y}"))
            .draw()
            .map_err(|error| error.to_string())?;
        for (at, curve) in curves.iter().enumerate() {
            let colour = COLOURS[at % COLOURS.len()];
            let times = curve.points.iter().map(|&(x, time, _)| (x, time));
            chart
                .draw_series(LineSeries::new(times, colour.stroke_width(2)).point_size(3))
                .map_err(|error| error.to_string())?
                .label(curve.name.clone())
                .legend(move |(x, y)| {
                    PathElement::new(vec![(x, y), (x + 16, y)], colour.stroke_width(2))
                });
            let floors = curve.points.iter().filter_map(|&(x, _, floor)| Some((x, floor?)));
            chart
                .draw_series(LineSeries::new(floors, colour.mix(0.5)))
                .map_err(|error| error.to_string())?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .label_font(("sans-serif", 12).into_font().color(&INK))
            .draw()
            .map_err(|error| error.to_string())
    })
}
