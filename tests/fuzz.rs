//! The checks of the fuzz targets on the inputs in `fuzz/corpus`, on changed fixtures and on random
//! bytes.

#[path = "../fuzz/checks.rs"]
mod checks;

use std::cell::Cell;
use std::path::PathBuf;

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
