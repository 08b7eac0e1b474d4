//! Writing files, whole or not at all.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Writes a temporary file in the same folder and renames it to `path`, so that no reader sees half
/// a file.
///
/// A path that is neither a file nor a folder, such as `/dev/stdout`, is written to directly.
///
/// # Errors
/// [`Error::Io`]; an existing file at `path` then stays unchanged.
pub fn write(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    let io = |source| Error::Io { path: path.to_owned(), source };
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        return std::fs::write(path, bytes).map_err(io);
    }
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}.part", std::process::id()));
    let temporary = PathBuf::from(temporary);
    std::fs::write(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, path)).map_err(
        |source| {
            // The first error is the cause. A failure to remove the leftover adds nothing.
            let _ = std::fs::remove_file(&temporary);
            io(source)
        },
    )
}
