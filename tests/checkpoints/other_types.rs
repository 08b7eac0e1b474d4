//! Files of other types are named, with the line that helps.

use tempfile::tempdir;

use crate::assert_refused;
use crate::pickles::zip;

/// The part of the advice for Keras.
const KERAS: &str = "converts them with Params::from_convention";

#[test]
fn files_of_other_types_are_named() {
    let onnx = b"\x08\x08\x12\x07pytorch\x1a\x051.13.0:\x80\x01\x0a";
    let npz = zip(&[("h.npy", b"\x93NUMPY"), ("c.npy", b"\x93NUMPY")]);
    let keras = zip(&[("metadata.json", b"{}"), ("config.json", b"{}"), ("model.weights.h5", b"")]);
    let files: [(&str, &[u8], &str, &str); 22] = [
        ("empty", b"", "the file is empty", "download or save it again"),
        ("a.npy", b"\x93NUMPY\x01\0v\0{", "a NumPy array (.npy)", "safetensors.numpy.save_file"),
        ("a.npz", &npz, "a NumPy archive (.npz)", "safetensors.numpy.save_file"),
        ("a.h5", b"\x89HDF\r\n\x1a\n\0\0", "an HDF5 file (.h5, as Keras writes)", KERAS),
        ("a.keras", &keras, "a Keras model (.keras)", KERAS),
        ("a.tflite", b"\x1c\0\0\0TFL3\x14\0", "a TensorFlow Lite model", KERAS),
        ("a.gguf", b"GGUF\x03\0\0\0", "a GGUF file", "take the model's PyTorch files"),
        ("a.onnx", onnx, "an ONNX model", "opens it with onnx::OnnxModel"),
        ("a.gz", b"\x1f\x8b\x08\0\0\0\0\0", "compressed with gzip", "gunzip"),
        ("a.zst", b"\x28\xb5\x2f\xfd\x04", "compressed with Zstandard", "unzstd"),
        ("a.xz", b"\xfd7zXZ\0\0\x04", "compressed with xz", "unxz"),
        ("a.bz2", b"BZh91AY", "compressed with bzip2", "bunzip2"),
        ("a.7z", b"7z\xbc\xaf\x27\x1c\0", "a 7-Zip archive", "unpack it"),
        (
            "a.pt",
            b"version https://git-lfs.github.com/spec/v1\n",
            "a Git LFS pointer",
            "git lfs pull",
        ),
        ("b.pt", b"<!DOCTYPE html>\n<html>", "an HTML page", "sign-in page"),
        ("c.pt", b"\xef\xbb\xbf\n <HTML lang=\"en\">", "an HTML page", "sign-in page"),
        ("a.pkl", b"\x80\x04\x95\x0b\0\0\0\0\0\0\0}", "a Python pickle", "torch.save(model."),
        ("b.pkl", b"\x80\x02}q\0.", "that torch.save did not write", "torch.save(model."),
        (
            "a.zip",
            &zip(&[("readme", b"hello")]),
            "a zip archive without the data.pkl",
            "torch.save(",
        ),
        (
            "a.json",
            b"{\"architectures\": []}",
            "not the index of a sharded checkpoint",
            "weight_map",
        ),
        (
            "c.zip",
            b"PK\x03\x04\x14\0",
            "the zip archive is damaged",
            "Missing end of central directory",
        ),
        ("a.txt", b"notes about a model", "not a valid safetensors file", "header too large"),
    ];
    let folder = tempdir().expect("a temporary folder");
    for (name, bytes, what, advice) in files {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("a file in a new folder");
        assert_refused(&path, what);
        assert_refused(&path, advice);
    }
}
