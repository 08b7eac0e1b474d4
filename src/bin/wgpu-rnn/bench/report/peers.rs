//! The measurements of others.

use std::path::PathBuf;

use serde::Deserialize;
use wgpu_rnn::Error;
use wgpu_rnn::internals::diagnostics::bench::Measurement;
use wgpu_rnn::internals::error::printable;
use wgpu_rnn::internals::fs;

/// The measurements in files that `bench --json` or a script of `benches/peers` wrote.
///
/// # Errors
/// [`Error::Io`] if a file cannot be read; [`Error::File`] if it does not have that form.
pub fn read_peers(paths: &[PathBuf]) -> Result<Vec<Measurement>, Error> {
    #[derive(Deserialize)]
    struct File {
        rows: Vec<Measurement>,
    }
    let mut peers = Vec::new();
    for path in paths {
        let text = fs::read_text(path)?;
        let file: File = serde_json::from_str(&text).map_err(|error| Error::File {
            path: path.clone(),
            message: format!("not a file of rows from `wgpu-rnn bench --json`: {error}"),
        })?;
        peers.extend(file.rows.into_iter().map(escaped));
    }
    Ok(peers)
}

/// Escapes the texts of a measurement: other programs wrote them, and a terminal or a page shows
/// them.
fn escaped(mut of: Measurement) -> Measurement {
    let what = [&mut of.system, &mut of.name, &mut of.kind, &mut of.dtype];
    let place = [&mut of.device, &mut of.backend, &mut of.driver];
    let how = [&mut of.schedule, &mut of.schedule_option];
    for text in what.into_iter().chain(place).chain(how).chain(&mut of.bound) {
        *text = printable(text).into_owned();
    }
    of
}
