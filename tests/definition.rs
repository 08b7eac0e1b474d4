//! The reference against the cases of other systems: the definition is what they compute.

#[path = "common/conformance.rs"]
mod conformance;

use wgpu_rnn::internals::diagnostics::case::{CaseFile, Content, Quantity};
use wgpu_rnn::internals::diagnostics::verify::find;

#[test]
fn the_reference_gives_what_the_sources_expect() {
    if conformance::is_absent() {
        return;
    }
    let folder = conformance::part("");
    let mut compared = 0;
    let mut problems = Vec::new();
    for path in find(&[folder]).expect("the folder can be listed") {
        if path.to_string_lossy().contains("/malformed/")
            || path.to_string_lossy().contains("/recipes/")
        {
            continue;
        }
        let case = match CaseFile::open(&path) {
            Ok(case) => case,
            Err(error) => {
                problems.push(error.to_string());
                continue;
            }
        };
        let tolerance = case.tolerance;
        let case = match case.content {
            Content::Case(case) => case,
            Content::Unsupported(features) => {
                problems.push(format!("{}: unsupported {features:?}", case.id));
                continue;
            }
        };
        let outputs = match case.reference(&case.params) {
            Ok(outputs) => outputs,
            Err(error) => {
                problems.push(format!("{}: {error}", path.display()));
                continue;
            }
        };
        for expected in &case.expected {
            let got = match expected.quantity {
                Quantity::Output if case.cell => &outputs.h_n,
                Quantity::Output => &outputs.output,
                Quantity::Hn => &outputs.h_n,
                Quantity::Cn => &outputs.c_n,
                _ => continue,
            };
            let worst = got
                .iter()
                .zip(expected.tensor.data())
                .map(|(got, &want)| (got - f64::from(want)).abs())
                .fold(0.0, f64::max);
            if got.len() != expected.tensor.data().len() || worst > tolerance.atol {
                problems.push(format!(
                    "{} {}: {worst:e}, accepted {:e}",
                    path.display(),
                    expected.quantity.name(),
                    tolerance.atol
                ));
            }
            compared += 1;
        }
    }
    assert!(
        problems.is_empty(),
        "{compared} compared, {} problems:\n{}",
        problems.len(),
        problems.join("\n")
    );
}
