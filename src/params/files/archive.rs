//! Zip archives, in which `torch.save` stores a pickle and the bytes of each storage.

use std::collections::BTreeMap;
use std::ops::Range;

use rawzip::{CompressionMethod, ZipArchive};

use super::Refusal;
use super::recognise::{KERAS, SAVE};
use crate::tensor::Growth;

/// A file of an archive.
struct Member {
    method: CompressionMethod,
    bytes: Range<usize>,
}

/// The archive of a file of `torch.save`. It refers to the archive's bytes and copies none.
pub struct Archive {
    /// The folder that holds everything, with its slash.
    root: String,
    members: BTreeMap<String, Member>,
}

impl Archive {
    /// Reads the list of members.
    ///
    /// # Errors
    /// A message when the archive is damaged, or is of another type: the message names it;
    /// [`Refusal::Memory`] when the host's memory does not hold the names.
    pub fn open(data: &[u8]) -> Result<Self, Refusal> {
        let damaged = |error: rawzip::Error| {
            format!("the zip archive is damaged or not complete: {error}; download it again")
        };
        let archive = ZipArchive::from_slice(data).map_err(damaged)?;
        let mut members = BTreeMap::new();
        let (mut names, mut growth) = (0, Growth::default());
        for record in archive.entries() {
            let record = record.map_err(damaged)?;
            let name = String::from_utf8_lossy(record.file_path().as_bytes()).into_owned();
            names += name.len();
            growth.reaches(names + 160 * (members.len() + 1), "the names in a zip archive")?;
            let member = archive.get_entry(record.wayfinder()).map_err(damaged)?;
            let (start, end) = member.compressed_data_range();
            let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
            let bytes = range.map(|(start, end)| start..end).filter(|at| at.end <= data.len());
            let bytes =
                bytes.ok_or_else(|| format!("'{name}' reaches past the end of the file"))?;
            let member = Member { method: record.compression_method(), bytes };
            if members.insert(name.clone(), member).is_some() {
                return Err(format!("the zip archive holds '{name}' twice").into());
            }
        }
        let pickles: Vec<&str> =
            members.keys().filter_map(|name| name.strip_suffix("data.pkl")).collect();
        match pickles.as_slice() {
            [] => Err(other_type(&members).into()),
            &[root] if root.is_empty() || root.ends_with('/') => {
                let code = format!("{root}code/");
                let constants = members.contains_key(&format!("{root}constants.pkl"));
                if constants || members.keys().any(|name| name.starts_with(&code)) {
                    return Err("the file is a TorchScript archive; save its weights in Python: \
                         torch.save(torch.jit.load(\"FILE\").state_dict(), \"weights.pt\")"
                        .to_owned()
                        .into());
                }
                Ok(Self { root: root.to_owned(), members })
            }
            several => {
                Err(format!("the zip archive holds {} files data.pkl", several.len()).into())
            }
        }
    }

    /// Returns the place of a member, by its name in the root folder; `None` without one.
    ///
    /// # Errors
    /// A message when the member is compressed.
    pub fn find(&self, name: &str) -> Result<Option<Range<usize>>, String> {
        let name = format!("{}{name}", self.root);
        let Some(member) = self.members.get(&name) else { return Ok(None) };
        if member.method != CompressionMethod::STORE {
            return Err(format!(
                "'{name}' is compressed with {}, which torch.save never does; load the file in \
                 Python and save it again",
                member.method.name().unwrap_or("an unknown method")
            ));
        }
        Ok(Some(member.bytes.clone()))
    }
}

/// Names an archive that has no `data.pkl`.
fn other_type(members: &BTreeMap<String, Member>) -> String {
    let has = |name: &str| members.contains_key(name);
    if !members.is_empty() && members.keys().all(|name| name.ends_with(".npy")) {
        return "the file is a NumPy archive (.npz); save the weights with \
                safetensors.numpy.save_file"
            .to_owned();
    }
    if has("model.weights.h5") || has("config.json") && has("metadata.json") {
        return format!("the file is a Keras model (.keras); {KERAS}");
    }
    format!("the file is a zip archive without the data.pkl of torch.save; {SAVE}")
}
