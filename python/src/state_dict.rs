//! The class `StateDict`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use pyo3::prelude::*;
use wgpu_rnn::StateDict as File;

use crate::arrays::{Output, copied, from_tensor};
use crate::calls::{Length, at_once, run};

/// The named tensors of a file, or of Python's memory.
#[pyclass(frozen, module = "wgpu_rnn._native")]
pub struct StateDict(pub File);

#[pymethods]
impl StateDict {
    /// Reads the files of one state dict.
    #[staticmethod]
    fn open(py: Python<'_>, paths: Vec<PathBuf>, key: Option<String>) -> PyResult<Self> {
        run(py, Length::Long, move || File::open_files(&paths, key.as_deref())).map(Self)
    }

    /// Reads the bytes of a file; `name` serves its errors.
    #[staticmethod]
    fn parse(py: Python<'_>, name: &str, bytes: &[u8], key: Option<&str>) -> PyResult<Self> {
        at_once(py, || {
            let bytes = copied(bytes, name)?;
            Ok(Self(match key {
                None => File::parse(name, bytes)?,
                Some(key) => File::parse_key(name, bytes, key)?,
            }))
        })
    }

    #[getter]
    fn file_type(&self) -> &str {
        self.0.file_type()
    }

    #[getter]
    fn path(&self) -> String {
        self.0.path().display().to_string()
    }

    #[getter]
    fn key(&self) -> Option<&str> {
        self.0.key()
    }

    fn names(&self) -> Vec<&str> {
        self.0.names().collect()
    }

    fn metadata(&self) -> BTreeMap<&str, &str> {
        self.0.all_metadata()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.0.shape(name).map(<[usize]>::to_vec)
    }

    fn dtype(&self, name: &str) -> Option<String> {
        self.0.dtype(name)
    }

    /// The values of a tensor, widened to f32.
    fn tensor<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Output<'py>> {
        from_tensor(py, at_once(py, || self.0.tensor(name))?)
    }

    /// The same tensors under other names.
    fn renamed(&self, py: Python<'_>, pairs: Vec<(String, String)>) -> PyResult<Self> {
        let pairs: Vec<_> = pairs.iter().map(|(old, new)| (old.as_str(), new.as_str())).collect();
        at_once(py, || self.0.clone().renamed(&pairs)).map(Self)
    }

    /// The weights that `weight_norm` and WeightDrop store as other tensors.
    fn folded(&self, py: Python<'_>) -> PyResult<Self> {
        at_once(py, || self.0.clone().folded()).map(Self)
    }
}
