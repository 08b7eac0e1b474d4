//! The warnings that the crate logs.

use std::cell::RefCell;
use std::sync::Once;

use wgpu_rnn::Error;

thread_local! {
    /// What this thread has warned of, while somebody listens.
    static WARNINGS: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

struct Listener;

impl log::Log for Listener {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        if record.level() == log::Level::Warn && record.target().starts_with("wgpu_rnn") {
            WARNINGS.with_borrow_mut(|heard| {
                heard.iter_mut().for_each(|heard| heard.push(record.args().to_string()))
            });
        }
    }

    fn flush(&self) {}
}

/// The warnings that `call` logs.
pub fn warnings_of(call: impl FnOnce() -> Result<(), Error>) -> Result<Vec<String>, Error> {
    static LISTEN: Once = Once::new();
    LISTEN.call_once(|| {
        log::set_logger(&Listener).expect("nothing else in this program listens");
        log::set_max_level(log::LevelFilter::Warn);
    });
    WARNINGS.set(Some(Vec::new()));
    let result = call();
    let heard = WARNINGS.take().unwrap_or_default();
    result.map(|()| heard)
}
