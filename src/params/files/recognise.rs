//! The types of files, by their first bytes.

/// The types that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileType {
    /// The default: its reader refuses everything else.
    Safetensors,
    /// A file of `torch.save`, or another archive.
    Zip,
    /// The index of a sharded checkpoint, or other JSON.
    Json,
}

/// The line that turns a checkpoint into a file that is read.
pub const SAVE: &str = "save the weights in Python: torch.save(model.state_dict(), \"weights.pt\")";

/// The number that begins a file of `torch.save` before PyTorch 1.6, as pickle writes it.
const LEGACY: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

/// The first bytes of types that are not read, their names, and the advice for each.
const OTHERS: [(&[u8], &str, &str); 13] = [
    (b"\x93NUMPY", "a NumPy array (.npy)", "save the weights with safetensors.numpy.save_file"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (.h5, as Keras writes)", KERAS),
    (b"GGUF", "a GGUF file", "its weights are of another runtime; take the model's PyTorch files"),
    (b"\x1f\x8b", "compressed with gzip", "decompress it with gunzip"),
    (b"\x28\xb5\x2f\xfd", "compressed with Zstandard", "decompress it with unzstd"),
    (b"\xfd7zXZ\0", "compressed with xz", "decompress it with unxz"),
    (b"BZh", "compressed with bzip2", "decompress it with bunzip2"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it"),
    (b"version https://git-lfs", "a Git LFS pointer, not the weights", "run: git lfs pull"),
    (b"\x80\x02", PICKLE, SAVE),
    (b"\x80\x03", PICKLE, SAVE),
    (b"\x80\x04", PICKLE, SAVE),
    (b"\x80\x05", PICKLE, SAVE),
];

const PICKLE: &str = "a Python pickle that torch.save did not write";

/// The advice for Keras, whose gates have another order.
pub const KERAS: &str =
    "save its arrays as safetensors; a program converts them with Params::from_convention";

/// The advice for ONNX, whose networks have attributes, states and lengths.
const ONNX: &str = "run, compare and inspect read it; a program opens it with onnx::OnnxModel";

/// Recognises a file by its first bytes.
///
/// # Errors
/// A message that names a type that is not read, and the line that helps.
pub fn recognise(data: &[u8]) -> Result<FileType, String> {
    let refuse = |name: &str, advice: &str| Err(format!("the file is {name}; {advice}"));
    if data.is_empty() {
        return refuse("empty", "download or save it again");
    }
    // A header of JSON follows its length. No other type has both within the file.
    let length = data.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    if data.get(8) == Some(&b'{') && length.is_some_and(|length| length <= data.len() as u64) {
        return Ok(FileType::Safetensors);
    }
    if data.starts_with(b"PK\x03\x04") || data.starts_with(b"PK\x05\x06") {
        return Ok(FileType::Zip);
    }
    if data.first() == Some(&0x80) && data.get(2..).is_some_and(|rest| rest.starts_with(LEGACY)) {
        return refuse(
            "in PyTorch's legacy format",
            "convert it in Python: torch.save(torch.load(\"OLD\", map_location=\"cpu\"), \"NEW\")",
        );
    }
    if let Some((_, name, advice)) = OTHERS.iter().find(|(first, ..)| data.starts_with(first)) {
        return refuse(name, advice);
    }
    if data.get(4..8) == Some(b"TFL3") {
        return refuse("a TensorFlow Lite model", KERAS);
    }
    if is_onnx(data) {
        return refuse("an ONNX model", ONNX);
    }
    let text = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data).trim_ascii_start();
    let begins = |word: &str| {
        text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
    };
    if ["<!doctype html", "<html", "<head", "<!--", "<?xml"].into_iter().any(begins) {
        return refuse(
            "an HTML page",
            "the download was an error or a sign-in page; download the file itself",
        );
    }
    if text.first() == Some(&b'{') {
        return Ok(FileType::Json);
    }
    Ok(FileType::Safetensors)
}

/// Whether a file begins as a `ModelProto`: `ir_version`, a small number, and then a field of text,
/// the model's version, the graph, or the operator set.
pub fn is_onnx(data: &[u8]) -> bool {
    matches!(data, [0x08, 1..=0x20, 0x12 | 0x1a | 0x22 | 0x28 | 0x32 | 0x3a | 0x42, ..])
}
