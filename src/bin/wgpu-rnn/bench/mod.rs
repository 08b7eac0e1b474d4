//! `wgpu-rnn bench`.

mod explain;
mod html;
mod peers;
mod plot;
mod table;

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use wgpu_rnn::device::Selection;
use wgpu_rnn::internals::diagnostics::bench::{
    Options, Outcome as Measured, Prepared, Row, Shape, Suite,
};
use wgpu_rnn::internals::engine::cpu;
use wgpu_rnn::internals::fs;
use wgpu_rnn::internals::params::validate::Sizes;
use wgpu_rnn::internals::perf::calibration::Calibration;
use wgpu_rnn::{Config, Device, Error, Kind};

use crate::Outcome;
use crate::args::{BenchArgs, selectors};
use crate::terminal::progress;
use peers::{Mean, Ratio};

/// Everything that was found out.
#[derive(Serialize)]
struct Report {
    machine: Machine,
    /// The constants that floors are computed from.
    calibrations: Vec<Calibration>,
    rows: Vec<Compared>,
    skipped: Vec<Skipped>,
    /// How other systems compare on the whole.
    means: Vec<Mean>,
    /// Rows of other systems.
    peers: Vec<Row>,
}

#[derive(Serialize)]
struct Machine {
    os: &'static str,
    arch: &'static str,
    processor: String,
    version: &'static str,
}

/// A row, and how it compares.
#[derive(Serialize)]
struct Compared {
    #[serde(flatten)]
    row: Row,
    ratios: Vec<Ratio>,
}

/// What was not measured.
#[derive(Serialize)]
struct Skipped {
    device: String,
    name: String,
    reason: String,
}

/// A device with what is known of it; or why it cannot be used.
struct Target {
    title: String,
    device: Result<(Device, Calibration), Error>,
}

pub fn bench(args: &BenchArgs) -> Result<Outcome, Error> {
    for path in args.json.iter().chain(&args.html) {
        writable(path)?;
    }
    let peers = peers::read(&args.with)?;
    let shapes = shapes(args);
    let targets = targets(args)?;
    let budget = Duration::from_secs(args.seconds.max(1));
    let options = Options { budget, module: args.module.options(), ..Options::default() };
    let mut report = Report {
        machine: Machine {
            os: std::env::consts::OS,
            arch: std::env::consts::ARCH,
            processor: cpu::id().driver,
            version: env!("CARGO_PKG_VERSION"),
        },
        calibrations: targets
            .iter()
            .flat_map(|target| &target.device)
            .map(|(_, known)| known.clone())
            .collect(),
        rows: Vec::new(),
        skipped: Vec::new(),
        means: Vec::new(),
        peers: Vec::new(),
    };
    let bar = progress(shapes.len() * targets.len(), "bench");
    let mut failed = false;
    // Devices take turns, so that what disturbs the machine for a while disturbs all of them.
    for shape in &shapes {
        bar.set_message(format!("{}: the definition", shape.name));
        let prepared = Prepared::new(shape, args.module.dtype)?;
        for Target { title, device } in &targets {
            bar.set_message(format!("{} on {title}", shape.name));
            let mut skip = |reason: String| {
                report.skipped.push(Skipped {
                    device: title.clone(),
                    name: shape.name.clone(),
                    reason,
                });
            };
            let measured = match device {
                Ok((device, calibration)) => prepared.measure(device, calibration, &options),
                Err(error) => {
                    skip(error.to_string());
                    bar.inc(1);
                    continue;
                }
            };
            match measured {
                Ok(Measured::Measured(row)) => {
                    let ratios = peers::ratios(&row, &peers);
                    report.rows.push(Compared { row: *row, ratios });
                }
                Ok(Measured::Skipped(reason)) => skip(reason),
                Err(error) => {
                    failed = true;
                    skip(error.to_string());
                }
            }
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    failed |= targets.iter().any(|target| target.device.is_err());
    report.means = peers::means(&report.rows);
    report.peers = peers;
    table::print(&report);
    if args.explain {
        explain::print(&shapes, &targets, &options.module)?;
    }
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&report)
            .map_err(|error| Error::File { path: path.clone(), message: error.to_string() })?;
        fs::write(path, text.as_bytes())?;
    }
    if let Some(path) = &args.html {
        let page =
            html::page(&report).map_err(|message| Error::File { path: path.clone(), message })?;
        fs::write(path, page.as_bytes())?;
    }
    Ok(if report.rows.iter().any(|compared| compared.row.agrees == Some(false)) {
        Outcome::Disagreed
    } else if failed || report.rows.is_empty() {
        Outcome::Incomplete
    } else {
        Outcome::Agreed
    })
}

/// The shapes that were asked for: a suite, or the one that flags describe.
fn shapes(args: &BenchArgs) -> Vec<Shape> {
    let sizes = [args.input_size, args.hidden_size, args.num_layers, args.seq_len, args.batch];
    if args.kind.is_none() && !args.bidirectional && sizes.iter().all(Option::is_none) {
        return args.suite.as_deref().and_then(Suite::of).unwrap_or(Suite::Quick).shapes();
    }
    let hidden_size = args.hidden_size.unwrap_or(256);
    let input_size = args.input_size.unwrap_or(hidden_size);
    let (num_layers, seq_len) = (args.num_layers.unwrap_or(1), args.seq_len.unwrap_or(100));
    let (kind, batch) = (args.kind.unwrap_or(Kind::Lstm), args.batch.unwrap_or(1));
    let config = Config::new(kind, input_size, hidden_size)
        .num_layers(num_layers)
        .bidirectional(args.bidirectional);
    let directions = config.num_directions();
    let name = format!(
        "{kind} T={seq_len} B={batch} I={input_size} H={hidden_size} L={num_layers} D={directions}"
    );
    vec![Shape { name, config, sizes: Sizes { seq_len, batch } }]
}

/// The devices that were asked for, opened. With several of them one that cannot be used does not stop the others.
fn targets(args: &BenchArgs) -> Result<Vec<Target>, Error> {
    let choices = Selection::of_all(&selectors(&args.devices))?;
    let alone = choices.len() == 1;
    let mut targets = Vec::new();
    for choice in choices {
        let device = args.open.open_timed(&choice).map(|device| {
            let calibration = known(&device);
            (device, calibration)
        });
        if alone {
            let device = Ok(device?);
            return Ok(vec![Target { title: choice.title(), device }]);
        }
        targets.push(Target { title: choice.title(), device });
    }
    Ok(targets)
}

/// The figures of a device, with a note where they are only typical of its type.
fn known(device: &Device) -> Calibration {
    if !device.calibration().measured {
        anstream::eprintln!(
            "note: no floors for {device}, which was not measured: `wgpu-rnn calibrate` does it"
        );
    }
    device.calibration().clone()
}

/// Refuses a file that could not be written in the end, before anything is measured.
fn writable(path: &Path) -> Result<(), Error> {
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let refuse =
        |message: &str| Err(Error::File { path: path.to_owned(), message: message.to_owned() });
    match () {
        () if !folder.is_dir() => refuse("the folder that it is to be written to does not exist"),
        () if path.is_dir() => refuse("is a folder"),
        () => Ok(()),
    }
}
