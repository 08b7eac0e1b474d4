//! What a measurement gives: one form for this program and for those that it is compared with.

use serde::{Deserialize, Serialize};

/// Times of several runs, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Half of the runs took longer.
    pub median: f64,
    /// The shortest.
    pub min: f64,
    /// One run in twenty took longer.
    pub p95: f64,
}

impl Spread {
    /// Of the times of some runs; `None` of none.
    pub fn of(mut times: Vec<f64>) -> Option<Self> {
        times.sort_by(f64::total_cmp);
        let rank = |share: f64| {
            times.get(((times.len() as f64 * share).ceil() as usize).saturating_sub(1)).copied()
        };
        Some(Self { median: rank(0.5)?, min: *times.first()?, p95: rank(0.95)? })
    }
}

/// A forward pass, measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Which program ran it.
    pub system: String,
    /// What the shape is known as.
    #[serde(default)]
    pub name: String,
    /// As [`Device::name`](crate::Device::name).
    pub device: String,
    /// As [`Device::backend`](crate::Device::backend).
    pub backend: String,
    /// As [`Device::driver`](crate::Device::driver).
    pub driver: String,
    /// As [`Kind`](crate::Kind) is written: `lstm`.
    pub kind: String,
    /// I.
    pub input_size: usize,
    /// H.
    pub hidden_size: usize,
    /// L.
    pub num_layers: usize,
    /// Whether D is 2.
    pub bidirectional: bool,
    /// T.
    pub seq_len: usize,
    /// B.
    pub batch: usize,
    /// How weights are stored.
    pub dtype: String,
    /// How the recurrence is laid on the machine.
    #[serde(default)]
    pub schedule: String,
    /// From the input in host memory to the output in host memory.
    pub wall_us: Spread,
    /// On the device alone, by its own clock.
    #[serde(default)]
    pub gpu_us: Option<Spread>,
    /// The median of `gpu_us`, or else of `wall_us`, for each of the T · L steps.
    pub us_per_step: f64,
    /// The least that the same can take.
    #[serde(default)]
    pub floor_us_per_step: Option<f64>,
    /// What the floor is spent on: `weights`, `arithmetic`, `io` or `sync`.
    #[serde(default)]
    pub bound: Option<String>,
    /// Dispatches of the forward pass.
    #[serde(default)]
    pub dispatches: u64,
    /// What the host takes to encode and submit them all.
    #[serde(default)]
    pub encode_us: f64,
    /// Largest difference from the definition in f64; `null` where it was not compared.
    #[serde(default)]
    pub max_abs_vs_f64: Option<f64>,
    /// Whether every value compared is within the tolerance of f32.
    #[serde(default)]
    pub agrees: Option<bool>,
    /// Time steps of the run that was compared; T where that is cheap.
    #[serde(default)]
    pub compared_steps: usize,
    /// How often it was timed.
    #[serde(default)]
    pub repetitions: usize,
}

impl Row {
    /// Whether both are the same network on input of the same size.
    pub fn same_shape(&self, other: &Self) -> bool {
        let sizes = |r: &Self| {
            [r.input_size, r.hidden_size, r.num_layers, r.bidirectional.into(), r.seq_len, r.batch]
        };
        self.kind == other.kind && sizes(self) == sizes(other)
    }

    /// How many times as long `other` took, and whether by the clocks of the devices: both have to have one.
    pub fn ratio(&self, other: &Self) -> (f64, bool) {
        match (&self.gpu_us, &other.gpu_us) {
            (Some(own), Some(theirs)) => (theirs.median / own.median, true),
            _ => (other.wall_us.median / self.wall_us.median, false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Row, Spread};

    #[test]
    fn spreads() {
        let spread = |times: &[f64]| Spread::of(times.to_vec()).map(|s| (s.median, s.min, s.p95));
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[3.0]), Some((3.0, 3.0, 3.0)));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]), Some((2.0, 1.0, 4.0)));
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(spread(&hundred), Some((50.0, 1.0, 95.0)));
    }

    /// The least that a row of another system may hold.
    fn row(median: f64, gpu: Option<f64>) -> Row {
        let spread = |us: f64| serde_json::json!({"median": us, "min": us, "p95": us});
        let row = serde_json::json!({
            "system": "other", "device": "d", "backend": "b", "driver": "", "kind": "lstm", "input_size": 1,
            "hidden_size": 2, "num_layers": 3, "bidirectional": true, "seq_len": 4, "batch": 5, "dtype": "f32",
            "wall_us": spread(median), "gpu_us": gpu.map(spread), "us_per_step": 1.0,
        });
        serde_json::from_value(row).expect("what is not there has a default")
    }

    #[test]
    fn clocks_of_devices_are_compared_where_both_have_one() {
        assert_eq!(row(10.0, Some(2.0)).ratio(&row(30.0, Some(8.0))), (4.0, true));
        assert_eq!(row(10.0, Some(2.0)).ratio(&row(30.0, None)), (3.0, false));
        assert_eq!(row(10.0, None).ratio(&row(5.0, Some(8.0))), (0.5, false));
    }

    #[test]
    fn a_shape_is_all_of_its_sizes() {
        let one = row(1.0, None);
        assert!(one.same_shape(&row(2.0, Some(1.0))), "times are no part of it");
        let others: [fn(&mut Row); 7] = [
            |row| row.kind = "gru".to_owned(),
            |row| row.input_size += 1,
            |row| row.hidden_size += 1,
            |row| row.num_layers += 1,
            |row| row.bidirectional = false,
            |row| row.seq_len += 1,
            |row| row.batch += 1,
        ];
        for change in others {
            let mut other = one.clone();
            change(&mut other);
            assert!(!one.same_shape(&other), "{other:?}");
        }
    }
}
