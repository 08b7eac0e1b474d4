//! Other systems' figures.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use wgpu_rnn::Error;
use wgpu_rnn::bench::Row;

/// How many times as long another system took.
#[derive(Serialize)]
pub struct Ratio {
    pub system: String,
    pub device: String,
    pub ratio: f64,
    /// Which times were compared: `gpu` where both have them, else `wall`.
    pub by: &'static str,
}

#[derive(Deserialize)]
struct File {
    rows: Vec<Row>,
}

/// The rows of all files.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Io { path: path.clone(), source })?;
        let file: File = serde_json::from_str(&text).map_err(|error| Error::File {
            path: path.clone(),
            message: format!("not a file of rows as `wgpu-rnn bench --json` writes them: {error}"),
        })?;
        rows.extend(file.rows);
    }
    Ok(rows)
}

/// How the peers of the same shape compare with a row.
pub fn ratios(row: &Row, peers: &[Row]) -> Vec<Ratio> {
    let compare = |peer: &Row| {
        let (ratio, by_gpu) = row.ratio(peer);
        let by = if by_gpu { "gpu" } else { "wall" };
        Ratio { system: peer.system.clone(), device: peer.device.clone(), ratio, by }
    };
    peers.iter().filter(|peer| row.same_shape(peer) && row.dtype == peer.dtype).map(compare).collect()
}
