//! Panics and warnings on the console.

use log::{Level, LevelFilter, Log, Metadata, Record};
use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console)]
    fn error(text: &str);
    #[wasm_bindgen(js_namespace = console)]
    fn warn(text: &str);
}

/// The logger that writes warnings and errors to the console.
struct Console;

impl Log for Console {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Warn
    }

    fn log(&self, record: &Record<'_>) {
        let text = format!("wgpu-rnn: {}", record.args());
        match record.level() {
            Level::Error => error(&text),
            Level::Warn => warn(&text),
            _ => {}
        }
    }

    fn flush(&self) {}
}

/// Connects panics and the log with the console.
pub fn connect() {
    std::panic::set_hook(Box::new(|panic| {
        error(&format!("wgpu-rnn: {panic}\nThis is a bug. The module cannot be used any more."));
    }));
    // Fails only if there is a logger already.
    if log::set_logger(&Console).is_ok() {
        log::set_max_level(LevelFilter::Warn);
    }
}
