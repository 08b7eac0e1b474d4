//! The files in `fixtures/language_model`.

use wgpu_rnn::StateDict;

/// Every one of them, in the order of their names.
pub fn fixtures() -> Vec<StateDict> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/language_model");
    let files = std::fs::read_dir(folder).expect("the folder of fixtures");
    let mut paths: Vec<_> = files.map(|file| file.expect("a readable folder").path()).collect();
    paths.sort();
    assert!(paths.len() >= 12, "{} fixtures", paths.len());
    paths
        .iter()
        .map(|path| StateDict::open(path).unwrap_or_else(|error| panic!("{error}")))
        .collect()
}

/// A value of a file's metadata.
pub fn metadata<T: std::str::FromStr>(file: &StateDict, key: &str) -> T {
    let text = file.metadata(key).unwrap_or_else(|| panic!("{}: no {key}", file.path().display()));
    text.parse().unwrap_or_else(|_| panic!("{}: {key} is '{text}'", file.path().display()))
}

/// Tokens that a file holds as whole numbers.
pub fn tokens(file: &StateDict, name: &str) -> Vec<u32> {
    let tokens = file.i64(name).unwrap_or_else(|error| panic!("{error}"));
    tokens.into_iter().map(|token| u32::try_from(token).expect("a token's id")).collect()
}
