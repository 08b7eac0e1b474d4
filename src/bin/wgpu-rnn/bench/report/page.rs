//! The report as one HTML page with SVG plots: well-formed XML without external resources.

use std::fmt::Write as _;

use super::svg::escape;
use super::text::{figures, headings};
use super::{Entry, Group, Report, plots, scaling, verdict};

const STYLE: &str = "
:root { color-scheme: light dark;
  --ink: #1b1f24; --paper: #ffffff; --faint: #667078; --rule: #d5dade; --box: #f3f5f7; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7ea; --paper: #14171a; --faint: #97a1aa; --rule: #343b41; --box: #1e2327; } }
body { color: var(--ink); background: var(--paper); font: 15px/1.45 system-ui, sans-serif;
  max-width: 1100px; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0.3rem; }
h2 { margin: 2.2rem 0 0.4rem; }
h3 { font-size: 1rem; margin: 0.6rem 0; overflow-wrap: anywhere; }
code { overflow-wrap: anywhere; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; }
th, td { padding: 0.2rem 0.4rem; text-align: right; border-bottom: 1px solid var(--rule); }
th:first-child, td:first-child { text-align: left; }
td:not(:last-child) { white-space: nowrap; }
td:last-child { min-width: 10rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.1rem 0.9rem; margin: 0.6rem 0; }
dt { color: var(--faint); }
dd { margin: 0; }
figure { margin: 0; min-width: 0; }
.verdict { background: var(--box); border-radius: 0.5rem; padding: 0.7rem 1rem; }
.verdict p { font-size: 1.15rem; font-weight: 600; margin: 0 0 0.3rem; }
.verdict ul { margin: 0; padding-left: 1.2rem; }
.legend { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: 0.2rem 1.2rem; }
.scroll { overflow-x: auto; }
.faint { color: var(--faint); }
.plots { display: grid; gap: 1rem 2rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 28rem), 1fr)); }
.curves { grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); }
svg { max-width: 100%; fill: none; stroke-width: 1; overflow: visible; }
svg text { fill: var(--ink); font: 13px system-ui, sans-serif; }
svg .tick { text-anchor: middle; fill: var(--faint); font-size: 12px; }
svg .figure { text-anchor: end; fill: var(--faint); font-size: 12px; }
svg .grid { stroke: var(--rule); }
svg .gap { stroke: var(--faint); }
svg .roofline { stroke: #f97316; stroke-width: 4; }
svg polyline { stroke-width: 2; }
";

/// The letters of sizes, which the names of shapes contain.
const SIZES: &str = "T: time steps · B: rows of the batch · I: input features · H: hidden units · \
                     L: layers · D: directions";

/// The columns of figures.
const KEY: [(&str, &str); 10] = [
    ("wall ms", "a pass, from the input in host memory to the output there"),
    ("gpu ms", "the same pass by the device's clock, if it has one"),
    ("µs/step", "gpu time, or wall time without it, of each of the T · L steps"),
    ("roofline", "the least µs/step that the machine allows, by the figures of `calibrate`"),
    ("%", "roofline / (µs/step)"),
    ("bound", "the resource that sets the roofline"),
    ("schedule", "the way in which steps map to dispatches"),
    ("dispatches", "kernels that a pass starts"),
    ("encode µs", "host time to encode and submit them"),
    ("max abs", "the largest difference from the reference in f64"),
];

/// Returns the page.
pub fn page(report: &Report) -> String {
    let (series, groups) = (plots::series(report), super::groups(report));
    let devices: Vec<&str> = groups.iter().map(|group| group.name()).collect();
    let title = match devices.as_slice() {
        [] => "wgpu-rnn bench".to_owned(),
        devices => format!("wgpu-rnn on {}", devices.join(", ")),
    };
    let mut sentences = verdict::sentences(report, &series).into_iter();
    let first = sentences.next().unwrap_or_default();
    let mut body = format!(
        "<h1>{}</h1><section class=\"verdict\"><p>{}</p>{}</section>{}\
         <p class=\"faint\">{SIZES}</p>",
        escape(&title),
        escape(&first),
        list(sentences),
        origin(report)
    );
    section(
        &mut body,
        "Comparison",
        "The wall time of a pass, from the input in host memory to the output there. Less is \
         better; the axis is logarithmic.",
        &plots::comparison(report, &series),
    );
    if !groups.is_empty() {
        section(&mut body, "Each device", &about_steps(&groups), &plots::steps(&groups));
    }
    let curves = scaling::plots(&series);
    if !curves.is_empty() {
        let marks = series.iter().map(|one| (one.mark, one.title.as_str()));
        let plots = format!("{}<div class=\"plots curves\">{curves}</div>", plots::legend(marks));
        section(&mut body, "Scaling", "The wall time of a pass over one size.", &plots);
    }
    if !groups.is_empty() {
        let figures: String = groups.iter().map(|group| table(group)).collect();
        let key = definitions(KEY.iter().map(|(term, text)| (*term, escape(text))));
        section(&mut body, "Figures", "Medians of repeated passes.", &(key + &figures));
    }
    let skipped = report.skipped.iter().map(ToString::to_string);
    section(&mut body, "Skipped", "", &list(skipped));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\
         <title>{}</title><style>{STYLE}</style></head><body>{body}</body></html>\n",
        escape(&title)
    )
}

/// Adds a section with a heading and a sentence, if it has content.
fn section(body: &mut String, heading: &str, about: &str, content: &str) {
    if !content.is_empty() {
        let about = escape(about);
        let _ = write!(body, "<section><h2>{heading}</h2><p>{about}</p>{content}</section>");
    }
}

/// The date, the command and the machine of the run.
fn origin(report: &Report) -> String {
    let machine = &report.machine;
    let (date, time) = report.started.split_once('T').unwrap_or((&report.started, ""));
    let time = time.get(..5).unwrap_or_default();
    definitions(
        [
            ("date", escape(&format!("{date} {time} UTC"))),
            ("command", format!("<code>{}</code>", escape(&report.command))),
            ("machine", escape(&format!("{}, {} {}", machine.processor, machine.os, machine.arch))),
            ("version", format!("wgpu-rnn {}", machine.version)),
        ]
        .into_iter(),
    )
}

/// Explains the marks that the plots of steps have.
fn about_steps(groups: &[Group<'_>]) -> String {
    let calibrated = |group: &Group<'_>| {
        group.rows.iter().any(|entry| entry.measurement.floor_us_per_step.is_some())
    };
    let strokes = if groups.iter().any(calibrated) {
        " The stroke is the roofline, the least time that the machine allows; the percentage is \
         the share of it that is reached."
    } else {
        ""
    };
    format!("The dot is the time of a step, by the device's clock where it has one.{strokes}")
}

/// A list of terms. The definitions are HTML.
fn definitions<'a>(items: impl Iterator<Item = (&'a str, String)>) -> String {
    let item = |(term, text)| format!("<dt>{}</dt><dd>{text}</dd>", escape(term));
    format!("<dl>{}</dl>", items.map(item).collect::<String>())
}

fn list(items: impl Iterator<Item = String>) -> String {
    let items: String = items.map(|item| format!("<li>{}</li>", escape(&item))).collect();
    if items.is_empty() { items } else { format!("<ul>{items}</ul>") }
}

fn table(group: &Group<'_>) -> String {
    let line = |tag: &str, cells: Vec<String>| -> String {
        let cells = cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escape(cell)));
        format!("<tr>{}</tr>", cells.collect::<String>())
    };
    let sizes = ["shape", "T", "B", "I", "H", "L", "D"];
    let columns = sizes.into_iter().chain(headings()).chain(["other systems"]);
    let columns = line("th", columns.map(str::to_owned).collect());
    let row = |Entry { measurement: m, ratios }: &Entry| {
        let directions = 1 + usize::from(m.bidirectional);
        let sizes = [m.seq_len, m.batch, m.input_size, m.hidden_size, m.num_layers, directions];
        let ratios: Vec<String> = ratios.iter().map(ToString::to_string).collect();
        let mut cells = vec![m.name.clone()];
        cells.extend(sizes.map(|size| size.to_string()));
        cells.extend(figures(m));
        cells.push(if ratios.is_empty() { "-".to_owned() } else { ratios.join("; ") });
        line("td", cells)
    };
    let body: String = group.rows.iter().map(|entry| row(entry)).collect();
    let means = list(group.means.iter().map(ToString::to_string));
    format!(
        "<h3>{}</h3><div class=\"scroll\"><table><thead>{columns}</thead><tbody>{body}</tbody>\
         </table></div>{means}",
        escape(&group.title)
    )
}
