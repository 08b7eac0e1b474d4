//! The places of results: a file, or stdout. A command never writes over a file that it reads.

use std::ffi::OsString;
use std::fmt::{Display, Formatter};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use wgpu_rnn::Error;
use wgpu_rnn::internals::error::drives_terminal;
use wgpu_rnn::internals::fs;

use crate::terminal::not_written;

/// A file that a command reads or writes, with the argument that names it.
pub type Named<'a> = (&'static str, &'a Path);

/// The place of a result: a file, or stdout for `-`. A second opening of `/dev/stdout` would begin
/// at the start of the file behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    Stdout,
    File(PathBuf),
}

impl From<OsString> for Destination {
    fn from(name: OsString) -> Self {
        if name == "-" || name == "/dev/stdout" { Self::Stdout } else { Self::File(name.into()) }
    }
}

impl Display for Destination {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stdout => f.write_str("stdout"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

impl Destination {
    /// The path for error texts.
    pub fn path(&self) -> &Path {
        match self {
            Self::Stdout => Path::new("stdout"),
            Self::File(path) => path,
        }
    }

    /// Refuses, before any work, a file that cannot be written or that is also one of `others`.
    /// `argument` names this place.
    pub fn check(&self, argument: &str, others: &[Named<'_>]) -> Result<(), Error> {
        let Self::File(path) = self else { return Ok(()) };
        let refuse =
            |message: &str| Err(Error::File { path: path.clone(), message: message.to_owned() });
        if !fs::folder(path).is_dir() {
            return refuse("the folder of this file does not exist");
        }
        if path.is_dir() {
            return refuse("is a folder");
        }
        match others.iter().find(|(_, other)| is_same(path, other) || has_shard(other, path)) {
            None => Ok(()),
            Some((other, _)) => Err(Error::Option(format!(
                "{argument} {} is the file of {other}; give another file, which the result does \
                 not destroy",
                path.display()
            ))),
        }
    }

    /// Writes a whole result.
    pub fn write(&self, bytes: &[u8]) -> Result<(), Error> {
        match self {
            Self::File(path) => fs::write(path, bytes),
            Self::Stdout => {
                let mut out = std::io::stdout().lock();
                // A lost result is reported at the end of the program.
                let _ = out.write_all(bytes).and_then(|()| out.flush()).map_err(not_written);
                Ok(())
            }
        }
    }

    /// Whether a second result would replace the first: in a file, but not in a pipe.
    pub fn is_replaced(&self) -> bool {
        match self {
            Self::Stdout => false,
            Self::File(path) => path.is_file() || !path.exists(),
        }
    }
}

/// Whether two paths lead to one file, in whatever spelling and through whatever links. Both files
/// may be yet to be written. Pipes and devices are no files: nothing in them is lost, and to open
/// one could wait for its other end.
fn is_same(one: &Path, other: &Path) -> bool {
    let place =
        |path: &Path| Some((fs::folder(path).canonicalize().ok()?, path.file_name()?.to_owned()));
    match (one.is_file(), other.is_file()) {
        (true, true) => same_file::is_same_file(one, other).unwrap_or(false),
        (false, false) if !one.exists() => place(one).is_some() && place(one) == place(other),
        _ => false,
    }
}

/// Whether a sharded checkpoint, named by its index or its folder, may have a file as a shard.
fn has_shard(checkpoint: &Path, file: &Path) -> bool {
    let index = checkpoint.to_string_lossy().ends_with(".index.json");
    let place = if index { fs::folder(checkpoint) } else { checkpoint };
    let is_weights = file.is_file() && file.extension().is_some_and(|end| end == "safetensors");
    let same = || Some(place.canonicalize().ok()? == fs::folder(file).canonicalize().ok()?);
    is_weights && same().unwrap_or(false)
}

/// Arguments for a report as JSON.
#[derive(Debug, Args)]
pub struct JsonArgs {
    /// Print the report as JSON; with =FILE, write the JSON to a file and print the text.
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "-"
    )]
    pub json: Option<Destination>,
}

impl JsonArgs {
    /// Refuses a file that cannot be written or that the command reads.
    pub fn check(&self, read: &[Named<'_>]) -> Result<(), Error> {
        self.json.iter().try_for_each(|json| json.check("--json", read))
    }

    /// Whether stdout is for text.
    pub fn leaves_stdout(&self) -> bool {
        self.json != Some(Destination::Stdout)
    }

    /// Writes a report, if JSON was asked for.
    pub fn write(&self, report: &impl Serialize) -> Result<(), Error> {
        self.json.iter().try_for_each(|json| json.write(&to_json(json, report)?))
    }
}

/// Returns a report as indented JSON for a place.
pub fn to_json(place: &Destination, report: &impl Serialize) -> Result<Vec<u8>, Error> {
    let refuse = |error: serde_json::Error| Error::Io {
        path: place.path().to_owned(),
        source: error.into(),
    };
    let written = serde_json::to_string_pretty(report).map_err(refuse)?;
    // serde_json escapes only the first 32 characters. Line ends are between values.
    let mut text = String::with_capacity(written.len() + 1);
    for c in written.chars() {
        if c != '\n' && drives_terminal(c) {
            text += &format!("\\u{:04x}", u32::from(c));
        } else {
            text.push(c);
        }
    }
    text.push('\n');
    Ok(text.into_bytes())
}
