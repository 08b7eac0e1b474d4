//! The terminal: lines, colours and progress. Colours and progress appear on terminals only.

use std::io::{self, ErrorKind, IsTerminal as _};
use std::sync::OnceLock;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressStyle};
use wgpu_rnn::internals::error::printable_text;

pub const GOOD: Style = AnsiColor::Green.on_default();
pub const BAD: Style = AnsiColor::Red.on_default().bold();
pub const FAINT: Style = Style::new().dimmed();
pub const STRONG: Style = Style::new().bold();

/// Prints a line on stdout. Unlike `println!`, does not panic if the reader (`| head`) closes it.
macro_rules! line {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        if let Err(error) = writeln!(anstream::stdout().lock(), $($text)*) {
            $crate::terminal::not_written(error);
        }
    }};
}
pub(crate) use line;

/// Prints a message of one line on stderr. Names in it cannot drive the terminal.
macro_rules! message {
    ($($text:tt)*) => {
        anstream::eprintln!("{}", ::wgpu_rnn::internals::error::printable(&format!($($text)*)))
    };
}
pub(crate) use message;

/// Prints text on stdout and flushes it. Returns false if the reader has closed stdout.
pub fn print_text(text: &str) -> bool {
    use std::io::Write as _;
    let mut out = io::stdout().lock();
    // Tokens come from a file. A terminal would obey the control characters in them.
    let text = if out.is_terminal() { printable_text(text) } else { text.into() };
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(not_written).is_ok()
}

/// The first error that lost results on stdout.
pub static LOST: OnceLock<io::Error> = OnceLock::new();

/// Keeps the first error that loses results, such as a full disk. A closed reader loses nothing.
pub fn not_written(error: io::Error) {
    if error.kind() != ErrorKind::BrokenPipe {
        LOST.get_or_init(|| error);
    }
}

/// Returns a progress bar on stderr. It appears only on a terminal.
pub fn progress(length: usize, what: &str) -> ProgressBar {
    let bar = ProgressBar::new(length as u64);
    if let Ok(style) = ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len} {wide_msg}") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(what.to_owned());
    bar
}

/// Formats a duration in µs, ms or s.
pub fn duration(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    match micros {
        m if m < 1e3 => format!("{m:.1} µs"),
        m if m < 1e6 => format!("{:.2} ms", m / 1e3),
        m => format!("{:.2} s", m / 1e6),
    }
}
