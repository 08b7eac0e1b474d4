//! The systems, one in each file.

#[cfg(feature = "burn")]
mod burn;
#[cfg(feature = "candle")]
mod candle;
#[cfg(feature = "rten")]
mod rten;
#[cfg(feature = "tract")]
mod tract;

#[cfg(not(any(feature = "burn", feature = "candle", feature = "rten", feature = "tract")))]
compile_error!("no system to time: turn on a feature of burn, candle, rten, tract");

use std::error::Error;

use serde_json::Value;

use crate::shape::Shape;

/// An adapter of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adapter {
    pub name: String,
    /// The name of the backend in wgpu.
    pub backend: String,
    pub driver: String,
}

impl Adapter {
    /// Reads the adapter of a row; `None` for a row of the CPU or without a device.
    pub fn from_row(row: &Value) -> Option<Self> {
        let text = |key: &str| row[key].as_str().map(str::to_owned);
        let adapter =
            Self { name: text("device")?, backend: text("backend")?, driver: text("driver")? };
        Some(adapter).filter(|adapter| adapter.backend != "cpu")
    }
}

/// The output of a forward pass.
#[derive(Debug)]
pub struct Output {
    pub dims: Vec<usize>,
    pub values: Vec<f32>,
}

/// A forward pass from an input in host memory, which it owns, to an output in host memory.
pub type Forward = Box<dyn FnMut() -> Result<Output, Box<dyn Error>>>;

/// Builds the forward pass of a shape with its input, or returns the reason why it cannot.
type Build = Box<dyn Fn(&Shape, Vec<f32>) -> Result<Forward, Box<dyn Error>>>;

/// A system on a device.
pub struct System {
    /// The name with the version.
    pub name: String,
    pub device: String,
    pub backend: String,
    pub driver: String,
    /// Whether the batch is the first axis of input and output.
    pub batch_first: bool,
    pub build: Build,
}

impl System {
    /// A system on the CPU with its default number of threads.
    fn cpu(
        package: &str,
        batch_first: bool,
        build: impl Fn(&Shape, Vec<f32>) -> Result<Forward, Box<dyn Error>> + 'static,
    ) -> Self {
        let build = Box::new(build);
        let cpu = || "cpu".to_owned();
        Self {
            name: named(package),
            device: cpu(),
            backend: cpu(),
            driver: String::new(),
            batch_first,
            build,
        }
    }
}

/// Returns the systems of this build. Only burn runs on adapters.
pub fn all(adapters: &[Adapter]) -> Vec<System> {
    let mut systems: Vec<System> = Vec::new();
    #[cfg(feature = "burn")]
    systems.extend(burn::systems(adapters));
    #[cfg(feature = "candle")]
    systems.push(candle::system());
    #[cfg(feature = "rten")]
    systems.push(rten::system());
    #[cfg(feature = "tract")]
    systems.push(tract::system());
    #[cfg(not(feature = "burn"))]
    adapters
        .iter()
        .for_each(|adapter| eprintln!("{}: no system: this build lacks burn", adapter.name));
    systems
}

/// Returns the name of a package with its version in Cargo.lock.
fn named(package: &str) -> String {
    let lock = include_str!("../../Cargo.lock");
    let version = lock
        .split_once(&format!("name = \"{package}\"\nversion = \""))
        .and_then(|(_, rest)| rest.split('"').next());
    format!("{package} {}", version.unwrap_or("of unknown version"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::measure::measure;
    use crate::shape::{Kind, Shape};

    #[test]
    fn systems_run_the_networks_that_they_have() {
        for system in super::all(&[]) {
            let package = system.name.split(' ').next().unwrap_or_default();
            for kind in [Kind::RnnTanh, Kind::RnnRelu, Kind::Lstm, Kind::Gru] {
                for bidirectional in [false, true] {
                    let rnn = matches!(kind, Kind::RnnTanh | Kind::RnnRelu);
                    let has = match package {
                        "candle-nn" => !rnn && !bidirectional,
                        "rten" => !rnn,
                        _ => true,
                    };
                    for num_layers in [1, 3] {
                        let (seq_len, batch, input_size, hidden_size) = (5, 3, 7, 4);
                        let shape = Shape {
                            kind,
                            seq_len,
                            batch,
                            input_size,
                            hidden_size,
                            num_layers,
                            bidirectional,
                        };
                        match measure(&system, &shape, Duration::ZERO) {
                            Ok(row) => {
                                assert!(has, "{package} should lack {shape}");
                                assert!(
                                    row["wall_us"]["median"].as_f64().is_some_and(|us| us > 0.0),
                                    "{row}"
                                );
                                assert_eq!(Shape::from_row(&row), Some(shape), "{row}");
                            }
                            Err(error) => assert!(!has, "{package}, {shape}: {error}"),
                        }
                    }
                }
            }
        }
    }

    /// Two readers agree on a model only if it is right.
    #[cfg(all(feature = "rten", feature = "tract"))]
    #[test]
    fn rten_and_tract_agree_on_the_models() {
        for (kind, bidirectional) in
            [(Kind::Lstm, false), (Kind::Lstm, true), (Kind::Gru, false), (Kind::Gru, true)]
        {
            let shape = Shape {
                kind,
                seq_len: 5,
                batch: 3,
                input_size: 7,
                hidden_size: 4,
                num_layers: 2,
                bidirectional,
            };
            let input: Vec<f32> = (0..5 * 3 * 7).map(|i| (i as f32).sin()).collect();
            let run = |system: super::System| {
                let forward = (system.build)(&shape, input.clone());
                forward
                    .and_then(|mut forward| forward())
                    .unwrap_or_else(|error| panic!("{}: {error}", system.name))
            };
            let (rten, tract) = (run(super::rten::system()), run(super::tract::system()));
            assert_eq!(rten.dims, tract.dims, "{shape}");
            for (at, (a, b)) in rten.values.iter().zip(&tract.values).enumerate() {
                assert!((a - b).abs() < 1e-5, "{shape}: value {at} is {a} to rten, {b} to tract");
            }
        }
    }

    #[test]
    fn versions_are_those_of_the_lock_file() {
        let name = super::named("serde_json");
        assert!(name.starts_with("serde_json 1."), "{name}");
        assert_eq!(super::named("no such package"), "no such package of unknown version");
    }
}
