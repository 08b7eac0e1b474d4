//! Arrays of numpy as tensors, and back.
//!
//! Inputs are copied while Python's lock is held, so that no other thread changes them meanwhile.
//! Results become arrays without a copy.

use numpy::{
    Element, PyArray1, PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn, PyUntypedArrayMethods,
};
use pyo3::prelude::*;
use wgpu_rnn::{Error, Result, State, Tensor};

use crate::errors::exception;

/// An array of f32 in row-major order, as `_convert.py` makes it.
pub type Input<'py> = PyReadonlyArrayDyn<'py, f32>;

/// An array of f32 for Python.
pub type Output<'py> = Bound<'py, PyArrayDyn<f32>>;

/// The output and the last state: h and, for an LSTM, c.
pub type Results<'py> = (Output<'py>, Output<'py>, Option<Output<'py>>);

/// Copies values.
///
/// # Errors
/// [`Error::OutOfMemory`] when the host's memory does not hold them.
pub fn copied<T: Copy>(values: &[T], what: &str) -> Result<Vec<T>> {
    let mut copy = Vec::new();
    if copy.try_reserve_exact(values.len()).is_err() {
        let doing = format!("copying {what}, {} values", values.len());
        return Err(Error::OutOfMemory { adapter: "host".to_owned(), doing });
    }
    copy.extend_from_slice(values);
    Ok(copy)
}

/// Copies an array into a tensor.
///
/// # Errors
/// `OutOfMemoryError`; `ValueError` for an array that is not in row-major order.
pub fn tensor(array: &Input<'_>, what: &str) -> PyResult<Tensor> {
    let py = array.py();
    let values = copied(array.as_slice()?, what).map_err(|error| exception(py, error))?;
    Tensor::new(array.shape(), values).map_err(|error| exception(py, error))
}

/// Copies h and c into a state; without h there is none.
///
/// # Errors
/// Those of [`tensor`].
pub fn state(h: Option<&Input<'_>>, c: Option<&Input<'_>>) -> PyResult<Option<State>> {
    let Some(h) = h else { return Ok(None) };
    let c = c.map(|c| tensor(c, "the state c")).transpose()?;
    let h = tensor(h, "the state h")?;
    // The library compares the shapes with the module's, in PyTorch's words.
    Ok(Some(State { h, c }))
}

/// Returns values as an array of a shape.
///
/// # Errors
/// Python's, without memory for the array.
pub fn array<'py, T: Element>(
    py: Python<'py>,
    shape: &[usize],
    values: Vec<T>,
) -> PyResult<Bound<'py, PyArrayDyn<T>>> {
    PyArray1::from_vec(py, values).reshape(shape.to_vec())
}

/// Returns a tensor as an array.
///
/// # Errors
/// Those of [`array`].
pub fn from_tensor(py: Python<'_>, tensor: Tensor) -> PyResult<Output<'_>> {
    let shape = tensor.shape().to_vec();
    array(py, &shape, tensor.into_data())
}

/// Returns a state as h and c.
///
/// # Errors
/// Those of [`array`].
pub fn from_state(py: Python<'_>, state: State) -> PyResult<(Output<'_>, Option<Output<'_>>)> {
    let c = state.c.map(|c| from_tensor(py, c)).transpose()?;
    Ok((from_tensor(py, state.h)?, c))
}
