//! WGSL that reports indices out of bounds while it runs.
//!
//! Each index of an array passes through a function that compares it with the array's size. Storage
//! arrays end [`GUARD`] words before their buffers do. An index out of bounds writes a code into
//! the last element of a buffer that the kernel may write.

use std::collections::BTreeMap;

use wgpu_rnn::internals::kernel::{Access, Compiler, Kernel, Overrides};

/// Words after the end of each buffer.
pub const GUARD: usize = 64;

/// Where the elements of an array lie.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Home {
    /// A storage binding of elements of so many words.
    Storage(usize),
    /// Workgroup or private memory: the size, as WGSL writes it.
    Sized(String),
}

/// An instrumented shader.
pub struct Instrumented {
    pub wgsl: String,
    /// The arrays; the code of an array is the first code plus its place here.
    pub arrays: Vec<String>,
    /// The number of tested indices.
    pub sites: usize,
}

/// WGSL without comments.
fn stripped(text: &str) -> String {
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.flat_map(|line| [line, "\n"]).collect()
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_ascii_alphanumeric()
}

/// The text up to the bracket that closes the one before `text`.
fn enclosed(text: &str, [open, close]: [char; 2]) -> &str {
    let mut depth = 1;
    for (at, c) in text.char_indices() {
        depth += i32::from(c == open) - i32::from(c == close);
        if depth == 0 {
            return &text[..at];
        }
    }
    panic!("no {close} closes {text}")
}

/// The declared arrays by name.
fn arrays(text: &str) -> BTreeMap<String, Home> {
    let mut found = BTreeMap::new();
    for (at, _) in text.match_indices(": array<") {
        let before = &text[..at];
        let name = &before[before.rfind(|c| !is_word(c)).map_or(0, |i| i + 1)..];
        let statement = &before[before.rfind([';', '{', '}', ')']).map_or(0, |i| i + 1)..];
        let inner = enclosed(&text[at + ": array<".len()..], ['<', '>']);
        let home = if statement.contains("var<storage") {
            Home::Storage(match inner {
                "f32" | "u32" | "atomic<u32>" => 1,
                "vec2<u32>" => 2,
                "vec4<f32>" | "vec4<u32>" => 4,
                other => panic!("{name} has elements of an unknown type {other}"),
            })
        } else {
            assert!(statement.contains("var"), "{name} is no variable: {statement}");
            let (_, size) = inner.rsplit_once(',').expect("an array with a size");
            Home::Sized(size.trim().to_owned())
        };
        let known = found.insert(name.to_owned(), home.clone());
        assert!(known.is_none_or(|known| known == home), "{name} has two sizes");
    }
    found
}

/// `text` with a call around each index of `names`, and the number of calls.
fn rewritten(text: &str, names: &BTreeMap<String, Home>) -> (String, usize) {
    let (mut out, mut sites, mut rest) = (String::new(), 0, text);
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let length = word.max(first.len_utf8());
        let (token, after) = rest.split_at(length);
        rest = after;
        if names.contains_key(token) && after.starts_with('[') {
            let index = enclosed(&after[1..], ['[', ']']);
            let (inner, more) = rewritten(index, names);
            rest = &after[index.len() + 2..];
            // A pointer must stay uniform, and wgpu compares literals itself.
            if out.ends_with('&') && index.chars().all(|c| c.is_ascii_digit()) {
                out.push_str(&format!("{token}[{index}]"));
            } else {
                out.push_str(&format!("{token}[within_{token}({inner})]"));
                sites += more + 1;
            }
        } else {
            out.push_str(token);
        }
    }
    (out, sites)
}

/// Instruments the text of a kernel. The codes of its arrays start at `first_code`.
pub fn instrumented(kernel: Kernel, overrides: &Overrides, first_code: usize) -> Instrumented {
    let sink = kernel.bindings().find(|binding| binding.access == Access::ReadWrite);
    instrument(
        &kernel.wgsl(overrides, Compiler::Naga),
        sink.expect("each kernel writes something").name,
        first_code,
    )
}

fn instrument(text: &str, sink: &str, first_code: usize) -> Instrumented {
    let text = stripped(text);
    let found = arrays(&text);
    let (mut wgsl, sites) = rewritten(&text, &found);
    let at_sink = format!("{sink}[arrayLength(&{sink}) - 1u]");
    let of_sink = format!("{sink}: array<");
    let from = text.find(&of_sink).expect("the binding is declared") + of_sink.len();
    let value = match enclosed(&text[from..], ['<', '>']) {
        "u32" => "code",
        "f32" => "f32(code)",
        _ => "vec4<f32>(f32(code))",
    };
    for (code, (name, home)) in (first_code..).zip(&found) {
        let end = match home {
            Home::Storage(words) => format!("arrayLength(&{name}) - {}u", GUARD / words),
            Home::Sized(size) => format!("u32({size})"),
        };
        wgsl.push_str(&format!(
            "fn within_{name}(index: u32) -> u32 {{
                if index >= {end} {{ let code = {code}u; {at_sink} = {value}; }}
                return index;
            }}\n"
        ));
    }
    Instrumented { wgsl, arrays: found.into_keys().collect(), sites }
}

/// The members of the uniform at binding 0 that the kernel divides by, as offsets in words.
pub fn divisors(kernel: Kernel, overrides: &Overrides) -> Vec<(usize, String)> {
    divisors_of(&stripped(&kernel.wgsl(overrides, Compiler::Naga)))
}

fn divisors_of(text: &str) -> Vec<(usize, String)> {
    let after = |text: &'static str| move |all: &str| all.find(text).map(|at| at + text.len());
    let name = after("var<uniform> dims: ")(text).expect("a kernel has dims");
    let name = text[name..].split(';').next().unwrap_or_default();
    let declaration = format!("struct {name} {{");
    let body = text.find(&declaration).expect("dims are declared") + declaration.len();
    let members: Vec<&str> = enclosed(&text[body..], ['{', '}'])
        .split(',')
        .filter_map(|member| member.split_once(':'))
        .map(|(member, _)| member.trim())
        .collect();
    let mut found = Vec::new();
    let mut add = |operand: &str| {
        for (at, _) in operand.match_indices("dims.") {
            let member = operand[at + 5..].split(|c| !is_word(c)).next().unwrap_or_default();
            let word = members.iter().position(|&name| name == member).expect("a member of dims");
            found.push((word, member.to_owned()));
        }
    };
    for (at, _) in text.match_indices(['/', '%']) {
        let operand = text[at + 1..].trim_start_matches(['=', ' ']);
        if let Some(group) = operand.strip_prefix('(') {
            add(enclosed(group, ['(', ')']));
            continue;
        }
        let operand = operand.split(|c| c != '.' && !is_word(c)).next().unwrap_or_default();
        add(operand);
        // A local name stands for its definition.
        for (at, _) in text.match_indices(&format!("let {operand} = ")) {
            add(text[at..].split(';').next().unwrap_or_default());
        }
    }
    found.sort();
    found.dedup();
    found
}

/// The checks of this file see what they are there to see.
pub fn self_check() {
    let text = "struct D { n: u32, tiles: u32, size: u32, pad: u32, }
        @group(0) @binding(0) var<uniform> dims: D;
        @group(0) @binding(1) var<storage, read> x: array<vec4<f32>>; // x[0]
        @group(0) @binding(2) var<storage, read_write> y: array<f32>;
        var<workgroup> sh: array<f32, N>;
        fn main() {
            var sums: array<f32, 8>;
            let width = dims.size * 4u;
            y[(at / width) % (dims.n * 2u)] = x[sh[i]][j % 4u] + sums[r] / (1.0 + e) + f(&sh[0]);
        }";
    let made = instrument(text, "y", 5);
    for part in [
        "y[within_y((at / width) % (dims.n * 2u))] = x[within_x(sh[within_sh(i)])][j % 4u]",
        "+ sums[within_sums(r)] / (1.0 + e) + f(&sh[0]);",
        "if index >= arrayLength(&x) - 16u { let code = 7u; y[arrayLength(&y) - 1u] = f32(code); }",
        "if index >= u32(8) { let code = 6u;",
    ] {
        assert!(made.wgsl.contains(part), "no {part} in {}", made.wgsl);
    }
    assert_eq!((made.arrays.len(), made.sites), (4, 4), "{:?}", made.arrays);
    let found = divisors_of(&stripped(text));
    assert_eq!(found, [(0, "n".to_owned()), (2, "size".to_owned())], "divisors");
}
