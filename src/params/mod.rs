//! What a model is: configurations, parameters and state dicts.

pub mod config;
pub mod language_model;
mod module;
pub mod random;
pub mod state_dict;
pub mod validate;

pub use config::{Config, Kind};
pub(crate) use module::layer_of;
pub use module::{DirectionParams, Params, expected_parameters};
