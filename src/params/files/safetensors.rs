//! Safetensors files.

use safetensors::SafeTensors;

use super::bytes::Bytes;
use super::content::Content;
use super::entry::Entry;

/// Reads the header of a safetensors file.
///
/// # Errors
/// A message when the bytes are not a valid safetensors file, for example because a tensor name
/// occurs twice.
pub fn read(file: Bytes) -> Result<Content, String> {
    let not_valid =
        |error: &dyn std::fmt::Display| format!("not a valid safetensors file: {error}");
    let data: &[u8] = &file;
    let (header_len, header) = SafeTensors::read_metadata(data).map_err(|e| not_valid(&e))?;
    // The header follows 8 bytes of length. The crate keeps only the last of two equal names,
    // which loses data.
    refuse_duplicates(&data[8..8 + header_len]).map_err(|e| not_valid(&e))?;
    let start = 8 + header_len;
    let entries = header.tensors().into_iter().map(|(name, info)| {
        let (begin, end) = info.data_offsets;
        (name, Entry::dense(info.shape.clone(), info.dtype, start + begin..start + end))
    });
    let entries = entries.collect();
    let metadata = header.metadata().iter().flatten();
    let metadata = metadata.map(|(key, value)| (key.clone(), value.clone())).collect();
    Ok(Content { data: vec![file], entries, metadata, file_type: "safetensors".into(), key: None })
}

/// Returns the bytes of the header, which follow its length; none where the bytes are no header.
pub fn header(data: &[u8]) -> &[u8] {
    let length = data.first_chunk().map_or(0, |length| u64::from_le_bytes(*length));
    let header = usize::try_from(length).ok().and_then(|length| data.get(8..)?.get(..length));
    header.unwrap_or(&[])
}

/// Iterates over the header's top-level names and fails on the first that occurs twice.
fn refuse_duplicates(header: &[u8]) -> Result<(), serde_json::Error> {
    struct Names;
    impl<'de> serde::de::Visitor<'de> for Names {
        type Value = ();
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a map of tensors")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            let mut seen = std::collections::HashSet::new();
            while let Some(name) = map.next_key::<String>()? {
                if seen.contains(&name) {
                    return Err(serde::de::Error::custom(format!(
                        "the tensor name '{name}' occurs twice"
                    )));
                }
                map.next_value::<serde::de::IgnoredAny>()?;
                seen.insert(name);
            }
            Ok(())
        }
    }
    serde::Deserializer::deserialize_map(&mut serde_json::Deserializer::from_slice(header), Names)
}
