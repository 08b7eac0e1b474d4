//! The definition of a model: configurations, parameters and state dicts.

mod activation;
mod blocks;
pub mod config;
mod conventions;
mod files;
mod kind;
pub mod language_model;
mod loading;
pub(crate) mod max_norm;
mod module;
pub mod network;
pub mod random;
#[cfg(feature = "serde")]
mod serialise;
mod state;
pub mod state_dict;
mod strict;
pub mod validate;
pub mod variant;

pub use config::{Config, Kind, Nonlinearity};
pub use conventions::Convention;
pub use files::onnx;
pub(crate) use loading::{layer_of, load_embedding, load_linear};
pub use module::{DirectionParams, Params, expected_parameters};
