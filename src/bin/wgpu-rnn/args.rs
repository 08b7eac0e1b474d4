//! Arguments that commands share.

use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use wgpu_rnn::device::{OpenOptions, Selection};
use wgpu_rnn::internals::perf::calibration::Calibration;
use wgpu_rnn::internals::plan::limits::Limits;
use wgpu_rnn::{Device, Error, LoadOptions, Schedule, StateDict, WeightType};

use crate::output::Named;
use crate::terminal::message;

/// Arguments for opening a device.
#[derive(Debug, Args)]
pub struct OpenArgs {
    /// Lower a limit of the device; may be repeated. NAME is memory_budget or a WebGPU limit such
    /// as max_storage_buffer_binding_size. Bytes may have a unit: KB, MB, GB, KiB, MiB or GiB.
    #[arg(long = "limit", value_name = "NAME=VALUE", value_parser = parse_limit)]
    pub limits: Vec<(String, u64)>,
    /// Use the device even if its self-test fails.
    #[arg(long)]
    pub skip_self_test: bool,
    /// Make shaders with run-time checks of indices and loops. Slower; for finding faults.
    #[arg(long)]
    pub runtime_checks: bool,
    /// Use at most this number of threads on the CPU [default: all cores]. No result depends on it.
    #[arg(long, value_name = "N", value_parser = parse_threads)]
    pub threads: Option<usize>,
}

fn parse_threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err(format!("'{text}' is no number of threads: give at least 1")),
        Ok(count) => Ok(count),
    }
}

/// The units of bytes.
const UNITS: [(&str, u64); 6] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

/// Parses a number of bytes, with or without a unit.
fn parse_bytes(text: &str) -> Result<u64, String> {
    let unit = UNITS.into_iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, bytes)));
    let (number, unit) = unit.unwrap_or((text, 1));
    let count: u64 = number.trim_end().parse().map_err(|_| {
        format!(
            "'{text}' is not a whole number, with or without KB, MB, GB, KiB, \
                              MiB or GiB"
        )
    })?;
    count.checked_mul(unit).ok_or_else(|| format!("'{text}' is over {} bytes", u64::MAX))
}

fn parse_limit(text: &str) -> Result<(String, u64), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    if !Limits::NAMES.contains(&name) {
        return Err(format!(
            "unknown limit '{name}': expected one of {}",
            Limits::NAMES.join(", ")
        ));
    }
    let in_bytes = name == "memory_budget" || name.ends_with("_size");
    let value = if in_bytes {
        parse_bytes(value)?
    } else {
        value.parse().map_err(|_| format!("'{value}' is not a whole number"))?
    };
    Ok((name.to_owned(), value))
}

/// Parses the name of a schedule. Usage lists the names.
pub fn schedules() -> impl TypedValueParser<Value = Schedule> {
    let names = Schedule::ALL.iter().map(|schedule| schedule.name());
    PossibleValuesParser::new(names).try_map(|name| name.parse())
}

impl OpenArgs {
    /// Opens a device with the calibration that `calibrate` keeps.
    pub fn open(&self, selection: &Selection) -> Result<Device, Error> {
        self.open_with(selection, self.options())
    }

    /// Opens the one device that a selector names.
    pub fn open_one(&self, selector: &str) -> Result<Device, Error> {
        self.open(&Selection::of(selector)?)
    }

    /// Opens a device as [`open`](Self::open) does, and turns on the clock of the device.
    pub fn open_timed(&self, selection: &Selection) -> Result<Device, Error> {
        self.open_with(selection, self.options().timestamps())
    }

    fn open_with(&self, selection: &Selection, options: OpenOptions) -> Result<Device, Error> {
        selection.open(&match measured(selection) {
            Some(calibration) => options.calibration(calibration),
            None => options,
        })
    }

    pub fn options(&self) -> OpenOptions {
        let mut options = OpenOptions::default().runtime_checks(self.runtime_checks);
        for (name, value) in &self.limits {
            options = options.limit(name, *value);
        }
        if let Some(threads) = self.threads {
            // Copies of tensors run in the global pool. A second device finds it bounded.
            let cores = std::thread::available_parallelism().map_or(threads, usize::from);
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.min(cores));
            let _ = pool.build_global();
            options = options.threads(threads);
        }
        if self.skip_self_test { options.skip_self_test() } else { options }
    }
}

/// Reads the calibration that `calibrate` keeps. A warning reports a file that cannot be used.
pub fn measured(selection: &Selection) -> Option<Calibration> {
    Calibration::find(&selection.id()).unwrap_or_else(|error| {
        anstream::eprintln!("warning: {error}");
        None
    })
}

/// Opens the CPU with the calibration that `calibrate` keeps, if there is one.
pub fn cpu() -> Result<Device, Error> {
    Device::cpu_with(&match measured(&Selection::Cpu) {
        Some(calibration) => OpenOptions::default().calibration(calibration),
        None => OpenOptions::default(),
    })
}

/// Arguments for loading a module on a device.
#[derive(Debug, Args)]
pub struct ModuleArgs {
    /// Select how time steps map to dispatches.
    #[arg(long, default_value_t, value_name = "SCHEDULE", value_parser = schedules())]
    pub schedule: Schedule,
    /// Store weights as f32 or f16. f16 takes half the memory and rounds the weights.
    #[arg(long, default_value = "f32")]
    pub dtype: WeightType,
}

impl ModuleArgs {
    pub fn options(&self) -> LoadOptions {
        LoadOptions::new().schedule(self.schedule).weights(self.dtype)
    }
}

/// Arguments that decide which tensors of a state dict a module uses.
#[derive(Debug, Default, Args)]
pub struct NamesArgs {
    /// Rename a tensor, or a prefix that ends with a dot, before anything reads it; may be
    /// repeated.
    #[arg(long = "map", value_name = "OLD=NEW", value_parser = parse_map)]
    pub maps: Vec<(String, String)>,
    /// Compute the weights that weight_norm (`_g` and `_v`, or parametrizations) and WeightDrop
    /// (`_raw`) store as other tensors.
    #[arg(long)]
    pub fold: bool,
    /// Load without the tensors below the prefix that the module does not use. A note lists them.
    #[arg(long)]
    pub allow_unused: bool,
}

fn parse_map(text: &str) -> Result<(String, String), String> {
    let (old, new) = text.split_once('=').ok_or("expected OLD=NEW")?;
    Ok((old.to_owned(), new.to_owned()))
}

impl NamesArgs {
    /// The arguments, and whether they are set.
    pub fn set(&self) -> [(&'static str, bool); 3] {
        [
            ("--map", !self.maps.is_empty()),
            ("--fold", self.fold),
            ("--allow-unused", self.allow_unused),
        ]
    }

    /// Folds and renames the tensors of a state dict.
    pub fn apply(&self, file: StateDict) -> Result<StateDict, Error> {
        let file = if self.fold { file.folded()? } else { file };
        let maps: Vec<(&str, &str)> =
            self.maps.iter().map(|(old, new)| (old.as_str(), new.as_str())).collect();
        file.renamed(&maps)
    }
}

/// Prints the note of tensors that are not used.
pub fn print_note(note: Option<String>) {
    if let Some(note) = note {
        message!("note: {note}");
    }
}

/// Arguments that name the weights of a module.
#[derive(Debug, Default, Args)]
pub struct WeightsArgs {
    /// Read the state dict from a file of safetensors or of torch.save, or from the index or the
    /// folder of a sharded checkpoint; may be repeated for several files of one state dict. A cell
    /// (`weight_ih` without `_l0`) runs as a layer. Or read a network of an ONNX model.
    #[arg(long, value_name = "FILE", required = true)]
    pub weights: Vec<PathBuf>,
    #[command(flatten)]
    pub key: KeyArgs,
    /// Read the tensors whose names start with a prefix, such as `encoder.rnn.`.
    #[arg(long, default_value = "")]
    pub prefix: String,
    /// Set the nonlinearity of an RNN, which a state dict does not contain: tanh or relu.
    #[arg(long)]
    pub nonlinearity: Option<String>,
    /// Read and write [B, T, features] instead of [T, B, features].
    #[arg(long)]
    pub batch_first: bool,
    /// Run the network of an ONNX model that has the node of this name; `inspect` lists the names
    /// [default: the only network]
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// Run the node of --node alone, without the layers above and below it.
    #[arg(long, requires = "node")]
    pub alone: bool,
    #[command(flatten)]
    pub names: NamesArgs,
}

impl WeightsArgs {
    /// The files that the weights are read from, by argument.
    pub fn files(&self) -> impl Iterator<Item = Named<'_>> {
        self.weights.iter().map(|path| ("--weights", path.as_path()))
    }
}

/// The order of a batched input without `--batch-first`.
pub const TIME_FIRST: &str = "[T, B, I] (use --batch-first for [B, T, I])";
/// An RNN without `--nonlinearity`.
pub use wgpu_rnn::internals::diagnostics::inspect::TANH;

/// The argument that names a dict in a checkpoint.
#[derive(Debug, Default, Args)]
pub struct KeyArgs {
    /// Use the dict under a key of a checkpoint from torch.save, such as `state_dict` or
    /// `model.encoder` [default: the only dict of tensors]
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
}

impl KeyArgs {
    /// The argument, and whether it is set.
    pub fn set(&self) -> [(&'static str, bool); 1] {
        [("--key", self.key.is_some())]
    }

    /// Opens the files of a state dict. A note names the dict that was found in a checkpoint.
    pub fn open(&self, paths: &[impl AsRef<Path>]) -> Result<StateDict, Error> {
        let file = StateDict::open_files(paths, self.key.as_deref())?;
        if let Some(key) = file.key() {
            message!(
                "note: {} is a checkpoint: its dict '{}' is used; --key names another",
                file.path().display(),
                key
            );
        }
        Ok(file)
    }
}

/// Returns the named devices, or `auto` without a name.
pub fn selectors(named: &[String]) -> Vec<String> {
    if named.is_empty() { vec!["auto".to_owned()] } else { named.to_vec() }
}
