//! Signals that end the program: it leaves no temporary file behind.

/// Starts a thread that waits for SIGINT and SIGTERM. Both still end the program as signals do, but
/// the temporary files of its output go first.
#[cfg(unix)]
pub fn watch() {
    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;
    use signal_hook::low_level::emulate_default_handler;
    use wgpu_rnn::internals::fs;

    let wait = || {
        let Ok(mut signals) = Signals::new([SIGINT, SIGTERM]) else { return };
        if let Some(signal) = signals.forever().next() {
            // It fails for unknown signals only.
            let _ = fs::abandon(|| emulate_default_handler(signal));
        }
    };
    // Without the thread, signals end the program at once.
    let _ = std::thread::Builder::new().name("signals".to_owned()).spawn(wait);
}

/// Other systems end a program without notice.
#[cfg(not(unix))]
pub fn watch() {}
