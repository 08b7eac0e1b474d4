//! Reading whole files, and writing files whole or not at all.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::tensor::{grow, reserved};

/// The temporary files of writes under way.
static UNFINISHED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// The most links from one path to the next, as on Linux.
const MOST_LINKS: usize = 40;

/// Writes a temporary file in the same folder and renames it to `path`, so that no reader sees half
/// a file. After several writers at the same time, the file is the last one's.
///
/// A symbolic link stays, and its target is replaced. A path that is neither a file nor a folder,
/// such as `/dev/stdout`, is written to directly.
///
/// # Errors
/// [`Error::Io`]; an existing file at `path` then stays unchanged.
pub fn write(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    let io = |source| Error::Io { path: path.to_owned(), source };
    let target = match std::fs::metadata(path) {
        Ok(found) if !found.is_file() && !found.is_dir() => None,
        Ok(found) => behind_links(path).map(|target| (target, Some(found.permissions()))),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            behind_links(path).map(|target| (target, None))
        }
        Err(error) => return Err(io(error)),
    };
    match target {
        None => std::fs::write(path, bytes).map_err(io),
        Some((target, permissions)) => replace(&target, bytes, permissions),
    }
}

/// Returns the path at the end of a chain of symbolic links; no file needs to be there. `None` when
/// the chain ends at an open file of the process, such as stdout.
fn behind_links(path: &Path) -> Option<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        // However the folder is spelled, the system's own files are below this one.
        if folder(&path).canonicalize().is_ok_and(|folder| folder.starts_with("/proc")) {
            return None;
        }
        let Ok(link) = std::fs::read_link(&path) else { break };
        path = folder(&path).join(link);
    }
    Some(path)
}

/// Returns the folder of a file, whose path need not name one.
pub fn folder(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// Replaces a file. `permissions` are those of the file that is there.
fn replace(path: &Path, bytes: &[u8], permissions: Option<std::fs::Permissions>) -> Result<()> {
    // The name has no part of the file's name, which may be as long as names can be.
    let mut builder = tempfile::Builder::new();
    builder.prefix(".wgpu-rnn-").suffix(".part").rand_bytes(12);
    #[cfg(unix)]
    let permissions = {
        use std::os::unix::fs::PermissionsExt as _;
        // The process's mask takes its part away from those of a new file.
        let mode = if permissions.is_some() { 0o600 } else { 0o666 };
        builder.permissions(std::fs::Permissions::from_mode(mode));
        // A new owner has no business with the old one's set-user-ID bit.
        permissions.map(|old| std::fs::Permissions::from_mode(old.mode() & 0o777))
    };
    let made = {
        let mut unfinished = unfinished();
        let made = builder.tempfile_in(folder(path));
        made.inspect(|file| _ = unfinished.insert(file.path().to_owned()))
    };
    // The name of the temporary file would mean nothing to a reader of the error.
    let mut file = made.map_err(|error| {
        let folder = folder(path);
        let missing = std::fs::metadata(folder).err();
        let source = missing.unwrap_or_else(|| error.kind().into());
        Error::Io { path: folder.to_owned(), source }
    })?;
    let temporary = file.path().to_owned();
    // Before the first byte, which others may not be allowed to read.
    let permitted = permissions.map_or(Ok(()), |old| file.as_file().set_permissions(old));
    let written = permitted.and_then(|()| file.write_all(bytes));
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
    // The error of a write names the temporary file, too.
    replaced.map_err(|error| Error::Io {
        path: path.to_owned(),
        source: error
            .raw_os_error()
            .map_or_else(|| error.kind().into(), io::Error::from_raw_os_error),
    })
}

fn unfinished() -> std::sync::MutexGuard<'static, BTreeSet<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes the temporary files of this process, then calls `end`, which ends the process. No write
/// completes and no other one begins meanwhile.
pub fn abandon<T>(end: impl FnOnce() -> T) -> T {
    let unfinished = unfinished();
    for path in unfinished.iter() {
        // The process ends in any case; there is no one to report a failure to.
        let _ = std::fs::remove_file(path);
    }
    end()
}

/// The most bytes of a pipe or a device, whose size is unknown.
const MOST_STREAMED: u64 = 1 << 30;

/// Reads a whole file into memory.
///
/// # Errors
/// [`Error::Io`] when it cannot be read. [`Error::File`] for a device, a pipe or a folder, whose
/// size is unknown. [`Error::OutOfMemory`] when the file does not fit into memory.
pub fn read(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    read_to_end(path.as_ref(), false)
}

/// Reads a file, or a device or a pipe where `streams` allows these.
fn read_to_end(path: &Path, streams: bool) -> Result<Vec<u8>> {
    let (file, size) = open_sized(path, streams)?;
    // The system's own files have no size either.
    let Some(size) = size.filter(|&size| size > 0) else { return read_stream(path, file) };
    read_count(path, file, usize::try_from(size).unwrap_or(usize::MAX))
}

/// Opens a file or a folder, and a device or a pipe where `streams` allows these. Returns the size
/// of what has one.
fn open_sized(path: &Path, streams: bool) -> Result<(std::fs::File, Option<u64>)> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    // Before it is opened: a pipe waits for its other end.
    let found = std::fs::metadata(path).map_err(io)?;
    let is_sized = found.is_file() || found.is_dir();
    if !is_sized && !streams {
        return Err(Error::File {
            path: path.to_owned(),
            message: "expected a file, found a device or a pipe, whose size is unknown; copy it \
                      into a file"
                .to_owned(),
        });
    }
    let file = std::fs::File::open(path).map_err(io)?;
    let size = file.metadata().map_err(io)?.len();
    Ok((file, is_sized.then_some(size)))
}

/// Reads at most `count` bytes.
fn read_count(path: &Path, file: std::fs::File, count: usize) -> Result<Vec<u8>> {
    let mut bytes = reserved(count, path.display())?;
    let read = file.take(count as u64).read_to_end(&mut bytes);
    read.map_err(|source| Error::Io { path: path.to_owned(), source })?;
    Ok(bytes)
}

/// Reads a range of a file into memory.
///
/// # Errors
/// The errors of [`read`]. [`Error::File`] when the file ends before the range does.
pub fn read_range(path: impl AsRef<Path>, start: u64, count: usize) -> Result<Vec<u8>> {
    let path = path.as_ref();
    let (mut file, size) = open_sized(path, false)?;
    let size = size.unwrap_or_default();
    if start.checked_add(count as u64).is_none_or(|end| end > size) {
        return Err(Error::File {
            path: path.to_owned(),
            message: format!("expected {count} bytes from byte {start}, found a file of {size}"),
        });
    }
    let seek = file.seek(io::SeekFrom::Start(start));
    seek.map_err(|source| Error::Io { path: path.to_owned(), source })?;
    read_count(path, file, count)
}

/// Reads the first bytes of a file: at most `count`.
///
/// # Errors
/// The errors of [`read`].
pub fn read_start(path: impl AsRef<Path>, count: usize) -> Result<Vec<u8>> {
    let path = path.as_ref();
    let (file, _) = open_sized(path, false)?;
    read_count(path, file, count)
}

/// Reads what has no size, to its end.
fn read_stream(path: &Path, file: std::fs::File) -> Result<Vec<u8>> {
    let (mut bytes, mut file) = (Vec::new(), file.take(MOST_STREAMED + 1));
    let mut part = [0; 1 << 16];
    loop {
        let count = match file.read(&mut part) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(source) => return Err(Error::Io { path: path.to_owned(), source }),
        };
        grow(&mut bytes, count, path.display())?;
        bytes.extend_from_slice(&part[..count]);
    }
    if bytes.len() as u64 > MOST_STREAMED {
        return Err(Error::File {
            path: path.to_owned(),
            message: format!(
                "it has no size and is over {MOST_STREAMED} bytes; copy it into a file"
            ),
        });
    }
    Ok(bytes)
}

/// Reads a whole file of text, or a pipe of it.
///
/// # Errors
/// [`Error::Io`] when it cannot be read. [`Error::File`] when the text is not UTF-8, and for a pipe
/// or a device of over 1 GiB. [`Error::OutOfMemory`] when it does not fit into memory.
pub fn read_text(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    let bytes = read_to_end(path, true)?;
    String::from_utf8(bytes).map_err(|error| Error::File {
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
        assert!(error.to_string().contains("no: No such file"), "{error}");
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
            std::fs::metadata(at(name)).expect("the file").permissions().mode() & 0o7777
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
        let shared = std::fs::Permissions::from_mode(0o4755);
        std::fs::set_permissions(at("store/target"), shared).expect("its owner may");
        write(at("link"), b"public").expect("through both links");
        assert_eq!(mode("store/target"), 0o755, "without the set-user-ID bit");
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
        assert!(read_text("/proc/self/status").is_ok_and(|text| text.contains("SigIgn")));
        let none = read_text("/dev/null").expect("no text");
        assert!(none.is_empty(), "{none}");
        read("/dev").expect_err("a folder");
    }
}
