//! The cache folder for calibrations: one JSON file for each device and driver.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::fs;
use crate::perf::calibration::{Calibration, DeviceId};

/// The format of a file. The number changes with the meaning of a field. Since 4, bandwidths are of
/// the cache and of memory, and rates follow from sums.
const FORMAT: &str = "wgpu-rnn calibration 4";

/// The field that the files of all versions have.
#[derive(Deserialize)]
struct Format {
    format: String,
}

/// The content of a file.
#[derive(Serialize, Deserialize)]
struct File {
    format: String,
    #[serde(flatten)]
    calibration: Calibration,
}

/// Returns the cache folder: `WGPU_RNN_CACHE`, or `wgpu-rnn` in the cache folder of the user.
///
/// `None` if the user has no cache folder.
pub fn folder() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("WGPU_RNN_CACHE").filter(|folder| !folder.is_empty()) {
        return Some(folder.into());
    }
    Some(etcetera::base_strategy::choose_native_strategy().ok()?.cache_dir().join("wgpu-rnn"))
}

impl Calibration {
    /// Reads the calibration of a device from the cache folder; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; [`Error::File`] if its content is not a plausible
    /// calibration of this device.
    pub fn find(device: &DeviceId) -> Result<Option<Self>> {
        folder().map_or(Ok(None), |folder| Self::find_in(&folder, device))
    }

    /// Reads the calibration of a device from `folder`, as [`find`](Self::find) does.
    ///
    /// # Errors
    /// The errors of [`find`](Self::find).
    pub fn find_in(folder: &Path, device: &DeviceId) -> Result<Option<Self>> {
        let path = folder.join(file_name(device));
        let text = match fs::read_text(&path) {
            Ok(text) => text,
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let refuse = |what: String| {
            let message = format!("{what}; ignored, `wgpu-rnn calibrate` replaces it");
            Err(Error::File { path: path.clone(), message })
        };
        // The format comes first: other versions have other fields.
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
            return refuse(format!("it describes {}, not {}", calibration.id(), device));
        }
        if !calibration.is_plausible() {
            return refuse("a figure is not plausible".to_owned());
        }
        Ok(Some(calibration))
    }

    /// Writes the calibration to the cache folder and returns the path of the file.
    ///
    /// `None` if the user has no cache folder.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn save(&self) -> Result<Option<PathBuf>> {
        folder().map(|folder| self.save_in(&folder)).transpose()
    }

    /// Writes the calibration to `folder`, as [`save`](Self::save) does.
    ///
    /// # Errors
    /// The errors of [`save`](Self::save).
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

/// Returns the file name of a device: a readable part, and a hash of the whole identity.
fn file_name(id: &DeviceId) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let readable: String = id.device.chars().map(plain).take(40).collect();
    // FNV-1a is stable. Hashes of the standard library can change with its version.
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = id.to_string().bytes().fold(0xcbf2_9ce4_8422_2325, step);
    format!("{readable}-{hash:016x}.json")
}

#[cfg(test)]
mod tests {
    use crate::perf::calibration::Calibration;
    use crate::{Device, Error};

    #[test]
    fn a_saved_calibration_is_found() {
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
    fn unusable_files_are_errors_with_a_reason() {
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
            (good.replace("calibration 4", "calibration 3"), "expected 'wgpu-rnn calibration 4'"),
            (
                "{\"format\": \"wgpu-rnn calibration 1\"}".to_owned(),
                "expected 'wgpu-rnn calibration 4'",
            ),
            (good.replace("\"device\": \"cpu\"", "\"device\": \"Voodoo\""), "it describes Voodoo"),
            (good.replace("\"gflops\": ", "\"gflops\": -"), "not plausible"),
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
