//! `wgpu-rnn bench`.

mod explain;
mod report;
mod soak;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;
use wgpu_rnn::device::Selection;
use wgpu_rnn::internals::diagnostics::bench::{Attempt, Options, Shape, Suite, Workload};
use wgpu_rnn::{Config, Device, Error, Kind, Params, Schedule};

use crate::Outcome;
use crate::args::{KeyArgs, ModuleArgs, OpenArgs, WeightsArgs, selectors};
use crate::output::{Destination, Named, to_json};
use crate::run::load;
use crate::terminal::progress;
use report::{Report, Skipped, Table};

#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Measure a suite of shapes: networks in use (quick: the fast ones), a scaling of T, H and B,
    /// the shapes for comparisons with other systems, or pairs that differ by the work of a kernel
    /// [default: quick]
    #[arg(long, value_parser = PossibleValuesParser::new(Suite::NAMES))]
    pub suite: Option<String>,
    /// Measure one shape instead of a suite: rnn_tanh, rnn_relu, lstm (the default) or gru.
    #[arg(long, conflicts_with = "suite")]
    pub kind: Option<Kind>,
    /// Set the input features of the one shape [default: H]
    #[arg(long, value_name = "I", conflicts_with = "suite")]
    pub input_size: Option<usize>,
    /// Set the hidden units of the one shape [default: 256]
    #[arg(long, value_name = "H", conflicts_with = "suite")]
    pub hidden_size: Option<usize>,
    /// Set the layers of the one shape [default: 1]
    #[arg(long, value_name = "L", conflicts_with = "suite")]
    pub num_layers: Option<usize>,
    /// Give the one shape two directions.
    #[arg(long, conflicts_with = "suite")]
    pub bidirectional: bool,
    /// Measure the network of a file as the one shape: a state dict or an ONNX model.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all =
            ["suite", "kind", "input_size", "hidden_size", "num_layers", "bidirectional"]
    )]
    pub weights: Option<PathBuf>,
    /// Use the dict under a key of a checkpoint of --weights.
    #[arg(long, value_name = "KEY", requires = "weights")]
    pub key: Option<String>,
    /// Measure the tensors of --weights whose names start with a prefix.
    #[arg(long, default_value = "", requires = "weights")]
    pub prefix: String,
    /// Measure the network of an ONNX model that has the node of this name.
    #[arg(long, value_name = "NAME", requires = "weights")]
    pub node: Option<String>,
    /// Set the time steps of the one shape [default: 100]
    #[arg(long, value_name = "T", conflicts_with = "suite")]
    pub seq_len: Option<usize>,
    /// Set the rows of the one shape [default: 1]
    #[arg(long, value_name = "B", conflicts_with = "suite")]
    pub batch: Option<usize>,
    #[command(flatten)]
    pub module: ModuleArgs,
    /// Measure with `auto`, then with each schedule by name; a refusal is no error.
    #[arg(long, conflicts_with = "schedule")]
    pub each_schedule: bool,
    /// Run each shape until this number of time steps instead of timing it, and compare the bits
    /// of every pass with those of the first.
    #[arg(long, value_name = "STEPS", conflicts_with_all = ["explain", "html", "with"])]
    pub soak: Option<u64>,
    /// Explain the schedule, the roofline and the expected speed of the CPU for each shape.
    #[arg(long)]
    pub explain: bool,
    /// Measure on auto, cpu, all, an index from `devices`, or part of an adapter's name; may be
    /// repeated [default: auto]
    #[arg(long = "device", value_name = "DEVICE")]
    pub devices: Vec<String>,
    /// Limit the time for one shape on one device: a slower shape gets fewer repetitions, or is
    /// skipped.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = parse_seconds)]
    pub seconds: f64,
    /// Limit the timed runs of one shape on one device.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub repetitions: usize,
    /// Print the results as JSON, or write them to a file. A stopped run leaves its rows in the
    /// file.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    pub json: Option<Destination>,
    /// Write the results with plots to an HTML file; - stands for stdout.
    #[arg(long, value_name = "FILE")]
    pub html: Option<Destination>,
    /// Compare with other systems: a JSON file of `bench` or of benches/peers; may be repeated.
    #[arg(long, value_name = "FILE")]
    pub with: Vec<PathBuf>,
    #[command(flatten)]
    pub open: OpenArgs,
}

/// A device, or the reason why it cannot be used.
struct Target {
    title: String,
    device: Result<Device, Error>,
}

pub fn bench(args: &BenchArgs) -> Result<Outcome, Error> {
    args.check_outputs()?;
    let peers = report::read_peers(&args.with)?;
    let (shapes, given) = shapes(args)?;
    let targets = targets(args)?;
    let schedules = schedules(args);
    if let Some(steps) = args.soak {
        return soak::soak(args, (&shapes, given.as_ref()), &targets, &schedules, steps);
    }
    let budget = Duration::from_secs_f64(args.seconds);
    let options = Options::default().budget(budget).repetitions(args.repetitions.max(1));
    let devices = targets.iter().flat_map(|target| &target.device);
    let calibrations = devices.map(|device| device.calibration().clone()).collect();
    let planned = shapes.len() * targets.len() * schedules.len();
    let mut report = report::start(calibrations, peers, planned);
    let titles: Vec<&str> = targets.iter().map(|target| target.title.as_str()).collect();
    let names = shapes.iter().map(|shape| shape.name.as_str());
    let mut table = Table::new(args.leaves_stdout(), names, &titles);
    let mut failed = targets.iter().any(|target| target.device.is_err());
    let bar = progress(planned, "bench");
    // Devices alternate, so that a disturbance of the machine affects all of them.
    for shape in &shapes {
        bar.set_message(format!("{}: reference", shape.name));
        let workload = workload(args, shape, given.as_ref())?;
        for (Target { title, device }, &schedule) in pairs(&targets, &schedules) {
            bar.set_message(format!("{} on {title} ({schedule})", shape.name));
            let module = args.module.options().schedule(schedule);
            let options = options.clone().module(module);
            let attempt = match device {
                Err(error) => Ok(Attempt::Skipped(error.to_string())),
                Ok(device) => workload.measure(device, device.calibration(), &options),
            };
            let reason = match attempt {
                Ok(Attempt::Measured(measurement)) => {
                    let row = report.add(*measurement);
                    bar.suspend(|| table.row(row));
                    None
                }
                Ok(Attempt::Skipped(reason)) => Some(reason),
                Ok(other) => Some(format!("{other:?}")),
                Err(error) => {
                    failed |= !refused(args, &error);
                    Some(error.to_string())
                }
            };
            if let Some(reason) = reason {
                let skipped = Skipped::new(title, &shape.name, schedule, reason);
                bar.suspend(|| table.skipped(&skipped));
                report.skip(skipped);
            }
            args.keep(&report, false)?;
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    table.end(&report);
    args.keep(&report, true)?;
    if args.explain {
        explain::print(&shapes, &targets, &args.module.options())?;
    }
    Ok(if report.disagrees() {
        Outcome::Disagreed
    } else if failed || report.is_empty() {
        Outcome::Incomplete
    } else {
        Outcome::Agreed
    })
}

impl BenchArgs {
    /// Refuses files that cannot be written, or that the command reads.
    fn check_outputs(&self) -> Result<(), Error> {
        let read = self.with.iter().map(|path| ("--with", path.as_path()));
        let weights = self.weights.iter().map(|path| ("--weights", path.as_path()));
        let read: Vec<Named<'_>> = read.chain(weights).collect();
        if let Some(json) = &self.json {
            json.check("--json", &read)?;
        }
        if let Some(html) = &self.html {
            let json = self.json.iter().filter(|json| **json != Destination::Stdout);
            let json = json.map(|json| ("--json", json.path()));
            html.check("--html", &[read, json.collect()].concat())?;
        }
        let both = [&self.json, &self.html].map(|place| *place == Some(Destination::Stdout));
        if both == [true, true] || (self.explain && both.contains(&true)) {
            let other = if both[1] && both[0] { "--json and --html" } else { "--explain" };
            return Err(Error::Option(format!(
                "stdout is for one result, and {other} would add another; give a file"
            )));
        }
        Ok(())
    }

    /// Whether stdout is for text.
    fn leaves_stdout(&self) -> bool {
        ![&self.json, &self.html].contains(&&Some(Destination::Stdout))
    }

    /// Writes the results, or those so far, so that a stopped run keeps its rows. A file is
    /// replaced as a whole each time: not even a killed run leaves a part. Pipes get the last
    /// results only.
    fn keep(&self, report: &Report, last: bool) -> Result<(), Error> {
        let now = |place: &&Destination| last || place.is_replaced();
        if let Some(json) = self.json.as_ref().filter(now) {
            json.write(&to_json(json, report)?)?;
        }
        if let Some(html) = self.html.as_ref().filter(now) {
            html.write(report::page(report).as_bytes())?;
        }
        Ok(())
    }
}

/// The schedules to measure: the one of `--schedule`, or each.
fn schedules(args: &BenchArgs) -> Vec<Schedule> {
    if args.each_schedule { Schedule::ALL.to_vec() } else { vec![args.module.schedule] }
}

/// Each device with each schedule.
fn pairs<'a>(
    targets: &'a [Target],
    schedules: &'a [Schedule],
) -> impl Iterator<Item = (&'a Target, &'a Schedule)> {
    targets.iter().flat_map(|target| schedules.iter().map(move |schedule| (target, schedule)))
}

/// Whether an error only says that one of all schedules does not run a shape.
fn refused(args: &BenchArgs, error: &Error) -> bool {
    args.each_schedule && matches!(error, Error::Unsupported(_))
}

/// Parses a time limit. The least is a millisecond.
fn parse_seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("'{text}' is not a number of seconds"))?;
    if (0.0..=86_400.0).contains(&seconds) {
        Ok(seconds.max(1e-3))
    } else {
        Err(format!("{text} seconds are out of range: give 0 to 86400 (a day)"))
    }
}

/// The shape with drawn weights, or with those of a file.
fn workload(args: &BenchArgs, shape: &Shape, given: Option<&Params>) -> Result<Workload, Error> {
    let sizes = (shape.sizes.seq_len, shape.sizes.batch);
    match given {
        Some(params) => Workload::of_params(params, sizes, args.module.dtype),
        None => Workload::new(shape, args.module.dtype),
    }
}

/// The shapes of a suite, or the one shape that flags or a file describe; the weights of a file.
fn shapes(args: &BenchArgs) -> Result<(Vec<Shape>, Option<Params>), Error> {
    let (seq_len, batch) = (args.seq_len.unwrap_or(100), args.batch.unwrap_or(1));
    if let Some(path) = &args.weights {
        let weights = WeightsArgs {
            weights: vec![path.clone()],
            key: KeyArgs { key: args.key.clone() },
            prefix: args.prefix.clone(),
            node: args.node.clone(),
            ..WeightsArgs::default()
        };
        let network = load(&weights)?;
        let config = network.params.config().clone().batch_first(false);
        let name = format!("{config} T={seq_len} B={batch}");
        return Ok((vec![Shape::new(name, config, seq_len, batch)], Some(network.params)));
    }
    let sizes = [args.input_size, args.hidden_size, args.num_layers, args.seq_len, args.batch];
    if args.kind.is_none() && !args.bidirectional && sizes.iter().all(Option::is_none) {
        let suite = args.suite.as_deref().and_then(Suite::parse).unwrap_or(Suite::Quick);
        return Ok((suite.shapes(), None));
    }
    let hidden_size = args.hidden_size.unwrap_or(256);
    let input_size = args.input_size.unwrap_or(hidden_size);
    let (kind, num_layers) = (args.kind.unwrap_or(Kind::Lstm), args.num_layers.unwrap_or(1));
    let config = Config::new(kind, input_size, hidden_size)
        .num_layers(num_layers)
        .bidirectional(args.bidirectional);
    let directions = config.num_directions();
    let name = format!(
        "{kind} T={seq_len} B={batch} I={input_size} H={hidden_size} L={num_layers} D={directions}"
    );
    Ok((vec![Shape::new(name, config, seq_len, batch)], None))
}

/// Opens the selected devices. A device that fails is an error only if it is the only one.
fn targets(args: &BenchArgs) -> Result<Vec<Target>, Error> {
    let selections = Selection::of_all(&selectors(&args.devices))?;
    let alone = selections.len() == 1;
    let mut targets = Vec::new();
    for selection in selections {
        let device = args.open.open_timed(&selection);
        let device = if alone { Ok(device?) } else { device };
        if let Ok(device) = &device {
            note_missing_roofline(device);
        }
        targets.push(Target { title: selection.title(), device });
    }
    Ok(targets)
}

fn note_missing_roofline(device: &Device) {
    if !device.calibration().measured {
        anstream::eprintln!(
            "note: no roofline for {device}: `wgpu-rnn calibrate` measures its constants"
        );
    }
}
