//! The report as one page that needs nothing beside it, and is well-formed XML too.

use std::fmt::Write as _;

use wgpu_rnn::internals::diagnostics::bench::Row;

use super::peers::Mean;
use super::plot::{self, Bar, Curve};
use super::table::{on_the_whole, or_dash};
use super::{Compared, Report};

/// Ink in plots is the text's colour: `plot::INK` is #010203.
const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --faint: #667078; --rule: #d5dade; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7ea; --paper: #14171a; --faint: #97a1aa; --rule: #343b41; } }
body { color: var(--ink); background: var(--paper); font: 15px/1.45 system-ui, sans-serif; max-width: 1180px;
  margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; }
th, td { padding: 0.2rem 0.6rem; text-align: right; border-bottom: 1px solid var(--rule); }
th:first-child, td:first-child { text-align: left; }
.scroll { overflow-x: auto; }
.faint { color: var(--faint); }
.plots { display: flex; flex-wrap: wrap; gap: 1rem; }
svg { max-width: 100%; height: auto; }
svg [fill='#010203'] { fill: var(--ink); }
svg [stroke='#010203'] { stroke: var(--ink); }
";

/// The page, or why a plot could not be drawn.
pub fn page(report: &Report) -> Result<String, String> {
    let mut body = String::new();
    let machine = &report.machine;
    let _ = write!(
        body,
        "<h1>wgpu-rnn bench</h1><p class=\"faint\">{}, {} {}; wgpu-rnn {}</p>",
        text(&machine.processor),
        machine.os,
        machine.arch,
        machine.version
    );
    for device in devices(report) {
        let rows: Vec<&Compared> =
            report.rows.iter().filter(|compared| identity(&compared.row) == device).collect();
        let _ = write!(body, "<h2>{}</h2>", text(&device));
        let bars: Vec<Bar> = rows
            .iter()
            .map(|compared| &compared.row)
            .map(|row| Bar {
                name: row.name.clone(),
                time: row.us_per_step,
                floor: row.floor_us_per_step,
            })
            .collect();
        let _ = write!(
            body,
            "<p>Time for each step: the dot is what it took, the stroke the least that it can take.</p>{}",
            plot::against_floor(&bars)?
        );
        table(&mut body, &rows);
        let here = |mean: &&Mean| {
            rows.iter().any(|c| (&c.row.device, &c.row.backend) == (&mean.device, &mean.backend))
        };
        let means = report.means.iter().filter(here);
        let means: String =
            means.map(|mean| format!("<li>{}</li>", text(&on_the_whole(mean)))).collect();
        if !means.is_empty() {
            let _ = write!(body, "<ul>{means}</ul>");
        }
    }
    body.push_str(&scaling(report)?);
    if !report.skipped.is_empty() {
        body.push_str("<h2>Skipped</h2><ul>");
        for skipped in &report.skipped {
            let (name, device, reason) =
                (text(&skipped.name), text(&skipped.device), text(&skipped.reason));
            let _ = write!(body, "<li>{name} on {device}: {reason}</li>");
        }
        body.push_str("</ul>");
    }
    Ok(format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\
         <title>wgpu-rnn bench</title><style>{STYLE}</style></head><body>{body}</body></html>\n"
    ))
}

fn identity(row: &Row) -> String {
    match (row.backend.as_str(), row.driver.as_str()) {
        ("cpu", _) => row.device.clone(),
        (backend, "") => format!("{} ({backend})", row.device),
        (backend, driver) => format!("{} ({backend}, {driver})", row.device),
    }
}

/// Every device, in the order in which they come.
fn devices(report: &Report) -> Vec<String> {
    let mut devices: Vec<String> = Vec::new();
    for compared in &report.rows {
        let device = identity(&compared.row);
        if !devices.contains(&device) {
            devices.push(device);
        }
    }
    devices
}

fn table(body: &mut String, rows: &[&Compared]) {
    body.push_str(
        "<div class=\"scroll\"><table><thead><tr><th>shape</th><th>T</th><th>B</th><th>I</th><th>H</th><th>L</th><th>D</th>\
         <th>wall ms</th><th>gpu ms</th><th>µs/step</th><th>floor</th><th>bound</th><th>schedule</th><th>dispatches</th>\
         <th>encode µs</th><th>max abs</th><th>others took</th></tr></thead><tbody>",
    );
    for Compared { row, ratios } in rows {
        let ratios: Vec<String> = ratios
            .iter()
            .map(|ratio| {
                format!("{:.2} × ({} on {}, {})", ratio.ratio, ratio.system, ratio.device, ratio.by)
            })
            .collect();
        let cells = [
            row.name.clone(),
            row.seq_len.to_string(),
            row.batch.to_string(),
            row.input_size.to_string(),
            row.hidden_size.to_string(),
            row.num_layers.to_string(),
            (1 + u8::from(row.bidirectional)).to_string(),
            format!("{:.3}", row.wall_us.median / 1e3),
            or_dash(row.gpu_us.map(|gpu| format!("{:.3}", gpu.median / 1e3))),
            format!("{:.2}", row.us_per_step),
            or_dash(row.floor_us_per_step.map(|us| format!("{us:.2}"))),
            or_dash(row.bound.clone()),
            row.schedule.clone(),
            row.dispatches.to_string(),
            format!("{:.0}", row.encode_us),
            or_dash(row.max_abs_vs_f64.map(|x| format!("{x:.1e}"))),
            or_dash(Some(ratios.join("; ")).filter(|ratios| !ratios.is_empty())),
        ];
        body.push_str("<tr>");
        cells.iter().for_each(|cell| body.push_str(&format!("<td>{}</td>", text(cell))));
        body.push_str("</tr>");
    }
    body.push_str("</tbody></table></div>");
}

/// A size that rows may differ in.
type Size = (&'static str, fn(&Row) -> usize);

const SIZES: [Size; 3] =
    [("T", |row| row.seq_len), ("H", |row| row.hidden_size), ("B", |row| row.batch)];

/// Points from which on there is something to see.
const CURVE_FROM: usize = 3;

/// A plot for each size in which rows differ that are otherwise alike.
fn scaling(report: &Report) -> Result<String, String> {
    let mut plots = String::new();
    for (size, of) in SIZES {
        let mut curves: Vec<(String, Curve)> = Vec::new();
        for row in report.rows.iter().map(|compared| &compared.row) {
            let rest = rest(row, size);
            let steps = (row.seq_len * row.num_layers) as f64;
            let point = (
                of(row) as f64,
                row.us_per_step * steps,
                row.floor_us_per_step.map(|us| us * steps),
            );
            match curves.iter_mut().find(|(known, _)| *known == rest) {
                Some((_, curve)) => curve.points.push(point),
                None => {
                    curves.push((rest, Curve { name: row.device.clone(), points: vec![point] }))
                }
            }
        }
        let mut curves: Vec<Curve> = curves.into_iter().map(|(_, curve)| curve).collect();
        for curve in &mut curves {
            curve.points.sort_by(|a, b| a.0.total_cmp(&b.0));
            curve.points.dedup_by(|a, b| a.0 == b.0);
        }
        curves.retain(|curve| curve.points.len() >= CURVE_FROM);
        if !curves.is_empty() {
            let _ = write!(plots, "<div>{}</div>", plot::scaling(size, &curves)?);
        }
    }
    Ok(if plots.is_empty() {
        plots
    } else {
        format!("<h2>Scaling</h2><p>Thin lines are floors.</p><div class=\"plots\">{plots}</div>")
    })
}

/// Everything of a row but one size; input as wide as the state grows with it.
fn rest(row: &Row, but: &str) -> String {
    let input_size =
        if row.input_size == row.hidden_size { "H".to_owned() } else { row.input_size.to_string() };
    let sizes: Vec<String> = SIZES
        .iter()
        .filter(|(name, _)| *name != but)
        .map(|(name, of)| format!("{name}={}", of(row)))
        .collect();
    let network = format!("{} {} {}", row.kind, row.num_layers, row.bidirectional);
    format!("{} {network} {input_size} {} {}", identity(row), row.dtype, sizes.join(" "))
}

/// Text as it may stand in XML.
fn text(plain: &str) -> String {
    let mut escaped = String::with_capacity(plain.len());
    for c in plain.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // No XML may hold these.
            c if c.is_control() && c != '\n' && c != '\t' => escaped.push('?'),
            c => escaped.push(c),
        }
    }
    escaped
}
