//! Reading whole files, and writing files whole or not at all.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::tensor::reserved;

/// The temporary files of writes under way.
static UNFINISHED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// The most links from one path to the next, as on Linux.
const MOST_LINKS: usize = 40;

/// Writes a temporary file in the same folder and renames it to `path`, so that no reader sees half
/// a file. Of several writers at the same time, the last one wins.
///
/// A symbolic link stays, and its target is replaced. A path that is neither a file nor a folder,
/// such as `/dev/stdout`, is written to directly.
///
/// # Errors
/// [`Error::Io`]; an existing file at `path` then stays unchanged.
pub fn write(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    let written = match std::fs::metadata(path) {
        Ok(found) if !found.is_file() && !found.is_dir() => std::fs::write(path, bytes),
        Ok(found) => match behind_links(path) {
            Some(target) => replace(&target, bytes, Some(found.permissions())),
            None => std::fs::write(path, bytes),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {
            replace(&behind_links(path).unwrap_or_else(|| path.to_owned()), bytes, None)
        }
        Err(error) => Err(error),
    };
    written.map_err(|source| Error::Io { path: path.to_owned(), source })
}

/// Returns the path at the end of a chain of symbolic links; no file needs to be there. `None` when
/// the chain ends at an open file of the process, such as stdout.
fn behind_links(path: &Path) -> Option<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        if path.starts_with("/proc") || path.starts_with("/dev/fd") {
            return None;
        }
        let Ok(link) = std::fs::read_link(&path) else { break };
        path = path.parent().unwrap_or(Path::new("")).join(link);
    }
    Some(path)
}

/// Replaces a file. `permissions` are those of the file that is there.
fn replace(path: &Path, bytes: &[u8], permissions: Option<std::fs::Permissions>) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    // The name has no part of the file's name, which may be as long as names can be.
    let mut builder = tempfile::Builder::new();
    builder.prefix(".wgpu-rnn-").suffix(".part").rand_bytes(12);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // Of a new file; the process's mask takes its part away.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = {
        let mut unfinished = unfinished();
        let file = builder.tempfile_in(folder.unwrap_or(Path::new(".")))?;
        unfinished.insert(file.path().to_owned());
        file
    };
    let temporary = file.path().to_owned();
    let written = file.write_all(bytes).and_then(|()| match permissions {
        Some(permissions) => file.as_file().set_permissions(permissions),
        None => Ok(()),
    });
    let mut unfinished = unfinished();
    let replaced = match written {
        Ok(()) => file.persist(path).map(drop).map_err(|error| error.error),
        Err(error) => {
            // The first error is the cause. A failure to remove the leftover adds nothing.
            let _ = file.close();
            Err(error)
        }
    };
    unfinished.remove(&temporary);
    replaced
}

fn unfinished() -> std::sync::MutexGuard<'static, BTreeSet<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes the temporary files of this process, then calls `end`, which ends the process. No write
/// completes and no other one begins meanwhile.
pub fn abandon<T>(end: impl FnOnce() -> T) -> T {
    let unfinished = unfinished();
    for path in unfinished.iter() {
        // The process ends in any case, and nobody is left to report to.
        let _ = std::fs::remove_file(path);
    }
    end()
}

/// Reads a whole file into memory.
///
/// # Errors
/// [`Error::Io`] when it cannot be read. [`Error::File`] for a device, a pipe or a folder, whose
/// size is unknown. [`Error::OutOfMemory`] when the file does not fit into memory.
pub fn read(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    let path = path.as_ref();
    let io = |source| Error::Io { path: path.to_owned(), source };
    // Before it is opened: a pipe waits for its other end.
    let found = std::fs::metadata(path).map_err(io)?;
    if !found.is_file() && !found.is_dir() {
        return Err(Error::File {
            path: path.to_owned(),
            message: "expected a file, found a device or a pipe, whose size is unknown; copy it \
                      into a file"
                .to_owned(),
        });
    }
    let file = std::fs::File::open(path).map_err(io)?;
    let size = file.metadata().map_err(io)?.len();
    let mut bytes = reserved(usize::try_from(size).unwrap_or(usize::MAX), path.display())?;
    file.take(size).read_to_end(&mut bytes).map_err(io)?;
    Ok(bytes)
}

/// Reads a whole file of text.
///
/// # Errors
/// The errors of [`read`]. [`Error::File`] when the text is not UTF-8.
pub fn read_text(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    String::from_utf8(read(path)?).map_err(|error| Error::File {
        path: path.to_owned(),
        message: format!("expected text in UTF-8, found other bytes: {}", error.utf8_error()),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::{read, read_text, write};
    use crate::error::Error;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).expect("the folder can be read");
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name();
        let mut names: Vec<_> =
            entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Each of four writers has a letter. A reader finds a whole file of one letter, always.
    #[test]
    fn writers_of_one_file_do_not_collide() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        write(&path, &[b'a'; 10_000]).expect("the first write");
        let writing = AtomicUsize::new(4);
        std::thread::scope(|scope| {
            for letter in *b"abcd" {
                let (path, writing) = (&path, &writing);
                scope.spawn(move || {
                    let outcome = (0..200).try_for_each(|_| write(path, &[letter; 10_000]));
                    writing.fetch_sub(1, Ordering::SeqCst);
                    outcome.expect("every write succeeds");
                });
            }
            while writing.load(Ordering::SeqCst) > 0 {
                let found = read(&path).expect("there is always a file");
                assert!(found.len() == 10_000 && found.iter().all(|&byte| byte == found[0]));
            }
        });
        assert_eq!(names(folder.path()), ["file"], "no temporary file stays");
    }

    #[test]
    fn names_may_be_as_long_as_the_system_allows() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("n".repeat(255));
        for bytes in [&b"one"[..], b"another"] {
            write(&path, bytes).expect("255 bytes are a name");
            assert_eq!(read(&path).expect("the file"), bytes);
            assert_eq!(read_text(&path).expect("a text").as_bytes(), bytes);
        }
        write(&path, b"caf\xe9").expect("the same name");
        let error = read_text(&path).expect_err("Latin-1");
        assert!(error.to_string().contains("expected text in UTF-8"), "{error}");
        let error = write(folder.path().join("n".repeat(256)), b"").expect_err("too long a name");
        assert!(matches!(error, Error::Io { .. }), "{error}");
        let error = write(folder.path().join("no/folder"), b"").expect_err("no such folder");
        assert!(error.to_string().contains("no/folder: "), "{error}");
        write(folder.path(), b"").expect_err("a folder");
        assert_eq!(names(folder.path()).len(), 1, "no temporary file stays");
    }

    #[cfg(unix)]
    #[test]
    fn links_and_permissions_stay() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let mode = |name: &str| {
            std::fs::metadata(at(name)).expect("the file").permissions().mode() & 0o777
        };
        std::fs::create_dir(at("store")).expect("a folder");
        symlink("store/target", at("second")).expect("a link to nothing");
        symlink("second", at("link")).expect("a link to a link");
        std::fs::write(at("usual"), b"").expect("a file");
        for bytes in [&b"one"[..], b"another"] {
            write(at("link"), bytes).expect("through both links");
            assert_eq!(read(at("store/target")).expect("the target"), bytes);
        }
        assert_eq!(mode("store/target"), mode("usual"), "the permissions of any new file");
        for link in ["link", "second"] {
            assert!(at(link).is_symlink(), "{link} is still a link");
        }
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(at("store/target"), private).expect("its owner may");
        write(at("link"), b"secret").expect("through both links");
        assert_eq!(mode("store/target"), 0o600, "the permissions of the file that was there");
        symlink("loop", at("loop")).expect("a link to itself");
        write(at("loop"), b"").expect_err("a loop has no end");
        assert_eq!(names(folder.path()), ["link", "loop", "second", "store", "usual"]);
        assert_eq!(names(&at("store")), ["target"]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn devices_and_pipes_are_no_files_to_read() {
        for path in ["/dev/zero", "/dev/null", "/dev/fd/1"] {
            let Err(error) = read(path) else { continue };
            assert!(error.to_string().contains("a device or a pipe"), "{error}");
        }
        let error = read("/dev/zero").expect_err("it has no end");
        assert!(matches!(error, Error::File { .. }), "{error}");
        read("/dev").expect_err("a folder");
    }
}
