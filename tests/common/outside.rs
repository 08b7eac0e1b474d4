//! Folders of test data that are no part of this repository. An environment variable names each.

use std::path::PathBuf;

fn folder(variable: &str) -> Option<PathBuf> {
    let folder = std::env::var_os(variable).filter(|folder| !folder.is_empty());
    folder.map(PathBuf::from)
}

/// Whether the variable names no folder: trials that need it are reported as ignored.
pub fn is_absent(variable: &str) -> bool {
    folder(variable).is_none()
}

/// `part` of the folder that the variable names. A missing part is a failure.
pub fn part(variable: &str, part: &str) -> PathBuf {
    let folder = folder(variable).unwrap_or_else(|| panic!("{variable} names no folder of data"));
    let path = folder.join(part);
    assert!(path.exists(), "{variable} is set, but there is no {}", path.display());
    path
}
