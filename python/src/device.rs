//! The class `Device`, and the list of adapters.

use std::collections::BTreeMap;

use pyo3::prelude::*;
use wgpu_rnn::Device as Handle;
use wgpu_rnn::device::{self, OpenOptions};

use crate::calls::{Length, note_driver, run};
use crate::forks::{self, Kept};

/// A GPU, a software adapter, or this machine's CPU.
#[pyclass(frozen, module = "wgpu_rnn._native")]
pub struct Device(pub Kept<Handle>);

/// An adapter: name, backend, driver, type, and whether it is software.
type Adapter = (String, String, String, String, bool);

/// Lists the adapters of this machine.
#[pyfunction]
pub fn adapters(py: Python<'_>) -> PyResult<Vec<Adapter>> {
    forks::note_use();
    run(py, Length::Long, || {
        let describe = |entry: device::AdapterEntry| {
            let (info, driver) = (&entry.info, entry.driver());
            let (backend, kind) = (info.backend.to_string(), format!("{:?}", info.device_type));
            (info.name.clone(), backend, driver, kind, entry.is_software())
        };
        Ok(device::adapters().into_iter().map(describe).collect())
    })
}

#[pymethods]
impl Device {
    /// Opens the device that a selector names.
    #[staticmethod]
    fn open(
        py: Python<'_>,
        selector: String,
        self_test: bool,
        threads: Option<usize>,
        limits: BTreeMap<String, u64>,
    ) -> PyResult<Self> {
        forks::note_use();
        let handle = run(py, Length::Long, move || {
            let mut options = OpenOptions::default();
            options.self_test = self_test;
            options.threads = threads;
            options.limits = limits.into_iter().collect();
            Handle::open_with(&selector, &options)
        })?;
        if handle.wgpu().is_some() {
            note_driver();
        }
        Ok(Self(Kept::new(handle)))
    }

    #[getter]
    fn name(&self) -> &str {
        self.0.name()
    }

    #[getter]
    fn backend(&self) -> String {
        self.0.backend()
    }

    #[getter]
    fn driver(&self) -> String {
        self.0.driver()
    }

    #[getter]
    fn is_gpu(&self) -> bool {
        self.0.wgpu().is_some()
    }

    #[getter]
    fn is_software(&self) -> bool {
        self.0.is_software_adapter()
    }

    /// Probes the driver.
    fn is_lost(&self, py: Python<'_>) -> PyResult<bool> {
        let device = self.0.clone();
        run(py, Length::Long, move || Ok(device.is_lost()))
    }

    /// Gives the device of the adapter back. The CPU has nothing to give.
    fn destroy(&self, py: Python<'_>) -> PyResult<()> {
        let device = self.0.clone();
        run(py, Length::Long, move || {
            if let Some((device, _)) = device.wgpu() {
                device.destroy();
            }
            Ok(())
        })
    }

    /// Name, backend and driver.
    fn __str__(&self) -> String {
        self.0.to_string()
    }
}
