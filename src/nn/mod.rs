//! The modules that users hold: recurrent modules, heads, streams, pools and recorded passes.

pub mod cell;
pub mod embedding;
pub mod explain;
pub mod language_model;
pub mod linear;
pub mod network;
pub mod options;
pub mod pack;
pub mod pad;
pub mod pass;
pub mod pool;
pub mod rnn;
pub(crate) mod rows;
pub(crate) mod runner;
pub mod stream;
