//! Keeping calibrations in the user's cache folder.

use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use serde::{Deserialize, Serialize};

use crate::perf::calibration::{Calibration, DeviceId};

use crate::error::{Error, Result};
use crate::fs;

/// What a file says it is. Another meaning of a field would be another number.
const FORMAT: &str = "wgpu-rnn calibration 3";

/// What every version's files have.
#[derive(Deserialize)]
struct Format {
    format: String,
}

/// A file of the cache.
#[derive(Serialize, Deserialize)]
struct File {
    format: String,
    #[serde(flatten)]
    calibration: Calibration,
}

/// Where calibrations are kept: `WGPU_RNN_CACHE`, or `wgpu-rnn` in the user's cache folder; `None` where there is none.
pub fn folder() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("WGPU_RNN_CACHE").filter(|folder| !folder.is_empty()) {
        return Some(folder.into());
    }
    Some(etcetera::base_strategy::choose_native_strategy().ok()?.cache_dir().join("wgpu-rnn"))
}

impl Calibration {
    /// What was measured of a device, if that is in the cache.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::File`] for a file that is there and cannot be used.
    pub fn find(device: &DeviceId) -> Result<Option<Self>> {
        folder().map_or(Ok(None), |folder| Self::find_in(&folder, device))
    }

    /// As [`find`](Self::find), in another folder.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn find_in(folder: &Path, device: &DeviceId) -> Result<Option<Self>> {
        let path = folder.join(file_name(device));
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::Io { path, source }),
        };
        let refuse = |what: String| {
            let message = format!("{what}; ignored, `wgpu-rnn calibrate` writes it anew");
            Err(Error::File { path: path.clone(), message })
        };
        // First of all, since those of other versions have other figures.
        if let Ok(Format { format }) = serde_json::from_str(&text)
            && format != FORMAT
        {
            return refuse(format!("its format is '{format}', expected '{FORMAT}'"));
        }
        let calibration = match serde_json::from_str(&text) {
            Ok(File { calibration, .. }) => calibration,
            Err(error) => return refuse(format!("not a calibration: {error}")),
        };
        if calibration.id() != *device {
            return refuse(format!("it is of {}, not of {}", calibration.id(), device));
        }
        if !calibration.is_plausible() {
            return refuse("a figure in it cannot be".to_owned());
        }
        Ok(Some(calibration))
    }

    /// Keeps it in the cache, and says where; `None` where there is no cache folder.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be written.
    pub fn save(&self) -> Result<Option<PathBuf>> {
        folder().map(|folder| self.save_in(&folder)).transpose()
    }

    /// As [`save`](Self::save), in another folder.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub fn save_in(&self, folder: &Path) -> Result<PathBuf> {
        let path = folder.join(file_name(&self.id()));
        std::fs::create_dir_all(folder)
            .map_err(|source| Error::Io { path: folder.to_owned(), source })?;
        let file = File { format: FORMAT.to_owned(), calibration: self.clone() };
        let text = serde_json::to_string_pretty(&file)
            .map_err(|error| Error::File { path: path.clone(), message: error.to_string() })?;
        fs::write(&path, text.as_bytes())?;
        Ok(path)
    }
}

/// The name of a device's file: readable, and different where any part of the identity is.
fn file_name(id: &DeviceId) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let readable: String = id.device.chars().map(plain).take(40).collect();
    // FNV-1a does not change from release to release; the standard library's hashes may.
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = id.to_string().bytes().fold(0xcbf2_9ce4_8422_2325, step);
    format!("{readable}-{hash:016x}.json")
}

#[cfg(test)]
mod tests {
    use crate::perf::calibration::Calibration;
    use crate::{Device, Error};

    #[test]
    fn what_is_saved_is_found() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let device = Device::cpu().id();
        assert_eq!(Calibration::find_in(folder.path(), &device).expect("an empty folder"), None);
        let calibration = Calibration {
            dispatch_us: 0.123_456_789,
            measured: true,
            ..Calibration::typical_of(None).named(device.clone())
        };
        let path = calibration.save_in(&folder.path().join("new")).expect("the folder can be made");
        assert!(path.starts_with(folder.path()), "{}", path.display());
        let found =
            Calibration::find_in(&folder.path().join("new"), &device).expect("it can be read");
        assert_eq!(found, Some(calibration));
    }

    #[test]
    fn files_that_cannot_be_used_are_told() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let device = Device::cpu().id();
        let path = Calibration::typical_of(None)
            .named(device.clone())
            .save_in(folder.path())
            .expect("it can be written");
        let good = std::fs::read_to_string(&path).expect("it can be read");
        let wrong = [
            (String::new(), "not a calibration"),
            (good[..good.len() / 2].to_owned(), "not a calibration"),
            (good.replace("calibration 3", "calibration 1"), "expected 'wgpu-rnn calibration 3'"),
            (
                "{\"format\": \"wgpu-rnn calibration 1\"}".to_owned(),
                "expected 'wgpu-rnn calibration 3'",
            ),
            (good.replace("\"device\": \"cpu\"", "\"device\": \"Voodoo\""), "it is of Voodoo"),
            (good.replace("\"gflops\": ", "\"gflops\": -"), "cannot be"),
            (good.replace("\"dispatch_us\"", "\"dispatch\""), "missing field `dispatch_us`"),
        ];
        for (text, reason) in wrong {
            assert_ne!(text, good, "{reason}: nothing was changed");
            std::fs::write(&path, &text).expect("it can be written");
            let error = Calibration::find_in(folder.path(), &device).expect_err(reason);
            assert!(
                matches!(error, Error::File { .. }) && error.to_string().contains(reason),
                "{error}"
            );
        }
        std::fs::write(&path, good).expect("it can be written");
        assert!(Calibration::find_in(folder.path(), &device).expect("it is good again").is_some());
    }
}
