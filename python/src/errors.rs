//! Errors as Python exceptions.
//!
//! Each kind of error has a class in `wgpu_rnn.errors`, which is also a built-in class that Python
//! programs catch: `ValueError`, `RuntimeError` or `MemoryError`. Files have Python's own.

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use wgpu_rnn::Error;

/// Returns the exception of a class in `wgpu_rnn.errors`.
pub fn error(py: Python<'_>, class: &str, text: impl Into<String>) -> PyErr {
    let text = text.into();
    let made = py
        .import("wgpu_rnn.errors")
        .and_then(|errors| errors.getattr(class))
        .and_then(|class| class.call1((&text,)));
    match made {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

/// Returns the exception of an error of the library.
pub fn exception(py: Python<'_>, failure: Error) -> PyErr {
    if let Error::Io { path, source } = &failure {
        // Python chooses the class, such as FileNotFoundError, by the number.
        return match source.raw_os_error() {
            Some(number) => {
                let text = source.to_string();
                let text = text.split(" (os error").next().unwrap_or_default().to_owned();
                PyOSError::new_err((number, text, path.clone().into_os_string()))
            }
            None => PyOSError::new_err(failure.to_string()),
        };
    }
    error(py, class(&failure), failure.to_string())
}

/// Returns the class of an error in `wgpu_rnn.errors`.
fn class(error: &Error) -> &'static str {
    match error {
        Error::Config(_) => "ConfigError",
        Error::Shape(_) | Error::TensorSize { .. } => "ShapeError",
        Error::Option(_) => "OptionError",
        Error::UnknownName(_) => "UnknownNameError",
        Error::StateLost(_) => "StateLostError",
        Error::SlotClosed(_) => "SlotClosedError",
        Error::PoolFull(_) => "PoolFullError",
        Error::FrameSize(_) => "FrameSizeError",
        Error::StateDict { .. } => "StateDictError",
        Error::NoRecurrentWeights(_) => "NoRecurrentWeightsError",
        Error::File { .. } => "FileError",
        Error::Unsupported(_) => "UnsupportedError",
        Error::Limit { .. } => "LimitError",
        Error::NoAdapter(_) => "NoAdapterError",
        Error::RequestDevice { .. } => "RequestDeviceError",
        Error::SelfTest { .. } => "SelfTestError",
        Error::OutOfMemory { .. } => "OutOfMemoryError",
        Error::DeviceLost { .. } => "DeviceLostError",
        Error::Gpu { .. } => "GpuError",
        _ => "DeviceError",
    }
}

/// Returns the error of a panic, which is a defect of the library.
pub fn defect(panic: &(dyn std::any::Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    Error::Gpu {
        adapter: "wgpu_rnn".to_owned(),
        message: format!("a defect of this library, please report it: {text}"),
    }
}
