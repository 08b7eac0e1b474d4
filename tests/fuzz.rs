//! The checks of the fuzz targets on the inputs in `fuzz/corpus`, on changed fixtures and on random
//! bytes.

#[path = "../fuzz/checks.rs"]
mod checks;

use std::cell::Cell;
use std::path::PathBuf;
use std::time::Instant;

use proptest::collection::vec;
use proptest::prelude::any;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use wgpu_rnn::internals::params::random::Mt19937;

/// The files of a folder of this repository.
fn files(folder: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries =
        std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    paths
        .into_iter()
        .map(|path| (path.clone(), std::fs::read(&path).expect("it can be read")))
        .collect()
}

/// At least `least` of a target's kept inputs must pass its check as valid.
fn corpus(target: &str, check: fn(&[u8]) -> bool, least: usize) {
    let files = files(&format!("fuzz/corpus/{target}"));
    let mut accepted = 0;
    for (path, bytes) in &files {
        println!("{}", path.display());
        accepted += usize::from(check(bytes));
    }
    assert!(
        accepted >= least,
        "{target}: only {accepted} of {} inputs are not refused",
        files.len()
    );
}

#[test]
fn kept_inputs_of_state_dict() {
    corpus("state_dict", checks::state_dict, 6);
}

#[test]
fn kept_inputs_of_case() {
    corpus("case", checks::case, 25);
}

#[test]
fn kept_inputs_of_snapshot() {
    corpus("snapshot", checks::snapshot, 2);
}

#[test]
fn kept_inputs_of_checkpoint() {
    corpus("checkpoint", checks::checkpoint, 3);
    for version in ["1.13", "2.9"] {
        let files = files(&format!("tests/fixtures/checkpoints/{version}"));
        let read = files.iter().filter(|(_, bytes)| checks::checkpoint(bytes)).count();
        assert!(read >= 11, "{version}: only {read} of {} files hold tensors", files.len());
    }
}

#[test]
fn kept_inputs_of_pickle() {
    corpus("pickle", checks::pickle, 5);
}

#[test]
fn kept_inputs_of_onnx() {
    corpus("onnx", checks::onnx, 10);
}

#[test]
fn kept_inputs_of_config() {
    corpus("config", checks::config, 20);
}

/// Fixtures with some bytes changed, most of them in the header.
#[test]
fn changed_fixtures_are_refused_or_read() {
    let mut dice = Mt19937::new(3);
    let mut below = |bound: usize| dice.next_u32() as usize % bound;
    for (_, bytes) in files("tests/fixtures/pytorch") {
        for _ in 0..20 {
            let mut changed = bytes.clone();
            for _ in 0..1 + below(3) {
                let at =
                    if below(4) > 0 { below(bytes.len().min(900)) } else { below(bytes.len()) };
                let at = at.min(changed.len() - 1);
                match below(4) {
                    0 => changed[at] ^= 1 << below(8),
                    1 => changed[at] = b"0123456789{}[],:\"-"[below(18)],
                    2 => _ = changed.remove(at),
                    _ => changed.truncate(at.max(1)),
                }
            }
            checks::state_dict(&changed);
            checks::case(&changed);
        }
    }
}

/// Changes some bytes of ONNX models until the time is over. Returns the number of those that load.
fn changed_models(seed: u64, mut more: impl FnMut(usize) -> bool) -> usize {
    let folders = ["fuzz/corpus/onnx", "tests/fixtures/onnx"].map(files);
    let is_model = |(path, _): &(PathBuf, _)| path.extension().is_none_or(|end| end == "onnx");
    let seeds: Vec<_> = folders.into_iter().flatten().filter(is_model).collect();
    let mut dice = Mt19937::new(seed);
    let mut below = |bound: usize| dice.next_u32() as usize % bound;
    let (mut ran, mut read) = (0, 0);
    while more(ran) {
        let mut bytes = seeds[below(seeds.len())].1.clone();
        change(&mut bytes, &mut below);
        read += usize::from(checks::onnx(&bytes));
        ran += 1;
    }
    println!("{read} of {ran} changed models have networks");
    read
}

#[test]
fn changed_models_are_refused_or_read() {
    let read = changed_models(5, |ran| ran < 20_000);
    assert!((1000..19_000).contains(&read), "both happen: {read} of 20000 were read");
}

/// Changes some bytes of a file or of a pickle: one bit, one byte, a length, a piece moved or cut.
fn change(bytes: &mut Vec<u8>, below: &mut impl FnMut(usize) -> usize) {
    // Operations of pickle, and bytes at the borders of lengths and signs.
    const BYTES: &[u8] = b"().0abceghjqrstuKMJNQRX]}\x80\x85\x8a\x93\x94\x95\0\x01\x7f\xff";
    for _ in 0..1 + below(4) {
        let at = below(bytes.len().max(1));
        let end = (at + below(16)).min(bytes.len());
        match below(7) {
            _ if bytes.is_empty() => bytes.push(BYTES[below(BYTES.len())]),
            0 => bytes[at] ^= 1 << below(8),
            1 | 2 => bytes[at] = BYTES[below(BYTES.len())],
            3 => bytes.insert(at, BYTES[below(BYTES.len())]),
            4 => _ = bytes.drain(at..end),
            5 => {
                let piece = bytes[at..end].to_vec();
                let to = below(bytes.len());
                bytes.splice(to..to, piece);
            }
            _ => bytes.truncate(at),
        }
    }
}

/// Runs changed files of `torch.save` and changed pickles until the time is over.
fn changed_checkpoints(seed: u64, mut more: impl FnMut(usize) -> bool) -> usize {
    let seeds = |folder: &str| files(folder).into_iter().map(|(_, bytes)| bytes);
    let versions = ["1.13", "2.9"].map(|v| seeds(&format!("tests/fixtures/checkpoints/{v}")));
    let archives: Vec<_> =
        versions.into_iter().flatten().chain(seeds("fuzz/corpus/checkpoint")).collect();
    let pickles: Vec<_> = seeds("fuzz/corpus/pickle").collect();
    let mut dice = Mt19937::new(seed);
    let mut below = |bound: usize| dice.next_u32() as usize % bound;
    let (mut ran, mut read) = (0, 0);
    while more(ran) {
        let (seeds, check): (_, fn(&[u8]) -> bool) = if below(4) == 0 {
            (&archives, checks::checkpoint)
        } else {
            (&pickles, checks::pickle)
        };
        let mut bytes = seeds[below(seeds.len())].clone();
        change(&mut bytes, &mut below);
        read += usize::from(check(&bytes));
        ran += 1;
    }
    println!("{read} of {ran} changed inputs hold tensors");
    read
}

#[test]
fn changed_checkpoints_are_refused_or_read() {
    let read = changed_checkpoints(4, |ran| ran < 20_000);
    assert!((100..19_000).contains(&read), "both happen: {read} of 20000 were read");
}

/// `cargo test --release --test fuzz -- --ignored --nocapture`
#[test]
#[ignore = "takes ten minutes"]
fn ten_minutes_of_changed_checkpoints() {
    ten_minutes(|seed, start| changed_checkpoints(seed, |_| start.elapsed().as_secs() < 600));
}

/// `cargo test --release --test fuzz models -- --ignored --nocapture`
#[test]
#[ignore = "takes ten minutes"]
fn ten_minutes_of_changed_models() {
    ten_minutes(|seed, start| changed_models(seed, |_| start.elapsed().as_secs() < 600));
}

fn ten_minutes(run: impl FnOnce(u64, Instant) -> usize) {
    let clock = std::time::SystemTime::UNIX_EPOCH.elapsed();
    let seed = clock.map_or(0, |clock| clock.as_secs());
    println!("seed {seed}");
    let read = run(seed, Instant::now());
    assert!(read > 0, "some are read");
}

#[test]
fn any_configuration_is_refused_or_gives_the_definition() {
    let compared = Cell::new(0);
    // The same on every run, so that the count below is; new ones are what the fuzzer is for.
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config { cases: 4000, ..Config::default() }, random);
    let ran = runner.run(&vec(any::<u8>(), 20..40), |bytes| {
        compared.set(compared.get() + usize::from(checks::config(&bytes)));
        Ok(())
    });
    ran.unwrap_or_else(|error| panic!("{error}"));
    assert!(compared.get() > 400, "only {} of 4000 were run", compared.get());
}
