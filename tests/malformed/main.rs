//! Files that contradict themselves: an error, no panic, no overflow, no memory that only the
//! file's claims ask for.

#[path = "../common/conformance.rs"]
mod conformance;
mod hostile;
#[path = "../common/pickles.rs"]
mod pickles;
#[path = "../common/trials.rs"]
mod trials;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeMap;

use libtest_mimic::Arguments;
use serde_json::{Value, json};
use trials::{trial, trials};
use wgpu_rnn::internals::params::expected_parameters;
use wgpu_rnn::internals::params::random::Mt19937;
use wgpu_rnn::language_model::{LanguageModelParams, Vocabulary, expected_tensors};
use wgpu_rnn::{Config, Error, Params, StateDict};

/// The system's allocator, noting the largest request of each thread.
struct Noting;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Noting = Noting;

// SAFETY: every call goes to the system's allocator unchanged. The note is a thread-local cell
// without a destructor, which allocates nothing.
#[allow(unsafe_code, reason = "an allocator can be watched in no other way")]
unsafe impl GlobalAlloc for Noting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.set(LARGEST.get().max(layout.size()));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Loads a file, and checks that no allocation is larger than the file's size justifies.
fn load(name: &str, bytes: &[u8]) -> Result<Params, String> {
    load_as(name, bytes, |state_dict| Params::from_state_dict(&state_dict, ""))
}

/// The same for whatever is read from a state dict.
fn load_as<T>(
    name: &str,
    bytes: &[u8],
    read: impl Fn(StateDict) -> Result<T, Error>,
) -> Result<T, String> {
    let data = bytes.to_vec();
    let (result, largest) = largest_allocation(|| StateDict::parse(name, data).and_then(read));
    let allowed = 4 * bytes.len() + (1 << 16);
    assert!(
        largest <= allowed,
        "{name}: {largest} bytes were asked for at once by a file of {}",
        bytes.len()
    );
    result.map_err(|error| error.to_string())
}

/// Returns the result of a function, and the most bytes that it asked for at once.
fn largest_allocation<T>(run: impl FnOnce() -> T) -> (T, usize) {
    LARGEST.set(0);
    let result = run();
    (result, LARGEST.get())
}

/// A file of this header and these bytes, the header's length in front.
fn file(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

/// `nn.RNN(1, 1, bias=False)`: two matrices of one value.
const HEADER: &str = concat!(
    r#"{"weight_ih_l0":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]},"#,
    r#""weight_hh_l0":{"dtype":"F32","shape":[1,1],"data_offsets":[4,8]}}"#,
);

const DATA: [u8; 8] = [0, 0, 128, 63, 0, 0, 0, 64];

fn a_small_file_by_hand_loads() {
    let params = load("by hand", &file(HEADER, &DATA)).expect("nothing is wrong with it");
    assert_eq!(params.config(), &Config::rnn(1, 1).bias(false), "its module");
    let direction = params.direction(0, 0);
    assert_eq!((direction.weight_ih[0], direction.weight_hh[0]), (1.0, 2.0), "its values");
}

fn files_that_contradict_themselves_are_refused() {
    let with = |from: &str, to: &str| {
        assert!(HEADER.contains(from), "{from} is in the header");
        file(&HEADER.replace(from, to), &DATA)
    };
    let length = |length: u64| [&length.to_le_bytes(), HEADER.as_bytes(), &DATA].concat();
    let nested = format!(r#"{{"weight_ih_l0":{}"#, "[".repeat(100_000));
    let nested_aside = HEADER.replace(
        r#""shape":[1,1],"data_offsets":[4,8]"#,
        &format!(r#""x":{}"#, "[".repeat(100_000)),
    );
    // The same bytes under the same name again: tensors cover all of the file, and a map keeps the
    // last.
    let twice = HEADER.replace(
        r#","weight_hh_l0"#,
        r#","weight_ih_l0":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]},"weight_hh_l0"#,
    );
    assert_ne!(twice, HEADER, "there is something to add it to");
    let shapes = ["[9223372036854775807,0]", "[0,9223372036854775807]"];
    let empty = HEADER.replacen("[1,1]", shapes[0], 1).replace("[1,1]", shapes[1]);
    let empty = empty.replace("[0,4]", "[0,0]").replace("[4,8]", "[0,0]");
    let files = [
        ("no byte at all", Vec::new()),
        ("half of the length", vec![8, 0, 0]),
        ("a length of 0 and nothing else", vec![0; 8]),
        ("a header of 100 MB in a small file", length(100_000_000)),
        ("a header of more than 100 MB", length(100_000_001)),
        ("a length that overflows when 8 is added", length(u64::MAX - 4)),
        ("the largest length", length(u64::MAX)),
        ("a header cut short", length(HEADER.len() as u64 - 1)),
        ("a header that runs into the data", length(HEADER.len() as u64 + 1)),
        ("a header that is not UTF-8", [2_u64.to_le_bytes().as_slice(), &[0xff, 0xfe]].concat()),
        ("a header that is a list", file("[]", &[])),
        ("deep nesting", file(&nested, &[])),
        ("deep nesting in a part of no meaning", file(&nested_aside, &[])),
        ("data missing", file(HEADER, &DATA[..7])),
        ("a byte too many", file(HEADER, &[DATA.as_slice(), &[0]].concat())),
        ("an end before its begin", with("[4,8]", "[8,4]")),
        ("an overlap", with("[4,8]", "[0,4]")),
        ("a gap", file(&HEADER.replace("[4,8]", "[8,12]"), &[DATA, DATA].concat())),
        ("three offsets", with("[4,8]", "[4,8,8]")),
        ("an offset below 0", with("[4,8]", "[-4,8]")),
        ("an offset past the file", with("[4,8]", "[4,8000000000]")),
        (
            "more values than bytes",
            with(r#"[1,1],"data_offsets":[4,8]"#, r#"[1,2],"data_offsets":[4,8]"#),
        ),
        ("a shape whose product overflows to 0", with("[1,1]", "[4294967296,4294967296]")),
        ("an unknown type", with("F32", "F24")),
        ("a shape of fractions", with("[1,1]", "[1.5,1]")),
        ("one name twice", file(&twice, &DATA)),
        ("no tensors", file("{}", &[])),
        ("metadata alone", file(r#"{"__metadata__":{"format":"pt"}}"#, &[])),
        ("metadata that are no texts", file(r#"{"__metadata__":{"format":1}}"#, &[])),
        ("axes without elements, as long as they come", file(&empty, &[])),
    ];
    for (what, bytes) in files {
        if let Ok(params) = load(what, &bytes) {
            panic!("{what}: loaded as {:?}", params.config());
        }
    }
    let message = load("twice", &file(&twice, &DATA)).expect_err("one of the two would be lost");
    assert!(message.contains("'weight_ih_l0' occurs twice"), "{message}");
}

/// Wherever a download or a disk breaks off, or changes a bit.
fn a_damaged_file_is_refused_or_loads_but_never_panics() {
    let whole = file(HEADER, &DATA);
    for length in 0..whole.len() {
        let cut = load("cut", &whole[..length]);
        assert!(cut.is_err(), "the first {length} of {} bytes", whole.len());
    }
    let values = load("whole", &whole).expect("nothing is wrong with it");
    let mut loaded = 0;
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << bit;
            if let Ok(params) = load("damaged", &damaged) {
                loaded += 1;
                let data = at >= whole.len() - DATA.len();
                assert!(data || params == values, "bit {bit} of byte {at} changed what is loaded");
            }
        }
    }
    assert!(
        loaded >= 8 * DATA.len(),
        "a changed value is still a value: {loaded} of the damaged files load"
    );
}

/// Names and shapes thrown together, sizes of zero and beyond all memory among them.
fn any_mixture_of_names_and_shapes_loads_as_what_it_is_or_is_refused() {
    const STEMS: [&str; 6] =
        ["weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr", "weight"];
    const SUFFIXES: [&str; 6] = ["_l0", "_l0_reverse", "_l1", "_l1_reverse", "", "_l3"];
    const SIZES: [usize; 8] = [1, 2, 3, 4, 6, 8, 0, usize::MAX >> 1];
    let mut random = Mt19937::new(7);
    let mut below = |bound: usize| random.next_u32() as usize % bound;
    let (mut loaded, mut refused) = (0, 0);
    for _ in 0..50_000 {
        let (mut tensors, mut end) = (BTreeMap::new(), 0);
        // The first two are most often there, so that more than the first check is met.
        for i in 0..2 + below(6) {
            let stem = STEMS[if i < 2 && below(8) > 0 { i } else { below(STEMS.len()) }];
            let suffix = SUFFIXES[if below(3) > 0 { 0 } else { below(SUFFIXES.len()) }];
            let rank = if stem.starts_with("bias") { 1 } else { 2 };
            let mut shape: Vec<usize> = (0..rank)
                .map(|_| {
                    let odd = below(3);
                    SIZES[below(6 + odd)]
                })
                .collect();
            if shape.contains(&SIZES[7]) && !shape.contains(&0) {
                shape[0] = 0; // or there is no such file
            }
            let size = 4 * shape.iter().product::<usize>();
            tensors.entry(format!("{stem}{suffix}")).or_insert_with(|| {
                end += size;
                json!({ "dtype": "F32", "shape": shape, "data_offsets": [end - size, end] })
            });
        }
        let header = json!(tensors).to_string();
        match load(&header, &file(&header, &vec![0; end])) {
            Err(message) => {
                assert!(!message.is_empty(), "{header}: a reason");
                refused += 1;
            }
            Ok(params) => {
                let cell = !tensors.contains_key("weight_ih_l0");
                let named = expected_parameters(params.config()).into_iter();
                let want: BTreeMap<String, Vec<usize>> = named
                    .map(|(name, shape)| (if cell { name.replace("_l0", "") } else { name }, shape))
                    .collect();
                let found: BTreeMap<String, Value> = tensors
                    .into_iter()
                    .map(|(name, tensor)| (name, tensor["shape"].clone()))
                    .collect();
                assert_eq!(json!(found), json!(want), "{header}: loaded as {:?}", params.config());
                loaded += 1;
            }
        }
    }
    assert!(loaded > 100 && refused > 1000, "both happen: {loaded} loaded, {refused} refused");
}

/// The same for language models: names, shapes and metadata thrown together.
fn any_mixture_of_a_language_models_tensors_loads_as_what_it_is_or_is_refused() {
    const NAMES: [&str; 12] = [
        "encoder.weight",
        "decoder.weight",
        "decoder.bias",
        "rnn.weight_ih_l0",
        "rnn.weight_hh_l0",
        "rnn.bias_ih_l0",
        "rnn.bias_hh_l0",
        "rnn.weight_ih_l1",
        "rnn.weight_ih_l0_reverse",
        "rnn.weight_hr_l0",
        "encoder.bias",
        "rnn.weight_ih_l99999999999999999999",
    ];
    // Those of a model of one layer of an RNN, its sizes 2, 3 and 1, and what else there may be.
    const SHAPES: [&[usize]; 7] = [&[2, 3], &[2, 1], &[2], &[1, 3], &[1, 1], &[1], &[1]];
    const ODD: [&[usize]; 6] =
        [&[0, usize::MAX >> 1], &[usize::MAX >> 1, 0], &[], &[2, 3, 1], &[0], &[4, 1]];
    const METADATA: [(&str, &str); 6] = [
        ("rnn_type", "RNN_RELU"),
        ("rnn_type", "LSTM"),
        ("rnn_type", "\u{0}"),
        ("decoder.weight", "encoder.weight"),
        ("encoder.weight", "decoder.weight"),
        ("encoder.weight", "encoder.weight"),
    ];
    let mut random = Mt19937::new(8);
    let mut below = |bound: usize| random.next_u32() as usize % bound;
    let (mut loaded, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let (mut tensors, mut end) = (BTreeMap::new(), 0);
        for (i, name) in NAMES.iter().enumerate() {
            // Most often what belongs there is, and nothing else.
            if (i < SHAPES.len()) != (below(20) > 0) {
                continue;
            }
            let shape =
                if i < SHAPES.len() && below(30) > 0 { SHAPES[i] } else { ODD[below(ODD.len())] };
            let size = 4 * shape.iter().product::<usize>();
            end += size;
            tensors.insert(
                *name,
                json!({ "dtype": "F32", "shape": shape, "data_offsets": [end - size, end] }),
            );
        }
        let mut header = json!(tensors);
        if below(3) == 0 {
            let (key, value) = METADATA[below(METADATA.len())];
            header["__metadata__"] = json!({ key: value });
        }
        let header = header.to_string();
        let read = |state_dict| LanguageModelParams::from_state_dict(&state_dict, "", None);
        match load_as(&header, &file(&header, &vec![0; end]), read) {
            Err(message) => {
                assert!(!message.is_empty(), "{header}: a reason");
                refused += 1;
            }
            Ok(params) => {
                let mut want: BTreeMap<String, Vec<usize>> =
                    expected_tensors(params.config()).into_iter().collect();
                // A decoder may have no bias.
                want.retain(|name, _| {
                    name != "decoder.bias" || tensors.contains_key("decoder.bias")
                });
                if params.config().tie_weights {
                    want.retain(|name, _| {
                        tensors.contains_key(name.as_str()) || !name.ends_with("coder.weight")
                    });
                }
                let found: BTreeMap<&str, Value> = tensors
                    .into_iter()
                    .map(|(name, tensor)| (name, tensor["shape"].clone()))
                    .collect();
                assert_eq!(json!(found), json!(want), "{header}: loaded as {:?}", params.config());
                loaded += 1;
            }
        }
    }
    assert!(loaded > 1000 && refused > 1000, "both happen: {loaded} loaded, {refused} refused");
}

/// A vocabulary is text of whoever made the file.
fn vocabularies_that_are_none_are_refused() {
    let read = |state_dict: StateDict| Vocabulary::from_state_dict_metadata(&state_dict);
    let of = |vocabulary: &str| {
        file(&json!({ "__metadata__": { "vocabulary": vocabulary } }).to_string(), &[])
    };
    let good = load_as("good", &of(r#"["a", "\n"]"#), read).expect("two characters");
    assert_eq!(good.map(|vocabulary| vocabulary.len()), Some(2), "its tokens");
    for (what, vocabulary) in [
        ("no JSON", "a, b"),
        ("nothing", ""),
        ("an object with a hole", r#"{"a": 0, "b": 2}"#),
        ("a text", r#""ab""#),
        ("numbers", "[1, 2]"),
        ("an empty token", r#"["a", ""]"#),
        ("one token twice", r#"["a", "b", "a"]"#),
        ("one token twice, spelt otherwise", r#"["a", "\u0061"]"#),
        ("no token", "[]"),
        ("half of a surrogate pair", r#"["\ud800"]"#),
        ("an end too early", r#"["a""#),
        ("something behind the end", r#"["a"] 1"#),
        ("deep nesting", &"[".repeat(100_000)),
    ] {
        let message = load_as(what, &of(vocabulary), read).expect_err(what);
        assert!(message.contains("the metadata 'vocabulary' cannot be used"), "{what}: {message}");
    }
}

/// The verdict that the collection asks for, in its own words, and what it means here.
fn judge(expect: &str, result: &Result<Params, String>) -> Result<(), String> {
    let (loads, parts): (Option<bool>, &[&str]) = match expect {
        "load" | "load as LSTMCell" | "load; a --check/validate option should report NaN" => {
            (Some(true), &[])
        }
        "load or clear unsupported-dtype error" => (None, &["unsupported dtype"]),
        "error" | "error, no 100 MB allocation" | "error, no stack overflow" => (Some(false), &[]),
        "error naming weight_hh_l0" => (Some(false), &["weight_hh_l0"]),
        "error with both shapes" => {
            (Some(false), &["weight_ih_l0 has shape [", "weight_hh_l0 has shape ["])
        }
        "error or loads as proj_size=3 only with weight_hr_l0" => {
            (Some(false), &["weight_ih_l0", "weight_hh_l0"])
        }
        "error: no recurrent weights" => (Some(false), &["no recurrent weights"]),
        "error: hidden_size 0" => (Some(false), &["hidden_size must be greater than zero"]),
        other => return Err(format!("this test does not know the verdict '{other}'")),
    };
    match (loads, result) {
        (Some(true) | None, Ok(_)) => Ok(()),
        (Some(false) | None, Err(message)) if parts.iter().all(|part| message.contains(part)) => {
            Ok(())
        }
        (_, Ok(params)) => Err(format!("expected '{expect}', loaded as {:?}", params.config())),
        (_, Err(message)) => Err(format!("expected '{expect}', got: {message}")),
    }
}

fn the_collection_of_malformed_files_gets_its_verdicts() {
    let folder = conformance::part("malformed");
    let index = std::fs::read_to_string(folder.join("index.json")).expect("the index can be read");
    let index: Value = serde_json::from_str(&index).expect("the index is JSON");
    let index = index.as_array().expect("a list of files");
    assert!(!index.is_empty(), "the index names files");
    let mut problems = Vec::new();
    for item in index {
        let text = |key: &str| item[key].as_str().unwrap_or_default();
        let name = text("file");
        let bytes = std::fs::read(folder.join(name)).expect("a file of the index can be read");
        let result = load(name, &bytes);
        if let Err(problem) = judge(text("expect"), &result) {
            problems.push(format!("{name} ({}): {problem}", text("why")));
        }
        if let (true, Ok(params)) = (text("expect").contains("report NaN"), &result) {
            assert!(!params.non_finite().is_empty(), "{name}: the NaN is found when asked for");
        }
    }
    assert!(
        problems.is_empty(),
        "{} of {} files:\n{}",
        problems.len(),
        index.len(),
        problems.join("\n")
    );
}

fn main() {
    let mut trials = trials![
        a_small_file_by_hand_loads,
        files_that_contradict_themselves_are_refused,
        a_damaged_file_is_refused_or_loads_but_never_panics,
        any_mixture_of_names_and_shapes_loads_as_what_it_is_or_is_refused,
        any_mixture_of_a_language_models_tensors_loads_as_what_it_is_or_is_refused,
        vocabularies_that_are_none_are_refused,
        hostile::a_state_dict_by_hand_loads,
        hostile::code_is_refused_by_name,
        hostile::sizes_are_checked_against_the_file,
        hostile::nests_and_bombs_end,
        hostile::archives_that_lie_are_refused,
        hostile::a_damaged_archive_is_refused_or_read,
    ];
    let collection = trial(
        "the_collection_of_malformed_files_gets_its_verdicts",
        the_collection_of_malformed_files_gets_its_verdicts,
    );
    trials.push(collection.with_ignored_flag(conformance::is_absent()));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
