//! The JavaScript API of wgpu-rnn.
//!
//! Each file holds one class. `../js/` adds the parts that only JavaScript can express: async
//! iterators, the builder of networks, and a worker. `../js/index.d.ts` documents the whole.
//!
//! A method parses and copies its arguments at once. It then works on a clone of the handle, in a
//! promise. So a call borrows its object only while it starts: calls may overlap, and `free()`
//! during a call is safe.
//!
//! Code that few pages need is in side modules, which are loaded on demand: `side.rs`.

mod calls;
mod console;
mod device;
mod diagnostics;
mod error;
mod generation;
mod language_model;
mod load_options;
mod network;
mod network_stream;
mod options;
mod rnn;
mod rnn_stream;
mod side;
mod state_dict;
mod values;

use wasm_bindgen::prelude::wasm_bindgen;

/// Runs once, when the module is loaded.
#[wasm_bindgen(start)]
pub fn start() {
    console::connect();
}
