//! The tensors of one or more files.

use std::collections::{BTreeMap, HashMap};

use safetensors::Dtype;

use super::bytes::Bytes;
use super::entry::Entry;

/// The tensors of one or more files, and the bytes that hold them.
#[derive(Debug, Clone)]
pub struct Content {
    /// The bytes of each file.
    pub data: Vec<Bytes>,
    /// The tensors by name.
    pub entries: BTreeMap<String, Entry>,
    /// The metadata of a safetensors file, or the values of a checkpoint that are no tensors.
    pub metadata: HashMap<String, String>,
    /// The type of the files, for `inspect`.
    pub file_type: String,
    /// The key of the dict that holds the tensors; `None` when it is the file's only dict.
    pub key: Option<String>,
}

impl Content {
    /// Adds a tensor of these values, or replaces the one of that name.
    pub fn insert(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let mut entry = Entry::dense(shape.to_vec(), Dtype::F32, 0..bytes.len());
        entry.file = self.data.len();
        self.data.push(Bytes::new(bytes));
        self.entries.insert(name.to_owned(), entry);
    }

    /// Adds the tensors of another file. Metadata of the first file that has a key counts.
    ///
    /// # Errors
    /// A message when both have a tensor of the same name.
    pub fn add(&mut self, other: Self) -> Result<(), String> {
        let files = self.data.len();
        for (name, mut entry) in other.entries {
            entry.file += files;
            if self.entries.contains_key(&name) {
                return Err(format!("the tensor '{name}' is also in another file"));
            }
            self.entries.insert(name, entry);
        }
        self.data.extend(other.data);
        for (key, value) in other.metadata {
            self.metadata.entry(key).or_insert(value);
        }
        Ok(())
    }
}
