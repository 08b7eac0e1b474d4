//! The typed core of the Python package `wgpu_rnn`.
//!
//! Each file holds one class. A method copies its arguments, then works without Python's lock on
//! a clone of the handle (`calls.rs`), and hands its results to numpy without a copy. The modules
//! of `../wgpu_rnn` check types and know PyTorch; this crate knows numpy alone.

mod arrays;
mod calls;
mod cell;
mod cell_stream;
mod device;
mod errors;
mod forks;
mod generation;
mod language_model;
mod logs;
mod network;
mod network_stream;
mod options;
mod pool;
mod reference;
mod rnn;
mod sequential;
mod shared;
mod state_dict;
mod stream;

use pyo3::prelude::*;

/// The extension module.
#[pymodule]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::calls::{abandoned_calls, at_exit, panic_in_a_call, wait_for_abandoned};
    #[pymodule_export]
    use crate::cell::Cell;
    #[pymodule_export]
    use crate::cell_stream::CellStream;
    #[pymodule_export]
    use crate::device::{Device, adapters};
    #[pymodule_export]
    use crate::forks::after_fork;
    #[pymodule_export]
    use crate::generation::Generation;
    #[pymodule_export]
    use crate::language_model::LanguageModel;
    #[pymodule_export]
    use crate::network::Network;
    #[pymodule_export]
    use crate::network_stream::NetworkStream;
    #[pymodule_export]
    use crate::pool::{Pool, Slot};
    #[pymodule_export]
    use crate::reference::reference;
    #[pymodule_export]
    use crate::rnn::Rnn;
    #[pymodule_export]
    use crate::state_dict::StateDict;
    #[pymodule_export]
    use crate::stream::Stream;

    #[pymodule_init]
    fn init(_module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::logs::connect();
        Ok(())
    }
}
