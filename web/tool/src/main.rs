//! Makes the npm package and the page out of the WebAssembly module, and serves the page.
//!
//! `scripts/web` calls it, from any folder:
//!
//! ```text
//! wgpu-rnn-web-tool build MODULE.wasm
//! wgpu-rnn-web-tool serve [--port PORT]
//! ```

mod package;
mod serve;
mod site;
mod split;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lexopt::prelude::{Long, Value};
use lexopt::{Parser, ValueExt};

/// `Result` with a text for the user.
type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The port without `--port`.
const PORT: u16 = 8017;

/// A command with its arguments.
enum Command {
    Build(PathBuf),
    Serve(u16),
}

fn main() -> ExitCode {
    match read_arguments().and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scripts/web: {error}");
            ExitCode::FAILURE
        }
    }
}

fn read_arguments() -> Result<Command> {
    let mut arguments = Parser::from_env();
    let command = match arguments.next()? {
        Some(Value(name)) if name == "build" => Command::Build(arguments.value()?.into()),
        Some(Value(name)) if name == "serve" => match arguments.next()? {
            Some(Long("port")) => Command::Serve(arguments.value()?.parse()?),
            None => Command::Serve(PORT),
            Some(other) => return Err(other.unexpected().into()),
        },
        Some(other) => return Err(other.unexpected().into()),
        None => return Err("expected build MODULE.wasm, or serve".into()),
    };
    match arguments.next()? {
        Some(other) => Err(other.unexpected().into()),
        None => Ok(command),
    }
}

fn run(command: Command) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    match command {
        Command::Build(module) => {
            package::build(&root, &module)?;
            site::build(&root)
        }
        Command::Serve(port) => serve::serve(&root.join(site::FOLDER), port),
    }
}

/// Adds the path to an error of the file system.
fn at<T>(path: &Path, result: std::io::Result<T>) -> Result<T> {
    result.map_err(|error| format!("{}: {error}", path.display()).into())
}

/// Returns an empty folder. Its files from an earlier run are removed.
fn empty(folder: &Path) -> Result<()> {
    if folder.exists() {
        at(folder, std::fs::remove_dir_all(folder))?;
    }
    at(folder, std::fs::create_dir_all(folder))
}

/// Copies a folder with all its files and folders into another.
fn copy(from: &Path, to: &Path) -> Result<()> {
    at(to, std::fs::create_dir_all(to))?;
    for entry in at(from, std::fs::read_dir(from))? {
        let entry = at(from, entry)?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if at(&from, entry.file_type())?.is_dir() {
            copy(&from, &to)?;
        } else {
            at(&from, std::fs::copy(&from, &to))?;
        }
    }
    Ok(())
}
