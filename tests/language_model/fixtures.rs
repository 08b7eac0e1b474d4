//! The definition against PyTorch. `fixtures/language_model.py` made the files.

use wgpu_rnn::internals::diagnostics::compare::{Comparison, Tolerance};
use wgpu_rnn::internals::reference;
use wgpu_rnn::language_model::{LanguageModelConfig, LanguageModelParams, parse_rnn_type};
use wgpu_rnn::{Kind, StateDict};

use crate::language_models::{fixtures, metadata, tokens};

/// PyTorch's float64, rounded to float32 once: the definition rounds to the same value or the next.
const ONE_ROUNDING: Tolerance = Tolerance::new(1e-12, 1.2e-7);

/// The configuration that the metadata tell.
fn config(file: &StateDict) -> LanguageModelConfig {
    let size = |key: &str| metadata(file, key);
    let rnn_type: String = metadata(file, "rnn_type");
    let rnn_type = parse_rnn_type(&rnn_type).unwrap_or_else(|error| panic!("{error}"));
    LanguageModelConfig::new(rnn_type, size("ntoken"), size("ninp"), size("nhid"), size("nlayers"))
        .tie_weights(metadata(file, "tie_weights"))
}

#[test]
fn state_dicts_are_read_as_what_they_were_written_from() {
    let mut seen = Vec::new();
    for file in fixtures() {
        let want = config(&file);
        for told in [None, Some(want.rnn_type)] {
            let params = LanguageModelParams::from_state_dict(&file, "model.", told)
                .unwrap_or_else(|error| panic!("{}: {error}", file.path().display()));
            assert_eq!(params.config(), &want, "{}", file.path().display());
        }
        seen.push((want.rnn_type, want.tie_weights));
    }
    for &kind in Kind::ALL {
        assert!(seen.iter().any(|(seen, _)| *seen == kind), "no fixture of {kind}");
    }
    assert!(
        seen.iter().any(|(_, tied)| *tied) && seen.iter().any(|(_, tied)| !tied),
        "tied and not"
    );
}

#[test]
fn the_definition_gives_pytorchs_logits_and_states() {
    let mut compared = 0;
    for file in fixtures().iter().filter(|file| file.get("tokens").is_some()) {
        let what = file.path().display();
        let params =
            LanguageModelParams::from_state_dict(file, "model.", None).expect("loaded before");
        let &[seq_len, batch] = file.get("tokens").expect("filtered").shape() else {
            panic!("{what}: [T, B]")
        };
        let state = |name: &str| file.get(name).map(|_| file.f32(name).expect("a state"));
        let (h_0, c_0) = (state("h0"), state("c0"));
        let tokens = tokens(file, "tokens");
        let (logits, outcome) = reference::language_model(
            &params,
            &tokens,
            seq_len,
            batch,
            h_0.as_deref(),
            c_0.as_deref(),
        );
        let mut comparison = Comparison::default();
        let mut compare = |name: &str, got: &[f64]| {
            let want = file.tensor(name).unwrap_or_else(|error| panic!("{error}"));
            let got: Vec<f32> = got.iter().map(|&value| value as f32).collect();
            let wide: Vec<f64> = want.data().iter().map(|&value| f64::from(value)).collect();
            comparison.add(name, want.shape(), &got, &wide, ONE_ROUNDING);
        };
        compare("logits", &logits);
        compare("hn", &outcome.h_n);
        if params.config().rnn_type == Kind::Lstm {
            compare("cn", &outcome.c_n);
        }
        assert!(comparison.agrees() && comparison.count > 0, "{what}: {comparison:?}");
        compared += 1;
    }
    assert!(compared >= 9, "{compared} fixtures with tokens");
}

#[test]
fn the_definition_gives_pytorchs_loss_of_a_text() {
    let mut compared = 0;
    for file in fixtures().iter().filter(|file| file.get("text").is_some()) {
        let params =
            LanguageModelParams::from_state_dict(file, "model.", None).expect("loaded before");
        let want: f64 = metadata(file, "loss");
        let got = reference::text_loss(&params, &tokens(file, "text"), metadata(file, "streams"));
        assert!(
            (got - want).abs() <= 1e-12 * want,
            "{}: got {got}, want {want}",
            file.path().display()
        );
        compared += 1;
    }
    assert!(compared >= 3, "{compared} fixtures with a text");
}

#[test]
fn the_likelihood_of_a_target_is_its_share_of_the_exponentials() {
    let logits = [0.0, 3_f64.ln(), 1000.0, 1000.0];
    let got = reference::negative_log_likelihood(&logits, &[1, 0]);
    for (got, want) in got.iter().zip([-(0.75_f64.ln()), 2_f64.ln()]) {
        assert!((got - want).abs() < 1e-15, "got {got}, want {want}");
    }
    assert_eq!(reference::negative_log_likelihood(&[], &[]), [0.0; 0], "no targets");
}
