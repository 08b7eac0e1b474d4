//! The folder of conformance data, which is no part of this repository.

#[path = "outside.rs"]
mod outside;

use std::path::PathBuf;

const VARIABLE: &str = "WGPU_RNN_CONFORMANCE";

/// Whether `WGPU_RNN_CONFORMANCE` names no folder: trials that need it are reported as ignored.
pub fn is_absent() -> bool {
    outside::is_absent(VARIABLE)
}

/// `part` of the folder that `WGPU_RNN_CONFORMANCE` names. A missing part is a failure.
pub fn part(part: &str) -> PathBuf {
    outside::part(VARIABLE, part)
}
