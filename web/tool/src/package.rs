//! The npm package: the module with its bindings, and the JavaScript of `web/js/`.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use wasm_bindgen_cli_support::Bindgen;

use crate::{Result, at, copy, empty};

/// The folder of the package, in the repository.
pub const FOLDER: &str = "target/web/package";

/// The name of the module and of its bindings, which `web/js/index.js` imports.
const NAME: &str = "wgpu_rnn_web";

/// The most bytes of the module and its JavaScript, each compressed by gzip. A change that needs
/// more says so here.
const MOST_BYTES: usize = 850_000;

/// Makes the package out of a module that `cargo build` made.
pub fn build(root: &Path, module: &Path) -> Result<()> {
    if !module.is_file() {
        let module = module.display();
        return Err(format!("{module} is missing: build the crate web/ for wasm32 first").into());
    }
    let folder = root.join(FOLDER);
    empty(&folder)?;
    Bindgen::new()
        .input_path(module)
        .out_name(NAME)
        .web(true)?
        .typescript(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate(&folder)?;
    copy(&root.join("web/js"), &folder)?;
    let copies = ["web/package.json", "web/README.md", "LICENSE-APACHE", "LICENSE-MIT"];
    for from in copies.map(|name| root.join(name)) {
        let to = folder.join(from.file_name().unwrap_or_default());
        at(&from, std::fs::copy(&from, to))?;
    }
    check_size(&folder)
}

/// Prints the size of the files that a page loads, and checks it.
fn check_size(folder: &Path) -> Result<()> {
    let (mut plain, mut compressed) = (0, 0);
    for entry in at(folder, std::fs::read_dir(folder))? {
        let path = at(folder, entry)?.path();
        if path.extension().is_some_and(|extension| extension == "wasm" || extension == "js") {
            let bytes = at(&path, std::fs::read(&path))?;
            plain += bytes.len();
            compressed += gzip(&bytes)?;
        }
    }
    eprintln!(
        "scripts/web: {}: module and JavaScript have {plain} bytes, {compressed} with gzip -9",
        folder.display()
    );
    if compressed > MOST_BYTES {
        return Err(format!("that is more than {MOST_BYTES} bytes, the limit of this file").into());
    }
    Ok(())
}

fn gzip(bytes: &[u8]) -> Result<usize> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?.len())
}
