//! The folder of conformance data, which is no part of this repository.

use std::path::PathBuf;

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("WGPU_RNN_CONFORMANCE").filter(|folder| !folder.is_empty());
    folder.map(PathBuf::from)
}

/// Whether `WGPU_RNN_CONFORMANCE` names no folder: trials that need it are reported as ignored.
pub fn is_absent() -> bool {
    folder().is_none()
}

/// `part` of the folder that `WGPU_RNN_CONFORMANCE` names. A missing part is a failure.
pub fn part(part: &str) -> PathBuf {
    let folder = folder().expect("WGPU_RNN_CONFORMANCE names no folder of conformance data");
    let path = folder.join(part);
    assert!(path.exists(), "WGPU_RNN_CONFORMANCE is set, but there is no {}", path.display());
    path
}
