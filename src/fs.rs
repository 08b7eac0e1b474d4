//! Writing files whole or not at all.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Writes a file beside its place and moves it there, so that nobody ever reads half of it. Something that is neither a
/// file nor a folder, such as `/dev/stdout`, is written to directly.
///
/// # Errors
/// [`Error::Io`]; what was there is still there then.
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
            // The first error is the one to tell; a leftover that cannot be removed either adds nothing.
            let _ = std::fs::remove_file(&temporary);
            io(source)
        },
    )
}
