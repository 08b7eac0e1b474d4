//! `wgpu-rnn bench` and `wgpu-rnn calibrate`. No test compares a figure with a clock.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::files::Folder;
use crate::program::{Ran, assert_keys, command, finish, wgpu_rnn};

/// A shape that is done at once.
pub const TINY: [&str; 17] = [
    "bench",
    "--device",
    "cpu",
    "--kind",
    "gru",
    "--input-size",
    "3",
    "--hidden-size",
    "5",
    "--num-layers",
    "2",
    "--bidirectional",
    "--seq-len",
    "4",
    "--batch",
    "2",
    "--seconds=1",
];

/// Runs with a cache folder of its own.
fn with_cache(folder: &Folder, args: &[&str]) -> Ran {
    let mut command = command(args);
    command.env("WGPU_RNN_CACHE", folder.path("cache"));
    finish(command)
}

fn report(path: &str) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn json_has_the_keys_of_the_contract() {
    let folder = Folder::new();
    let json = folder.path("rows.json");
    let ran = with_cache(&folder, &[&TINY[..], &["--json", &json]].concat())
        .ended(0)
        .says(&["cpu", "gru T=4 B=2"]);
    assert!(ran.stderr.contains("no roofline for cpu"), "it was never measured: {}", ran.told());
    let report = report(&json);
    assert_keys(
        "the report",
        &report,
        &["machine", "rows", "skipped", "means", "peers", "calibrations", "started", "command"],
    );
    assert_eq!((&report["complete"], &report["planned"]), (&json!(true), &json!(1)), "{report:#}");
    let command = report["command"].as_str().unwrap_or_default();
    assert!(command.contains("bench --device cpu --kind gru"), "{report:#}");
    let row = &report["rows"][0];
    assert_keys(
        "a row",
        row,
        &["device", "backend", "driver", "kind", "input_size", "hidden_size", "num_layers"],
    );
    assert_keys(
        "a row",
        row,
        &["bidirectional", "seq_len", "batch", "dtype", "schedule", "wall_us", "gpu_us"],
    );
    assert_keys(
        "a row",
        row,
        &["us_per_step", "floor_us_per_step", "bound", "dispatches", "encode_us"],
    );
    assert_keys("wall_us", &row["wall_us"], &["median", "min", "p95"]);
    for (key, want) in [
        ("device", json!("cpu")),
        ("backend", json!("cpu")),
        ("kind", json!("gru")),
        ("input_size", json!(3)),
        ("hidden_size", json!(5)),
        ("num_layers", json!(2)),
        ("bidirectional", json!(true)),
        ("seq_len", json!(4)),
        ("batch", json!(2)),
        ("dtype", json!("f32")),
        ("gpu_us", Value::Null),
        ("floor_us_per_step", Value::Null),
        ("bound", Value::Null),
        ("agrees", json!(true)),
    ] {
        assert_eq!(row[key], want, "{key}: {row:#}");
    }
    assert!(row["max_abs_vs_f64"].as_f64().is_some_and(|x| x > 0.0 && x < 1e-5), "{row:#}");
    assert!(row["wall_us"]["min"].as_f64().is_some_and(|x| x > 0.0), "{row:#}");
}

#[test]
fn calibrating_gives_a_roofline() {
    let folder = Folder::new();
    let ran = with_cache(&folder, &["calibrate", "--device", "cpu", "--json"]).ended(0);
    let calibration = &ran.json()["calibrations"][0];
    assert_keys(
        "a calibration",
        calibration,
        &["device", "backend", "driver", "measured", "dispatch_us", "bandwidth"],
    );
    assert_keys(
        "a calibration",
        calibration,
        &["barrier_us", "gflops", "encode_us", "read_back_us", "timestamps"],
    );
    assert!(calibration["gflops"].as_f64().is_some_and(|x| x > 0.0), "{calibration:#}");
    assert!(ran.stderr.contains("kept in"), "{}", ran.told());
    let mut kept = std::fs::read_dir(folder.path("cache")).expect("a folder of calibrations");
    let kept = kept.next().expect("a file").expect("it can be listed").path();
    let (json, html) = (folder.path("rows.json"), folder.path("page.html"));
    let args = [&TINY[..], &["--json", &json, "--html", &html, "--explain"]].concat();
    let ran = with_cache(&folder, &args).ended(0).says(&[
        "at least",
        "bound by",
        "measured",
        "dispatches",
        "schedule step: ",
    ]);
    assert!(!ran.stderr.contains("no roofline"), "{}", ran.told());
    let row = &report(&json)["rows"][0];
    assert!(row["floor_us_per_step"].as_f64().is_some_and(|x| x > 0.0), "{row:#}");
    assert!(
        ["weights", "arithmetic", "io", "sync"].iter().any(|bound| row["bound"] == *bound),
        "{row:#}"
    );
    let page = std::fs::read_to_string(&html).expect("the page was written");
    for text in ["The stroke is", "class=\"roofline\""] {
        assert!(page.contains(text), "no '{text}': {page}");
    }
    // A busy machine spoils a calibration, which the page then says.
    let shares = ["% of its roofline, geometric mean of 1", "cpu is faster than its roofline"];
    assert!(shares.iter().any(|share| page.contains(share)), "{page}");
    assert!(!page.contains("no roofline yet"), "{page}");
    // What was kept and is spoilt is told and left alone.
    let cache = std::path::PathBuf::from(folder.path("cache"));
    let files: Vec<_> = std::fs::read_dir(&cache)
        .expect("the cache is there")
        .map(|e| e.expect("a file").path())
        .collect();
    assert_eq!(files.len(), 1, "a file for each device: {files:?}");
    std::fs::write(&files[0], "{").expect("it can be written");
    let ran = with_cache(&folder, &TINY).ended(0);
    assert!(
        ran.stderr.contains("not a calibration") && ran.stderr.contains("ignored"),
        "{}",
        ran.told()
    );
    // A corrupt file is reported, and replaced by typical figures.
    for corrupt in [&b"\xff\xfe"[..], b"{}", b""] {
        std::fs::write(&kept, corrupt).expect("the file can be written");
        let ran = with_cache(&folder, &TINY).ended(0);
        assert!(ran.stderr.contains("warning: "), "{}", ran.told());
    }
}

/// The figures go to stdout all the same.
#[test]
fn a_calibration_that_is_not_kept_is_an_error() {
    let folder = Folder::new();
    let mut command = command(&["calibrate", "--device", "cpu"]);
    command.env("WGPU_RNN_CACHE", folder.write("file", "no folder"));
    let ran = finish(command).ended(2).says(&["GFLOP/s"]);
    assert!(ran.stderr.contains("error: not kept: "), "{}", ran.told());
}

#[test]
fn calibrate_prints_its_figures() {
    let folder = Folder::new();
    let want = ["cpu", "µs", "GFLOP/s", "64 KiB", "GB/s", "linear", "step", "64 rows"];
    with_cache(&folder, &["calibrate", "--device", "cpu"]).ended(0).says(&want);
}

/// A row of another system for the tiny shape.
pub fn peer(change: impl FnOnce(&mut Value)) -> Value {
    let mut row = json!({
        "system": "slow <system>", "device": "elsewhere & here",
        "backend": "x", "driver": "", "kind": "gru",
        "input_size": 3, "hidden_size": 5, "num_layers": 2, "bidirectional": true,
        "seq_len": 4, "batch": 2,
        "dtype": "f32", "wall_us": {"median": 1e9, "min": 1e9, "p95": 1e9}, "us_per_step": 1.25e8,
    });
    change(&mut row);
    row
}

#[test]
fn peers_of_the_same_shape_are_compared() {
    let folder = Folder::new();
    let rows = json!({"machine": {}, "rows": [
        peer(|_| {}),
        peer(|row| row["seq_len"] = json!(5)),
        peer(|row| row["kind"] = json!("lstm")),
        peer(|row| row["dtype"] = json!("f16")),
        peer(|row| row["bidirectional"] = json!(false)),
    ]});
    let peers = folder.write("peers.json", rows.to_string());
    let json = folder.path("rows.json");
    let ran =
        with_cache(&folder, &[&TINY[..], &["--json", &json, "--with", &peers]].concat()).ended(0);
    ran.says(&[
        "slow <system> on elsewhere & here takes ",
        " × as long (wall)",
        " × as long, geometric mean of 1 (wall)",
    ]);
    let report = report(&json);
    assert_eq!(report["peers"].as_array().map(Vec::len), Some(5), "all rows are kept: {report:#}");
    let row = &report["rows"][0];
    let ratios = row["ratios"].as_array().expect("ratios is a list");
    assert_eq!(ratios.len(), 1, "the others are of other shapes: {row:#}");
    let want = 1e9 / row["wall_us"]["median"].as_f64().expect("a figure");
    let got = ratios[0]["ratio"].as_f64().expect("a figure");
    assert!((got / want - 1.0).abs() < 1e-9, "got {got}, want {want}");
    assert_eq!((&ratios[0]["system"], &ratios[0]["by"]), (&json!("slow <system>"), &json!("wall")));
    let means = report["means"].as_array().expect("means is a list");
    assert_eq!(means.len(), 1, "{means:#?}");
    assert_keys(
        "a mean",
        &means[0],
        &["device", "backend", "system", "on", "by", "ratio", "shapes"],
    );
    let mean = means[0]["ratio"].as_f64().expect("a figure");
    assert!((mean / got - 1.0).abs() < 1e-9, "the mean of one is {got}: {means:#?}");
}

#[test]
fn the_page_is_well_formed_and_needs_nothing_beside_it() {
    let folder = Folder::new();
    let peers = folder.write("peers.json", json!({"rows": [peer(|_| {})]}).to_string());
    let html = folder.path("page.html");
    with_cache(&folder, &[&TINY[..], &["--html", &html, "--with", &peers]].concat()).ended(0);
    let page = std::fs::read_to_string(&html).expect("the page was written");
    let options =
        roxmltree::ParsingOptions { allow_dtd: true, ..roxmltree::ParsingOptions::default() };
    let document = roxmltree::Document::parse_with_options(&page, options).expect("well-formed");
    let names: Vec<&str> =
        document.descendants().filter(|n| n.is_element()).map(|n| n.tag_name().name()).collect();
    for name in ["title", "style", "table", "svg", "circle"] {
        assert!(names.contains(&name), "no {name} in the page");
    }
    for name in ["script", "link", "img", "iframe", "object", "image", "use", "base"] {
        assert!(!names.contains(&name), "{name} may ask for something elsewhere");
    }
    for node in document.descendants().filter(roxmltree::Node::is_element) {
        for attribute in node.attributes() {
            let name = attribute.name();
            assert!(
                !["src", "href", "srcset", "data", "action"].contains(&name),
                "{name}={}",
                attribute.value()
            );
            assert!(!attribute.value().contains("url("), "{name}={}", attribute.value());
        }
    }
    let style = document
        .descendants()
        .find(|n| n.has_tag_name("style"))
        .and_then(|n| n.text())
        .expect("a style sheet");
    assert!(!style.contains("url(") && !style.contains("@import"), "{style}");
    assert!(style.contains("prefers-color-scheme: dark"), "{style}");
    assert!(page.contains("slow &lt;system&gt; on elsewhere &amp; here"), "names are escaped");
    assert!(page.contains("geometric mean of 1 (wall)</li>"), "the mean is under the table");
    let headings = document.descendants().filter(|n| n.has_tag_name("h2"));
    let headings: Vec<&str> = headings.filter_map(|n| n.text()).collect();
    assert_eq!(headings, ["Comparison", "Each device", "Figures"]);
    let place = |text: &str| page.find(text).unwrap_or_else(|| panic!("no '{text}': {page}"));
    assert!(place("class=\"verdict\"") < place("<h2>"), "the verdict comes first");
    for text in [
        "<dt>date</dt>",
        " UTC</dd>",
        "<dt>command</dt><dd><code>",
        "T: time steps · B: rows of the batch",
        "<dt>wall ms</dt>",
        "cpu runs a pass in ",
        "All results agree with the reference in f64",
        "cpu has no roofline yet: run `wgpu-rnn calibrate --device cpu`",
        "slow &lt;system&gt; on elsewhere &amp; here: 1000 s",
    ] {
        place(text);
    }
    assert!(!page.contains("The stroke is"), "a page without rooflines has no stroke");
    assert!(!page.contains("class=\"roofline\""), "a page without rooflines has no stroke");
    assert_eq!(
        folder.names().iter().filter(|name| name.ends_with(".part")).count(),
        0,
        "{:?}",
        folder.names()
    );
}

#[test]
fn what_cannot_be_measured_is_refused_before_anything_runs() {
    let folder = Folder::new();
    let missing = folder.path("missing/rows.json");
    let bad = folder.write("bad.json", r#"{"rows": [{"system": "x"}]}"#);
    let here = folder.path("");
    let (peers, both) = (folder.write("peers.json", r#"{"rows": []}"#), folder.path("both"));
    let again = folder.path("./both");
    let rows: [(&[&str], &[&str]); 19] = [
        (&["--json", &peers, "--with", &peers], &["--json", &peers, "is the file of --with"]),
        (&["--html", &peers, "--with", &peers], &["--html", &peers, "is the file of --with"]),
        (&["--json", &both, "--html", &both], &["--html", &both, "is the file of --json"]),
        (&["--json", &both, "--html", &again], &["--html", &again, "is the file of --json"]),
        (&["--json", "--html", "-"], &["stdout is for one result, and --json and --html would"]),
        (&["--json", "-", "--explain"], &["stdout is for one result, and --explain would add"]),
        (&["--threads", "0"], &["--threads", "'0' is no number of threads: give at least 1"]),
        (&["--device", ""], &["'' names no device; give auto, cpu, an index or part of"]),
        (&["--json", &missing], &["missing", "does not exist"]),
        (&["--html", &here], &["is a folder"]),
        (&["--with", &missing], &["rows.json"]),
        (&["--with", &bad], &["not a file of rows"]),
        (&["--dtype", "int8"], &["int8", "f32"]),
        (&["--schedule", "fastest"], &["fastest", "step"]),
        (&["--suite", "quick"], &["--suite", "cannot be used with"]),
        (&["--device", "no such adapter"], &["no such adapter"]),
        (&["--seconds", "many"], &["many"]),
        (&["--seconds", "-1"], &["-1"]),
        (&["--each-schedule", "--schedule", "step"], &["--schedule", "cannot be used with"]),
    ];
    for (more, parts) in rows {
        let args: Vec<&str> =
            TINY.iter().chain(more).copied().filter(|arg| !arg.starts_with("--seconds=")).collect();
        wgpu_rnn(&args).refused(parts);
    }
    wgpu_rnn(&["bench", "--suite", "fast"]).refused(&["fast", "quick", "standard"]);
    wgpu_rnn(&["bench", "--kind", "rwkv"]).refused(&["rwkv", "lstm"]);
    for (flag, size) in [
        ("--seq-len", "0"),
        ("--batch", "0"),
        ("--batch", "99999999999999"),
        ("--hidden-size", "0"),
    ] {
        wgpu_rnn(&["bench", "--device", "cpu", flag, size]).refused(&[]);
    }
}

#[test]
fn a_part_of_a_second_and_a_report_on_stdout() {
    let folder = Folder::new();
    let args: Vec<&str> =
        TINY.iter().copied().filter(|arg| !arg.starts_with("--seconds")).collect();
    let args = [&args[..], &["--seconds", "0.05"]].concat();
    for json in [&["--json"][..], &["--json", "-"]] {
        let report = with_cache(&folder, &[&args[..], json].concat()).ended(0).json();
        assert_eq!(report["rows"].as_array().map(Vec::len), Some(1), "{report:#}");
    }
    let page = with_cache(&folder, &[&args[..], &["--html=-"]].concat()).ended(0).stdout;
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"), "{page}");
    with_cache(&folder, &[&args[..], &["--soak", "17", "--json"]].concat()).ended(0).json();
}

/// A kill leaves no time for a last word. The files are whole after each row.
#[test]
fn a_stopped_run_keeps_its_rows_and_says_so() {
    let folder = Folder::new();
    let (json, html) = (folder.path("rows.json"), folder.path("page.html"));
    let args = ["bench", "--device", "cpu", "--suite", "quick", "--seconds", "0.5"];
    let args = [&args[..], &["--json", &json, "--html", &html]].concat();
    let mut command = command(&args);
    command.env("WGPU_RNN_CACHE", folder.path("cache")).stderr(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).spawn().expect("the program starts");
    let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut lines = stdout.lines().map(|line| line.expect("UTF-8"));
    let row = lines.find(|line| line.contains("Silero VAD, offline"));
    assert!(row.is_some(), "a row appears before the last shape is measured");
    while !std::path::Path::new(&html).exists() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    child.kill().expect("it still runs");
    child.wait().expect("it has ended");
    let report = report(&json);
    assert_eq!(report["complete"], false, "{report:#}");
    let (rows, planned) = (report["rows"].as_array().map(Vec::len), &report["planned"]);
    assert!(rows.is_some_and(|rows| rows >= 1), "{report:#}");
    assert!(planned.as_u64() > rows.map(|rows| rows as u64), "{report:#}");
    let page = std::fs::read_to_string(&html).expect("the page was written");
    let said = format!("The run was stopped after {} of {planned} measurements", rows.unwrap_or(0));
    assert!(page.contains(&said), "'{said}' is not in the page");
}

#[test]
fn each_schedule_has_a_row_or_a_refusal() {
    let folder = Folder::new();
    let json = folder.path("rows.json");
    // A bidirectional layer: `wavefront` refuses it, which is no error.
    let args = [&TINY[..], &["--each-schedule", "--repetitions=2", "--json", &json]].concat();
    with_cache(&folder, &args).ended(0).says(&["wavefront", "skipped"]);
    let report = report(&json);
    let list = |key: &str| report[key].as_array().expect("a list").clone();
    let mut options: Vec<Value> = ["rows", "skipped"]
        .map(list)
        .concat()
        .iter()
        .map(|r| r["schedule_option"].clone())
        .collect();
    options.sort_by_key(ToString::to_string);
    let listed = wgpu_rnn(&["devices", "--json"]).ended(0).json();
    let mut schedules = listed["schedules"].as_array().expect("a list").clone();
    schedules.sort_by_key(ToString::to_string);
    assert_eq!(options, schedules, "a row or a refusal for each schedule");
    for row in list("rows") {
        assert!(row["repetitions"].as_u64().is_some_and(|n| (1..=2).contains(&n)), "{row:#}");
    }
}

#[test]
fn a_soak_compares_bits_and_counts_steps() {
    let folder = Folder::new();
    let json = folder.path("soak.json");
    // Two layers of four steps: eight steps a pass.
    let args = [&TINY[..], &["--soak", "17", "--json", &json]].concat();
    with_cache(&folder, &args).ended(0).says(&["3 passes, 24 steps", "equal bits"]);
    let soak = &report(&json)["soaks"][0];
    for (key, want) in [("passes", json!(3)), ("steps", json!(24)), ("changed", json!(0))] {
        assert_eq!(soak[key], want, "{key}: {soak:#}");
    }
    let refused = [&TINY[..], &["--soak", "17", "--schedule", "wavefront"]].concat();
    with_cache(&folder, &refused).ended(2).says(&["wavefront", "skipped"]);
}
