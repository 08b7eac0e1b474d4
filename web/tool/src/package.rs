//! The npm package: the module with its bindings, and the JavaScript of `web/js/`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use wasm_bindgen_cli_support::Bindgen;

use crate::split::split;
use crate::{Result, at, copy, empty};

/// The folder of the package, in the repository.
pub const FOLDER: &str = "target/web/package";

/// The folder of intermediate files.
const SCRATCH: &str = "target/web/split";

/// The name of the module and of its bindings, which `web/js/index.js` imports.
const NAME: &str = "wgpu_rnn_web";

/// The most bytes of files by their names, each file compressed by gzip. A change that needs more
/// says so here.
const MOST_BYTES: [(&str, usize); 6] = [
    // Every page loads these.
    ("wgpu_rnn_web_bg.wasm", 480_000),
    ("*.js", 24_000),
    // A page loads these on demand. The last ones have code that several side modules share.
    ("diagnostics.wasm", 95_000),
    ("networks.wasm", 80_000),
    ("language_model.wasm", 66_000),
    ("*-*.wasm", 8_000),
];

/// Makes the package out of a module that `cargo build` made.
pub fn build(root: &Path, module: &Path) -> Result<()> {
    if !module.is_file() {
        let module = module.display();
        return Err(format!("{module} is missing: build the crate web/ for wasm32 first").into());
    }
    let folder = root.join(FOLDER);
    empty(&folder)?;
    let scratch = root.join(SCRATCH);
    let main = split(module, &folder, &scratch)?;
    Bindgen::new()
        .input_path(main)
        // Side modules import the table of functions.
        .keep_lld_exports(true)
        .out_name(NAME)
        .web(true)?
        .typescript(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate(&folder)?;
    at(&scratch, std::fs::remove_dir_all(&scratch))?;
    copy(&root.join("web/js"), &folder)?;
    let copies = ["web/package.json", "web/README.md", "LICENSE-APACHE", "LICENSE-MIT"];
    for from in copies.map(|name| root.join(name)) {
        let to = folder.join(from.file_name().unwrap_or_default());
        at(&from, std::fs::copy(&from, to))?;
    }
    check_size(&folder)
}

/// Prints the sizes of the modules and of the JavaScript, and checks them.
fn check_size(folder: &Path) -> Result<()> {
    let mut sizes = BTreeMap::new();
    for entry in at(folder, std::fs::read_dir(folder))? {
        let entry = at(folder, entry)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(group) = group(&name) {
            let bytes = at(&entry.path(), std::fs::read(entry.path()))?;
            let (plain, compressed) = sizes.entry(group.to_owned()).or_insert((0, 0));
            *plain += bytes.len();
            *compressed += gzip(&bytes)?;
        }
    }
    for (name, (plain, compressed)) in &sizes {
        let path = folder.join(name);
        eprintln!("scripts/web: {}: {plain} bytes, {compressed} with gzip -9", path.display());
    }
    for (name, most) in MOST_BYTES {
        match sizes.remove(name) {
            Some((_, size)) if size <= most => {}
            Some(_) => return Err(format!("{name} has more than {most} bytes").into()),
            None if name.contains('*') => {}
            None => return Err(format!("{name} is missing").into()),
        }
    }
    match sizes.keys().next() {
        Some(name) => Err(format!("{name} has no limit").into()),
        None => Ok(()),
    }
}

/// Returns the name in `MOST_BYTES` that a file counts to.
fn group(name: &str) -> Option<&str> {
    match name.rsplit_once('.')? {
        (_, "js") => Some("*.js"),
        (stem, "wasm") if stem.contains('-') => Some("*-*.wasm"),
        (_, "wasm") => Some(name),
        _ => None,
    }
}

fn gzip(bytes: &[u8]) -> Result<usize> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?.len())
}
