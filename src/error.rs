//! Errors, whose texts name the next thing to do.
//!
//! If PyTorch has the same check, the text is PyTorch's (version 2.15). A search for it then finds
//! existing answers.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// Returns a text that a terminal prints on one line, from left to right, and obeys in nothing.
///
/// Anyone may choose a name in a file, and the name of a file. Control characters, line ends and
/// the marks of bidirectional text become escapes, as in a string of Rust.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(drives_terminal) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if drives_terminal(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown.into()
}

/// Returns whether a terminal obeys a character, or changes the direction of text after it.
pub fn drives_terminal(c: char) -> bool {
    let directs = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || directs || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Returns a path as [`printable`] text.
pub fn printable_path(path: &Path) -> String {
    printable(&path.to_string_lossy()).into_owned()
}

/// Returns a text of several lines, whose parts between line ends and tabs are [`printable`].
pub fn printable_text(text: &str) -> Cow<'_, str> {
    if matches!(printable(text), Cow::Borrowed(_)) {
        return text.into();
    }
    let parts = text.split_inclusive(['\n', '\t']);
    let shown = parts.map(|part| match part.strip_suffix(['\n', '\t']) {
        Some(text) => printable(text) + &part[text.len()..],
        None => printable(part),
    });
    shown.collect::<String>().into()
}

/// Formats a shape as PyTorch prints the *expected* one: `(2, 3, 4)`.
pub(crate) fn tuple(shape: &[usize]) -> String {
    let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
    match sizes.as_slice() {
        [one] => format!("({one},)"),
        many => format!("({})", many.join(", ")),
    }
}

/// A problem with one tensor of a state dict, as [`Error::StateDict`] lists them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StateDictProblem {
    /// The configuration needs this tensor, and the file lacks it.
    Missing {
        /// Full name, prefix included.
        name: String,
    },
    /// The file has this tensor under the prefix, but the module has no such parameter.
    Unexpected {
        /// Full name, prefix included.
        name: String,
    },
    /// The tensor has another shape.
    WrongShape {
        /// Full name, prefix included.
        name: String,
        /// The shape that the other tensors imply.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// The tensor has an element type that cannot be loaded.
    Dtype {
        /// Full name, prefix included.
        name: String,
        /// The element type in the file, as safetensors spells it.
        found: String,
    },
}

impl std::fmt::Display for StateDictProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing { name } => {
                write!(f, "Missing key(s) in state_dict: \"{}\".", printable(name))
            }
            Self::Unexpected { name } => {
                write!(f, "Unexpected key(s) in state_dict: \"{}\".", printable(name))
            }
            Self::WrongShape { name, expected, found } => write!(
                f,
                "size mismatch for {}: copying a param with shape torch.Size({found:?}) from \
                 checkpoint, the shape in current model is torch.Size({expected:?}).",
                printable(name)
            ),
            Self::Dtype { name, found } => {
                write!(
                    f,
                    "unsupported dtype for {}: found {}, expected F32, F16 or BF16",
                    printable(name),
                    printable(found)
                )?;
                f.write_str(if is_float(found) {
                    "; convert it with tensor.to(torch.float32)"
                } else {
                    "; a quantized weight needs its scale: save \
                     scale * (tensor.to(torch.float32) - zero_point), or tensor.dequantize(). A \
                     change of type alone gives wrong numbers"
                })
            }
        }
    }
}

/// Returns whether an element type holds the values themselves, not parts of quantized ones.
fn is_float(dtype: &str) -> bool {
    ["F64", "F32", "F16", "BF16"].contains(&dtype)
}

/// Returns the lines of a failed load in PyTorch's order: missing names, unexpected names, and the
/// other problems. The advice follows.
fn lines(problems: &[StateDictProblem], advice: &[String]) -> String {
    let (mut missing, mut unexpected, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for problem in problems {
        match problem {
            StateDictProblem::Missing { name } => missing.push(format!("\"{name}\"")),
            StateDictProblem::Unexpected { name } => unexpected.push(format!("\"{name}\"")),
            other => others.push(other.to_string()),
        }
    }
    let listed = [("Missing", missing), ("Unexpected", unexpected)]
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| format!("{what} key(s) in state_dict: {}.", names.join(", ")));
    let lines = listed.chain(others).chain(advice.iter().cloned());
    lines.map(|line| format!("\n\t{}", printable(&line))).collect()
}

/// The error type of the whole crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A constructor argument is out of range. The text is PyTorch's where PyTorch has the check.
    #[error("{}", printable(.0))]
    Config(String),

    /// A tensor's shape, a number of elements or a length does not fit. The text is PyTorch's where
    /// PyTorch has the check.
    #[error("{}", printable(.0))]
    Shape(String),

    /// An option or argument is out of range, does not apply to the module, or contradicts another.
    /// The text is PyTorch's where PyTorch has the check.
    #[error("{}", printable(.0))]
    Option(String),

    /// A schedule, limit, type, token or device of this name does not exist.
    #[error("{}", printable(.0))]
    UnknownName(String),

    /// An earlier call failed and lost the state of a stream or of a pool's slot. Reset it or set
    /// another state to continue.
    #[error("{}", printable(.0))]
    StateLost(String),

    /// The slot of a pool is closed. It may be open again under another [`Slot`].
    ///
    /// [`Slot`]: crate::pool::Slot
    #[error("{}", printable(.0))]
    SlotClosed(String),

    /// All slots of a pool are open.
    #[error("{}", printable(.0))]
    PoolFull(String),

    /// The input of a slot is not a whole number of steps, or has more steps than a tick.
    #[error("{}", printable(.0))]
    FrameSize(String),

    /// As many frames as may wait in the queue of a pool are waiting.
    #[error("{}", printable(.0))]
    QueueFull(String),

    /// The queue of a pool was closed before the frame ran.
    #[error("{}", printable(.0))]
    QueueClosed(String),

    /// A host tensor's data does not fill its shape.
    #[error(
        "a tensor of shape {} holds {}",
        tuple(.shape),
        elements(*expected, *found)
    )]
    TensorSize {
        /// The requested shape.
        shape: Vec<usize>,
        /// The number of elements of that shape; `usize::MAX` where the product overflows.
        expected: usize,
        /// The number of elements given.
        found: usize,
    },

    /// The tensors under a prefix are not exactly those of one module. The error lists all
    /// problems.
    #[error("Error(s) in loading state_dict for {module}:{}", lines(.problems, .advice))]
    StateDict {
        /// The class in `torch.nn`, such as `LSTM`, `GRUCell` or `Linear`, or `RNNModel`.
        module: &'static str,
        /// The problems: first those of expected tensors, then unexpected tensors by name.
        problems: Vec<StateDictProblem>,
        /// Changes that help, a line each; may be empty.
        advice: Vec<String>,
    },

    /// The tensors under the prefix are not the weights of a recurrent module.
    #[error("{}", printable(.0))]
    NoRecurrentWeights(String),

    /// A file could not be read or written.
    #[error("{}: {source}", printable_path(path))]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },

    /// A file has content that its reader does not expect.
    #[error("{}: {}", printable_path(path), printable(message))]
    File {
        /// The file.
        path: PathBuf,
        /// The problem.
        message: String,
    },

    /// The crate or the device lacks a feature, which the text names.
    #[error("unsupported: {}", printable(.0))]
    Unsupported(String),

    /// A size exceeds a limit of the device or one that the caller set.
    #[error("{what} needs {needed}, but {limit} is {allowed}; {advice}")]
    Limit {
        /// WebGPU's name of the limit, or `memory_budget` or `max_loop_iterations`.
        limit: &'static str,
        /// The thing that exceeds the limit.
        what: String,
        /// The amount needed, in the unit of the limit: bytes, workgroups or iterations.
        needed: u64,
        /// The amount allowed.
        allowed: u64,
        /// A change that helps.
        advice: &'static str,
    },

    /// No adapter fits the request.
    #[error("{}", printable(.0))]
    NoAdapter(String),

    /// The adapter returned no device.
    #[error("{}: no device: {source}", printable(adapter))]
    RequestDevice {
        /// The adapter's name.
        adapter: String,
        /// The error of wgpu.
        source: wgpu::RequestDeviceError,
    },

    /// The adapter returned a wrong result in the self-test at opening.
    #[error(
        "{}: self-test failed: {detail}; this driver computes wrong numbers. \
         Use another device, or skip the self-test if you insist",
        printable(adapter)
    )]
    SelfTest {
        /// The adapter's name, backend and driver.
        adapter: String,
        /// The tensor that disagreed, the element, and the difference.
        detail: String,
    },

    /// The GPU or the host ran out of memory.
    #[error(
        "{}: out of memory while {}; {}",
        printable(adapter),
        printable(doing),
        memory_advice(adapter)
    )]
    OutOfMemory {
        /// The adapter's name, or `host`.
        adapter: String,
        /// The operation that failed.
        doing: String,
    },

    /// The device is lost: removed, destroyed, or stopped by the system's watchdog.
    #[error(
        "{}: device lost: {}; open the device again",
        printable(adapter),
        printable_text(reason)
    )]
    DeviceLost {
        /// The adapter's name.
        adapter: String,
        /// The reason from the driver.
        reason: String,
    },

    /// The driver or wgpu refused an operation that this crate had checked. It is a defect of this
    /// crate or of the driver.
    #[error("{}: {}", printable(adapter), printable_text(message))]
    Gpu {
        /// The adapter's name.
        adapter: String,
        /// The error of wgpu.
        message: String,
    },
}

/// Compares the number of elements of a shape with the number given.
fn elements(expected: usize, found: usize) -> String {
    match expected {
        usize::MAX => "more elements than can be counted".to_owned(),
        _ => format!("{expected} elements, but {found} were given"),
    }
}

/// Returns the way to need less memory. A budget bounds an adapter's memory, not the host's.
fn memory_advice(adapter: &str) -> &'static str {
    match adapter {
        "host" => "free memory, or use a smaller file, batch or sequence",
        _ => "use a smaller batch or sequence, or set a memory budget",
    }
}

/// `Result` with this crate's [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::{Error, StateDictProblem, printable, printable_text};

    #[test]
    fn names_cannot_move_the_cursor_or_the_eye() {
        for plain in ["encoder.weight", "größe_重み", "a b'\"\\", ""] {
            assert_eq!(printable(plain), plain);
        }
        let hostile = "a\x1b[31m\r\nb\u{202e}c\u{2066}d\u{9b}e\u{2028}f\u{7f}";
        let shown = "a\\u{1b}[31m\\r\\nb\\u{202e}c\\u{2066}d\\u{9b}e\\u{2028}f\\u{7f}";
        assert_eq!(printable(hostile), shown);
        let lines = format!("one\ttwo\n{hostile}\n");
        let want = format!("one\ttwo\n{}\n", shown.replace("\\n", "\n"));
        assert_eq!(printable_text(&lines), want, "line ends and tabs stay");
        let name = hostile.to_owned();
        let source = std::io::Error::from(std::io::ErrorKind::NotFound);
        let problems = vec![
            StateDictProblem::Missing { name: name.clone() },
            StateDictProblem::Dtype { name: name.clone(), found: "I64".to_owned() },
        ];
        for error in [
            Error::Option(name.clone()),
            Error::Unsupported(name.clone()),
            Error::Io { path: hostile.into(), source },
            Error::File { path: hostile.into(), message: name.clone() },
            Error::StateDict { module: "LSTM", problems, advice: Vec::new() },
            Error::OutOfMemory { adapter: name.clone(), doing: "a copy".to_owned() },
            Error::DeviceLost { adapter: name.clone(), reason: String::new() },
            Error::Gpu { adapter: name, message: "two\nlines".to_owned() },
        ] {
            let text = error.to_string();
            assert!(text.contains(shown), "{text}");
            let control = |c: char| c.is_control() && !['\n', '\t'].contains(&c);
            assert!(!text.contains(control), "{text:?}");
        }
    }
}
