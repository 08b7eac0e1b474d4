//! Signals that end the program: its temporary files are removed first.

/// Starts a thread that waits for the signals that users and systems end programs with. They still
/// end the program as signals do, but the temporary files of its output go first. A signal that is
/// ignored at the start stays ignored.
#[cfg(unix)]
pub fn watch() {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGXFSZ};
    use signal_hook::iterator::Signals;
    use signal_hook::low_level::emulate_default_handler;
    use wgpu_rnn::internals::fs;

    let ignored = ignored();
    let ends = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGXFSZ];
    let ends = ends.into_iter().filter(move |&signal| ignored >> (signal - 1) & 1 == 0);
    let wait = move || {
        let Ok(mut signals) = Signals::new(ends) else { return };
        for signal in signals.forever() {
            // The write that exceeds the largest size of a file then fails by itself.
            if signal != SIGXFSZ {
                // It fails for unknown signals only.
                let _ = fs::abandon(|| emulate_default_handler(signal));
            }
        }
    };
    // Without the thread, signals end the program at once.
    let _ = std::thread::Builder::new().name("signals".to_owned()).spawn(wait);
}

/// The signals that this process ignores: bit n is signal n + 1. Only Linux has a file of them.
#[cfg(unix)]
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// Other systems end a program without notice.
#[cfg(not(unix))]
pub fn watch() {}
