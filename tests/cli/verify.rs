//! `wgpu-rnn verify`.

use wgpu_rnn::internals::diagnostics::compare::unravel;
use wgpu_rnn::internals::params::expected_parameters;
use wgpu_rnn::{Config, StateDict, Tensor};

use crate::files::{Folder, f32s, fixture, weights};
use crate::program::{assert_keys, wgpu_rnn};
use crate::seeded;

const PASSING: &str = "grid_lstm_l2_b3_t11_bf.safetensors";

/// A case that needs something that this version does not do.
fn unsupported(folder: &Folder) -> String {
    let file = std::fs::read(fixture(PASSING)).expect("the fixture is there");
    // The list of features in the metadata, with a made-up one of the same length.
    let text = b"\"features\":\"lstm,";
    let at = file
        .windows(text.len())
        .position(|window| window == text)
        .expect("the fixture lists lstm first");
    let mut file = file;
    file[at..at + text.len()].copy_from_slice(b"\"features\":\"qrnn,");
    folder.write("unsupported.safetensors", file)
}

fn expected(name: &str, tensor: &str) -> Tensor {
    let file = StateDict::open(fixture(name)).expect("the fixture can be read");
    file.tensor(tensor).expect("the fixture has this tensor")
}

#[test]
fn every_fixture_passes_or_is_unsupported() {
    let report = wgpu_rnn(&["verify", "--device", "cpu", "--json", &fixture("")]).ended(0).json();
    let row = &report["results"][0];
    assert_eq!(
        (&row["failed"], &row["errors"]),
        (&0.into(), &0.into()),
        "failures or errors: {report:#}"
    );
    let count = std::fs::read_dir(fixture("")).expect("the folder of fixtures").count();
    assert_eq!(row["cases"].as_array().map(Vec::len), Some(count), "every file is a case");
    let of = |status: &str| {
        row[status].as_u64().unwrap_or_else(|| panic!("no count of {status}: {report:#}"))
    };
    assert_eq!(of("passed") + of("unsupported"), count as u64, "the counts add up");
    assert!(of("passed") > of("unsupported"), "most fixtures are supported: {}", of("passed"));
}

#[test]
fn a_passing_case_is_0() {
    wgpu_rnn(&["verify", "--device", "cpu", &fixture(PASSING)])
        .ended(0)
        .says(&["cpu", "1 passed, 0 failed"]);
    for schedule in ["step", "step_tiled", "sequence"] {
        wgpu_rnn(&["verify", "--device", "cpu", "--schedule", schedule, &fixture(PASSING)])
            .ended(0);
        // The schedule is really asked for what it runs.
        let projected = fixture("proj_lstm_l1_b1_t2_p1.safetensors");
        let ran = wgpu_rnn(&["verify", "--device", "cpu", "--schedule", schedule, &projected]);
        if schedule != "sequence" {
            ran.ended(0);
        } else {
            ran.ended(2).says(&["1 unsupported", schedule, "has no projection"]);
        }
    }
}

#[test]
fn an_altered_case_is_1_and_its_tensor_and_index_are_named() {
    let folder = Folder::new();
    for tensor in ["output", "hn", "cn"] {
        let want = expected(PASSING, tensor);
        let offset = want.data().len() / 2;
        let altered = folder.altered(PASSING, tensor, offset, want.data()[offset] + 0.25);
        let at = format!("{tensor}{:?}", unravel(offset, want.shape()));
        let args = ["verify", "--device", "cpu", &altered];
        wgpu_rnn(&args).ended(1).says(&["fail", &at, "1 of", "0 passed, 1 failed"]);
    }
}

#[test]
fn rounded_weights_agree_with_what_rounding_makes_of_the_case() {
    let args = ["verify", "--device", "cpu", "--dtype", "f16"];
    let report = wgpu_rnn(&[&args[..], &["--json", &fixture("")]].concat()).ended(0).json();
    let row = &report["results"][0];
    assert_eq!(
        (&row["failed"], &row["errors"]),
        (&0.into(), &0.into()),
        "failures or errors: {report:#}"
    );
    assert!(
        row["rounding"].as_f64().is_some_and(|moved| moved > 1e-4),
        "f16 is not f32: {report:#}"
    );
    wgpu_rnn(&[&args[..], &[&fixture(PASSING)]].concat())
        .ended(0)
        .says(&["1 passed, 0 failed", "rounding the weights"]);
    // The change that rounding makes is far below this one.
    let folder = Folder::new();
    let (want, at) = (expected(PASSING, "output"), 3);
    let altered = folder.altered(PASSING, "output", at, want.data()[at] + 1e-2);
    wgpu_rnn(&[&args[..], &[&altered]].concat()).ended(1).says(&["1 of", "0 passed, 1 failed"]);
}

#[test]
fn a_failure_outweighs_everything_else() {
    let folder = Folder::new();
    let altered = folder.altered(PASSING, "hn", 0, 9.0);
    let malformed = folder.write("malformed.safetensors", "no header");
    let args = [
        "verify",
        "--device",
        "cpu",
        &fixture(PASSING),
        &altered,
        &malformed,
        &unsupported(&folder),
    ];
    let ran = wgpu_rnn(&args).ended(1);
    ran.says(&["1 passed, 1 failed", "1 unsupported, 1 errors", &malformed]);
}

#[test]
fn only_unsupported_cases_are_2_and_with_a_passing_one_0() {
    let folder = Folder::new();
    let unsupported = unsupported(&folder);
    let args = ["verify", "--device", "cpu", &unsupported];
    wgpu_rnn(&args).ended(2).says(&["unsupported", "qrnn", "0 passed, 0 failed", "1 unsupported"]);
    let args = ["verify", "--device", "cpu", &unsupported, &fixture(PASSING)];
    wgpu_rnn(&args).ended(0).says(&["1 passed, 0 failed", "1 unsupported"]);
}

#[test]
fn cases_that_cannot_be_read_are_2_and_named() {
    let folder = Folder::new();
    let whole = std::fs::read(fixture(PASSING)).expect("the fixture is there");
    let malformed = [
        folder.write("empty.safetensors", ""),
        folder.write("text.safetensors", "this is not a safetensors file"),
        folder.write("cut.safetensors", &whole[..whole.len() - 1]),
        folder.save("no_metadata.safetensors", &[f32s("input", &expected(PASSING, "input"))]),
    ];
    for path in &malformed {
        let ran = wgpu_rnn(&["verify", "--device", "cpu", path]).ended(2);
        let ran = ran.says(&["error", path, "0 passed, 0 failed, 0 unsupported, 1 errors"]);
        // A passing case beside it does not hide it.
        let both = wgpu_rnn(&["verify", "--device", "cpu", &fixture(PASSING), path]).ended(2);
        assert!(
            both.stdout.contains("1 passed"),
            "{}\nand beside a good one: {}",
            ran.told(),
            both.told()
        );
    }
}

#[test]
fn paths_that_hold_no_case_are_2_and_named() {
    let folder = Folder::new();
    let missing = folder.path("missing.safetensors");
    wgpu_rnn(&["verify", "--device", "cpu", &missing]).refused(&[&missing]);
    wgpu_rnn(&["verify", "--device", "cpu", "--json", &fixture(PASSING), &missing])
        .refused(&[&missing]);
    let empty = folder.path("empty");
    std::fs::create_dir(&empty).expect("an empty folder");
    wgpu_rnn(&["verify", "--device", "cpu", &empty]).refused(&[&empty, "no case files"]);
    wgpu_rnn(&["verify", "--device", "cpu", &fixture(PASSING), &empty]).refused(&[&empty]);
}

#[test]
fn folders_are_searched_to_any_depth() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.path("a/b")).expect("a folder");
    for copy in ["a/b/deep.safetensors", "a/high.safetensors", "a/other.txt"] {
        std::fs::copy(fixture(PASSING), folder.path(copy)).expect("a copy of the fixture");
    }
    wgpu_rnn(&["verify", "--device", "cpu", &folder.path("a")]).ended(0).says(&["2 passed"]);
}

#[test]
fn json_has_every_key_of_the_contract() {
    let folder = Folder::new();
    let altered = folder.altered(PASSING, "output", 5, 9.0);
    let malformed = folder.write("malformed.safetensors", "no header");
    let args = [
        "verify",
        "--device",
        "cpu",
        "--json",
        &fixture(PASSING),
        &altered,
        &unsupported(&folder),
        &malformed,
    ];
    let ran = wgpu_rnn(&args).ended(1);
    assert_eq!(ran.stderr, "", "nothing to say besides the report: {}", ran.told());
    let report = ran.json();
    let results = report["results"].as_array().expect("results is a list");
    assert_eq!(results.len(), 1, "one device: {report:#}");
    assert_keys(
        "a device",
        &results[0],
        &["device", "cases", "passed", "failed", "unsupported", "errors"],
    );
    assert_eq!(results[0]["device"], "cpu", "the device's name");
    for count in ["passed", "failed", "unsupported", "errors"] {
        assert_eq!(results[0][count], 1, "{count}: {report:#}");
    }
    let cases = results[0]["cases"].as_array().expect("cases is a list");
    let statuses: Vec<_> =
        cases.iter().map(|case| case["status"].as_str().unwrap_or_default()).collect();
    assert_eq!(statuses, ["pass", "fail", "unsupported", "error"], "in the order of the paths");
    for case in cases {
        let keys =
            ["id", "path", "status", "reason", "max_abs", "max_rel", "worst", "atol", "rtol"];
        assert_keys("a case", case, &keys);
        assert!(case["id"].is_string() && case["path"].is_string(), "id and path are text: {case}");
        for figure in ["max_abs", "max_rel", "atol", "rtol"] {
            assert!(
                case[figure].is_number() || case[figure].is_null(),
                "{figure} is a number or null: {case}"
            );
        }
        let passed = case["status"] == "pass";
        assert_eq!(case["reason"].is_null(), passed, "a reason unless it passed: {case}");
    }
    let [pass, fail, unsupported, error] = cases.as_slice() else {
        panic!("four cases: {report:#}")
    };
    assert_eq!(pass["path"], fixture(PASSING), "the path as it was given");
    assert!(
        pass["max_abs"].as_f64().is_some_and(|x| x < 1e-5),
        "a passing case has its figures: {pass}"
    );
    assert!(
        pass["atol"].as_f64().is_some_and(|x| x > 0.0),
        "a passing case has its tolerance: {pass}"
    );
    assert_keys("the worst element", &fail["worst"], &["tensor", "index"]);
    assert_eq!(fail["worst"]["tensor"], "output", "{fail}");
    let index = unravel(5, expected(PASSING, "output").shape());
    assert_eq!(fail["worst"]["index"], serde_json::json!(index), "{fail}");
    assert!(fail["max_abs"].as_f64().is_some_and(|x| x > 1.0), "the figures of a failure: {fail}");
    assert_eq!(unsupported["reason"], "qrnn", "the features that are lacking");
    assert!(
        unsupported["worst"].is_null() && error["worst"].is_null(),
        "nothing was compared: {report:#}"
    );
    assert!(
        error["reason"].as_str().is_some_and(|reason| reason.contains(&malformed)),
        "the file: {error}"
    );
}

#[test]
fn figures_that_are_not_finite_are_null() {
    let folder = Folder::new();
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let altered = folder.altered(PASSING, "output", 0, value);
        let report = wgpu_rnn(&["verify", "--device", "cpu", "--json", &altered]).ended(1).json();
        let case = &report["results"][0]["cases"][0];
        assert!(case["max_abs"].is_null(), "an expected {value}: {case}");
        assert_eq!(
            case["worst"]["index"],
            serde_json::json!([0, 0, 0]),
            "an expected {value}: {case}"
        );
    }
    let altered = folder.altered(PASSING, "output", 0, 0.0);
    let report = wgpu_rnn(&["verify", "--device", "cpu", "--json", &altered]).ended(1).json();
    let case = &report["results"][0]["cases"][0];
    // Nothing can be told in proportion to 0: such elements count for max_abs alone.
    assert!(
        case["max_rel"].as_f64().is_some_and(|x| x < 1e-3),
        "the other elements are close: {case}"
    );
    assert!(case["max_abs"].as_f64().is_some_and(|x| x > 1e-3), "a difference from 0: {case}");
}

#[test]
fn a_device_named_twice_is_used_once() {
    let args = ["verify", "--device", "cpu", "--device", "cpu", "--json", &fixture(PASSING)];
    let report = wgpu_rnn(&args).ended(0).json();
    assert_eq!(report["results"].as_array().map(Vec::len), Some(1), "{report:#}");
}

#[test]
fn a_device_that_cannot_be_opened_makes_its_cases_errors() {
    let args = ["verify", "--device", "cpu", "--limit", "memory_budget=0", &fixture(PASSING)];
    wgpu_rnn(&args).ended(2).says(&[
        "error",
        "memory_budget",
        "0 passed, 0 failed, 0 unsupported, 1 errors",
    ]);
}

/// The network of a file is a case for each size, against the definition.
#[test]
fn weights_of_a_user_are_verified_against_the_definition() {
    let folder = Folder::new();
    let config = Config::lstm(3, 5).num_layers(2);
    let file = folder.save("weights.safetensors", &weights(&config, "net."));
    let args = ["verify", "--device", "cpu", "--weights", &file, "--prefix", "net."];
    wgpu_rnn(&args).ended(0).says(&["cpu", "4 passed, 0 failed"]);
    let sized =
        [&args[..], &["--seq-len", "5", "--batch", "2", "--dtype", "f16", "--json"]].concat();
    let report = wgpu_rnn(&sized).ended(0).json();
    let cases = &report["results"][0]["cases"];
    assert_eq!(cases.as_array().map(Vec::len), Some(1), "{report:#}");
    assert_eq!(cases[0]["id"], "LSTM(3, 5, num_layers=2) T=5 B=2");
    assert_eq!((&cases[0]["status"], &cases[0]["path"]), (&"pass".into(), &file.as_str().into()));
    // A chaotic network: from the rounding of f32 on, it goes another way than the definition.
    let chaotic = Config::rnn(3, 64);
    let named = expected_parameters(&chaotic).into_iter().zip(0..);
    let entries = named.map(|((name, shape), i)| f32s(&name, &seeded::tensor(i, &shape, 1.0)));
    let chaotic = folder.save("chaotic.safetensors", &entries.collect::<Vec<_>>());
    wgpu_rnn(&["verify", "--device", "cpu", "--weights", &chaotic]).ended(1).says(&[
        "fail  RNN(3, 64) T=33 B=2",
        "out of tolerance",
        "worst",
        "got",
        "want",
    ]);
    // `bench` checks the same weights.
    let bench = ["bench", "--device", "cpu", "--weights", &chaotic, "--repetitions", "1"];
    wgpu_rnn(&[&bench[..], &["--seq-len", "33", "--seconds", "0.1"]].concat()).ended(1);
    for (refused, named) in [
        (&["--seq-len", "5"][..], "--batch"),
        (&["--nonlinearity", "relu"], "--nonlinearity is for an RNN"),
        (&["--seq-len", "0", "--batch", "2"], "sequence length to be larger than 0"),
        (&["some.safetensors"], "--weights"),
    ] {
        wgpu_rnn(&[&args[..], refused].concat()).refused(&[named]);
    }
    wgpu_rnn(&["verify", "--prefix", "net.", &file]).refused(&["--prefix", "cannot be used"]);
    wgpu_rnn(&["verify", "--prefix", "net."]).refused(&["<PATH>"]);
}
