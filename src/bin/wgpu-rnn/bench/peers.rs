//! Other systems' figures.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use wgpu_rnn::Error;
use wgpu_rnn::internals::diagnostics::bench::Row;

use super::Compared;

/// How many times as long another system took.
#[derive(Serialize)]
pub struct Ratio {
    pub system: String,
    pub device: String,
    pub ratio: f64,
    /// Which times were compared: `gpu` where both have them, else `wall`.
    pub by: &'static str,
}

/// How many times as long another system took on the whole: the geometric mean over the shapes that both ran.
#[derive(Debug, PartialEq, Serialize)]
pub struct Mean {
    /// Ours.
    pub device: String,
    /// Ours.
    pub backend: String,
    pub system: String,
    /// Theirs.
    pub on: String,
    /// As in [`Ratio`]; what was compared otherwise is a mean of its own.
    pub by: &'static str,
    pub ratio: f64,
    /// How many.
    pub shapes: usize,
}

impl Mean {
    /// What it is the mean of.
    fn of(&self) -> [&str; 5] {
        [&self.device, &self.backend, &self.system, &self.on, self.by]
    }
}

#[derive(Deserialize)]
struct File {
    rows: Vec<Row>,
}

/// The rows of all files.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(path)
            .map_err(|source| Error::Io { path: path.clone(), source })?;
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
    peers
        .iter()
        .filter(|peer| row.same_shape(peer) && row.dtype == peer.dtype)
        .map(compare)
        .collect()
}

/// A mean for each device and each system on a device, in the order in which they come.
pub fn means(rows: &[Compared]) -> Vec<Mean> {
    let mut means: Vec<Mean> = Vec::new();
    for Compared { row, ratios } in rows {
        for Ratio { system, device, ratio, by } in ratios {
            let (device, backend, system, on) =
                (row.device.clone(), row.backend.clone(), system.clone(), device.clone());
            // The logarithms' sum, until all are there.
            let one = Mean { device, backend, system, on, by, ratio: ratio.ln(), shapes: 1 };
            match means.iter_mut().find(|mean| mean.of() == one.of()) {
                Some(mean) => {
                    mean.ratio += one.ratio;
                    mean.shapes += 1;
                }
                None => means.push(one),
            }
        }
    }
    means.iter_mut().for_each(|mean| mean.ratio = (mean.ratio / mean.shapes as f64).exp());
    means
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wgpu_rnn::internals::diagnostics::bench::Row;

    use super::{Mean, means, ratios};
    use crate::bench::Compared;

    /// A row of an LSTM of `seq_len` steps that took `us` by the wall's clock, and by the device's.
    fn row(system: &str, device: &str, seq_len: usize, us: f64, gpu_us: Option<f64>) -> Row {
        let spread = |us: f64| json!({"median": us, "min": us, "p95": us});
        let row = json!({
            "system": system, "device": device, "backend": "b", "driver": "", "kind": "lstm", "input_size": 1,
            "hidden_size": 2, "num_layers": 1, "bidirectional": false, "seq_len": seq_len, "batch": 1, "dtype": "f32",
            "wall_us": spread(us), "gpu_us": gpu_us.map(spread), "us_per_step": 1.0,
        });
        serde_json::from_value(row).expect("a row")
    }

    #[test]
    fn means_are_geometric_and_apart_for_each_device_and_system() {
        let peers = [
            row("slow", "p", 1, 200.0, None),
            row("slow", "p", 2, 800.0, None),
            row("slow", "q", 1, 50.0, None),
            row("quick", "p", 2, 25.0, None),
            row("quick", "p", 3, 1.0, None),
            row("clocked", "p", 1, 1.0, Some(40.0)),
            row("clocked", "p", 2, 300.0, None),
        ];
        let ours = [
            row("wgpu-rnn", "d", 1, 100.0, Some(20.0)),
            row("wgpu-rnn", "d", 2, 100.0, Some(20.0)),
            row("wgpu-rnn", "e", 1, 400.0, None),
            row("wgpu-rnn", "d", 4, 100.0, None),
        ];
        let rows = ours.map(|row| Compared { ratios: ratios(&row, &peers), row });
        let got = means(&rows);
        let want = [
            // The geometric mean of 2 and 8; the arithmetic one would be 5.
            ("d", "slow", "p", "wall", 4.0, 2),
            ("d", "slow", "q", "wall", 0.5, 1),
            ("d", "clocked", "p", "gpu", 2.0, 1),
            ("d", "quick", "p", "wall", 0.25, 1),
            ("d", "clocked", "p", "wall", 3.0, 1),
            ("e", "slow", "p", "wall", 0.5, 1),
            ("e", "slow", "q", "wall", 0.125, 1),
            ("e", "clocked", "p", "wall", 0.0025, 1),
        ];
        assert_eq!(got.len(), want.len(), "{got:#?}");
        for (got, (device, system, on, by, ratio, shapes)) in got.iter().zip(want) {
            let named = |text: &str| text.to_owned();
            let (device, backend, system, on) =
                (named(device), named("b"), named(system), named(on));
            // Logarithms round.
            assert!((got.ratio / ratio - 1.0).abs() < 1e-12, "{got:?}, expected {ratio}");
            let want = Mean { device, backend, system, on, by, ratio: got.ratio, shapes };
            assert_eq!(*got, want);
        }
    }

    #[test]
    fn nothing_to_compare_with_gives_no_mean() {
        let ours = row("wgpu-rnn", "d", 1, 100.0, None);
        assert_eq!(means(&[Compared { ratios: ratios(&ours, &[]), row: ours }]), []);
        assert_eq!(means(&[]), []);
    }
}
