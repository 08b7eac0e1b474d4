//! The adapters that tests run on.
//!
//! `WGPU_RNN_TEST_ADAPTERS` lists parts of names (`llvmpipe,SwiftShader`). Without it tests run on
//! every adapter of the machine. The trials of a listed adapter that is absent are ignored, or fail
//! with `WGPU_RNN_REQUIRE_ADAPTERS=1`.

use wgpu_rnn::internals::engine::gpu::{self, AdapterEntry};

/// An adapter that was asked for.
pub struct Wanted {
    /// The part of its name that was listed, or its whole name.
    pub name: String,
    /// The adapter, if the machine has it.
    pub entry: Option<AdapterEntry>,
}

/// Every adapter to test on.
pub fn wanted() -> Vec<Wanted> {
    let found = gpu::adapters();
    match std::env::var("WGPU_RNN_TEST_ADAPTERS") {
        Err(_) => found
            .into_iter()
            .map(|entry| Wanted { name: entry.info.name.clone(), entry: Some(entry) })
            .collect(),
        Ok(list) => list
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(|name| {
                let matches = |entry: &&AdapterEntry| {
                    entry.info.name.to_lowercase().contains(&name.to_lowercase())
                };
                Wanted { name: name.to_owned(), entry: found.iter().find(matches).cloned() }
            })
            .collect(),
    }
}

/// Whether an absent adapter is a failure.
pub fn required() -> bool {
    std::env::var("WGPU_RNN_REQUIRE_ADAPTERS").is_ok_and(|value| value == "1")
}
