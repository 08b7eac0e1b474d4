//! The name of the processor.

use crate::perf::calibration::DeviceId;

/// The system's name of the processor, and the number of threads that run at a time.
fn processor() -> String {
    let linux = || {
        let info = std::fs::read_to_string("/proc/cpuinfo").ok()?;
        let line = info.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let name = linux().or_else(|| std::env::var("PROCESSOR_IDENTIFIER").ok());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{}, {threads} threads", name.unwrap_or_else(|| std::env::consts::ARCH.to_owned()))
}

/// The key under which calibrations of this machine's CPU are kept.
pub fn id() -> DeviceId {
    DeviceId { device: "cpu".to_owned(), backend: "cpu".to_owned(), driver: processor() }
}
