//! The folder of conformance data, which is not part of this repository.

use std::path::PathBuf;

/// `part` of the folder that `WGPU_RNN_CONFORMANCE` names. Without that variable there is nothing to test against, and
/// the caller returns; with it, a missing part is a failure.
pub fn part(part: &str) -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("WGPU_RNN_CONFORMANCE").filter(|folder| !folder.is_empty())
    else {
        eprintln!("skipped: WGPU_RNN_CONFORMANCE names no folder of conformance data");
        return None;
    };
    let path = PathBuf::from(folder).join(part);
    assert!(path.exists(), "WGPU_RNN_CONFORMANCE is set, but there is no {}", path.display());
    Some(path)
}
