//! The result of one measurement: the same fields for this program and for its peers.

use serde::{Deserialize, Serialize};

/// Quantiles of the times of several runs, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Quantiles {
    /// The time that half of the runs exceed.
    pub median: f64,
    /// The shortest time.
    pub min: f64,
    /// The time that one run in twenty exceeds.
    pub p95: f64,
}

impl Quantiles {
    /// The quantiles of `times`; `None` if `times` is empty.
    pub fn from_times(mut times: Vec<f64>) -> Option<Self> {
        times.sort_by(f64::total_cmp);
        let rank = |share: f64| {
            times.get(((times.len() as f64 * share).ceil() as usize).saturating_sub(1)).copied()
        };
        Some(Self { median: rank(0.5)?, min: *times.first()?, p95: rank(0.95)? })
    }
}

/// A measured forward pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Measurement {
    /// The program that ran the pass.
    pub system: String,
    /// The name of the shape.
    #[serde(default)]
    pub name: String,
    /// The device, as [`Device::name`](crate::Device::name) returns it.
    pub device: String,
    /// The backend, as [`Device::backend`](crate::Device::backend) returns it.
    pub backend: String,
    /// The driver, as [`Device::driver`](crate::Device::driver) returns it.
    pub driver: String,
    /// The name of a [`Kind`](crate::Kind), such as `lstm`.
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
    /// The type of the stored weights.
    pub dtype: String,
    /// The name of the schedule that ran.
    #[serde(default)]
    pub schedule: String,
    /// The schedule of the module's options: `auto`, or the name that was asked for.
    #[serde(default)]
    pub schedule_option: String,
    /// Wall time, from the input in host memory to the output in host memory.
    pub wall_us: Quantiles,
    /// Time on the device alone, by the device's clock.
    #[serde(default)]
    pub gpu_us: Option<Quantiles>,
    /// The median of `gpu_us` (of `wall_us` without a clock) for each of the T · L steps.
    pub us_per_step: f64,
    /// The roofline: the least time that a step can take on the device.
    #[serde(default)]
    pub floor_us_per_step: Option<f64>,
    /// The resource that sets the roofline: `weights`, `arithmetic`, `io` or `sync`.
    #[serde(default)]
    pub bound: Option<String>,
    /// Dispatches of the forward pass.
    #[serde(default)]
    pub dispatches: u64,
    /// Time on the host to encode and submit all dispatches.
    #[serde(default)]
    pub encode_us: f64,
    /// Largest difference from the f64 reference; `null` if the output was not compared.
    #[serde(default)]
    pub max_abs_vs_f64: Option<f64>,
    /// Whether every compared value is within the tolerance of f32.
    #[serde(default)]
    pub agrees: Option<bool>,
    /// Time steps that were compared: T unless the reference would take too long.
    #[serde(default)]
    pub compared_steps: usize,
    /// Number of timed runs.
    #[serde(default)]
    pub repetitions: usize,
}

impl Measurement {
    /// Whether both measure the same network on input of the same size.
    pub fn same_shape(&self, other: &Self) -> bool {
        let sizes = |m: &Self| {
            [m.input_size, m.hidden_size, m.num_layers, m.bidirectional.into(), m.seq_len, m.batch]
        };
        self.kind == other.kind && sizes(self) == sizes(other)
    }

    /// Returns the time of `other` divided by the time of `self`, and whether both are device
    /// times.
    ///
    /// Device times count if both systems have them; wall times count otherwise.
    pub fn ratio(&self, other: &Self) -> (f64, bool) {
        match (&self.gpu_us, &other.gpu_us) {
            (Some(own), Some(theirs)) => (theirs.median / own.median, true),
            _ => (other.wall_us.median / self.wall_us.median, false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Measurement, Quantiles};

    #[test]
    fn quantiles_of_few_and_of_many_times() {
        let of =
            |times: &[f64]| Quantiles::from_times(times.to_vec()).map(|q| (q.median, q.min, q.p95));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[3.0]), Some((3.0, 3.0, 3.0)));
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]), Some((2.0, 1.0, 4.0)));
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(of(&hundred), Some((50.0, 1.0, 95.0)));
    }

    /// A measurement of another system with the required fields only.
    fn measurement(median: f64, gpu: Option<f64>) -> Measurement {
        let quantiles = |us: f64| serde_json::json!({"median": us, "min": us, "p95": us});
        let fields = serde_json::json!({
            "system": "other", "device": "d", "backend": "b", "driver": "", "kind": "lstm",
            "input_size": 1, "hidden_size": 2, "num_layers": 3, "bidirectional": true,
            "seq_len": 4, "batch": 5, "dtype": "f32",
            "wall_us": quantiles(median), "gpu_us": gpu.map(quantiles), "us_per_step": 1.0,
        });
        serde_json::from_value(fields).expect("optional fields have defaults")
    }

    #[test]
    fn device_times_are_compared_if_both_have_them() {
        assert_eq!(measurement(10.0, Some(2.0)).ratio(&measurement(30.0, Some(8.0))), (4.0, true));
        assert_eq!(measurement(10.0, Some(2.0)).ratio(&measurement(30.0, None)), (3.0, false));
        assert_eq!(measurement(10.0, None).ratio(&measurement(5.0, Some(8.0))), (0.5, false));
    }

    #[test]
    fn a_shape_is_its_kind_and_all_its_sizes() {
        let one = measurement(1.0, None);
        assert!(one.same_shape(&measurement(2.0, Some(1.0))), "times do not count");
        let others: [fn(&mut Measurement); 7] = [
            |m| m.kind = "gru".to_owned(),
            |m| m.input_size += 1,
            |m| m.hidden_size += 1,
            |m| m.num_layers += 1,
            |m| m.bidirectional = false,
            |m| m.seq_len += 1,
            |m| m.batch += 1,
        ];
        for change in others {
            let mut other = one.clone();
            change(&mut other);
            assert!(!one.same_shape(&other), "{other:?}");
        }
    }
}
