//! Splits the module into a main module and side modules, which the main module loads on demand.
//!
//! `web/src/side/split.rs` marks the split points. Code that only one of them reaches moves to a
//! side module of that name. Code that several of them share, but not the main module, moves to a
//! file with all of their names. The linker must keep its relocations.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};

use wasm_split_cli_support::{Options, transform};

use crate::{Result, at, empty};

/// The JavaScript of side modules, which the main module imports.
const LINKS: &str = "links.js";

/// Writes the side modules and their JavaScript into a folder, and intermediate files into another.
/// Returns the path of the main module, which lacks its bindings.
pub fn split(module: &Path, folder: &Path, scratch: &Path) -> Result<PathBuf> {
    empty(scratch)?;
    let bytes = at(module, std::fs::read(module))?;
    let (main, link_name) = (scratch.join("main.wasm"), format!("./{LINKS}"));
    let mut options = Options::new(&bytes);
    (options.output_dir, options.main_out_path) = (scratch, &main);
    options.link_name = &link_name;
    let split = transform(options).map_err(|error| format!("{}: {error:?}", module.display()))?;
    let build = build_id(&bytes);
    let mut names = BTreeMap::new();
    for path in split.split_modules {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let users = split.prefetch_map.iter().filter(|(_, stems)| stems.contains(&stem));
        let mut users: Vec<_> = users.map(|(user, _)| user.as_str()).collect();
        users.sort_unstable();
        let name = users.join("-");
        let content = stamp(&at(&path, std::fs::read(&path))?, &format!("{build} {name}.wasm"))
            .ok_or_else(|| format!("{}: no WebAssembly module", path.display()))?;
        let to = folder.join(format!("{name}.wasm"));
        at(&to, std::fs::write(&to, content))?;
        names.insert(stem, name);
    }
    let sides = split.prefetch_map.iter().map(|(side, stems)| {
        (side.as_str(), stems.iter().map(|stem| names[stem].as_str()).collect())
    });
    let links = folder.join(LINKS);
    at(&links, std::fs::write(&links, link(&build, &sides.collect())))?;
    Ok(main)
}

/// Returns a name of this build. A side module contains addresses in the main module, so it fits
/// the main module of its build only.
fn build_id(module: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(module);
    format!("{:016x}", hasher.finish())
}

/// Replaces the custom sections of a module, which are names for debuggers, by one with a text: the
/// names of the build and of the file. Returns `None` for bytes that are no module.
fn stamp(module: &[u8], text: &str) -> Option<Vec<u8>> {
    let (magic, mut rest) = module.split_at_checked(8)?;
    let mut stamped = magic.to_vec();
    while let Some((&id, after)) = rest.split_first() {
        let (size, digits) = leb128(after)?;
        let (section, next) = rest.split_at_checked(1 + digits + size)?;
        // 0 is the number of custom sections.
        if id != 0 {
            stamped.extend_from_slice(section);
        }
        rest = next;
    }
    let text = format!("\u{5}build{text}");
    // A length below 128 has one byte.
    stamped.extend([0, u8::try_from(text.len()).ok().filter(|&len| len < 0x80)?]);
    stamped.extend(text.bytes());
    Some(stamped)
}

/// Reads an unsigned number. Returns it and the number of its bytes.
fn leb128(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (at, &byte) in bytes.iter().take(5).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            return Some((value, at + 1));
        }
    }
    None
}

/// Returns the JavaScript of side modules, each with the names of its files.
fn link(build: &str, sides: &BTreeMap<&str, Vec<&str>>) -> String {
    let mut text = format!(
        "// The files of the side modules. The build of the package makes this file.\n\n\
         import {{ sides }} from \"./side.js\";\n\n\
         const side = sides(\"{build}\", {{\n"
    );
    for name in sides.values().flatten().collect::<BTreeSet<_>>() {
        // Bundlers look for this form of an address.
        let address = format!("new URL(\"./{name}.wasm\", import.meta.url)");
        _ = writeln!(text, "  \"{name}.wasm\": () => {address},");
    }
    text.push_str("});\n");
    for (side, files) in sides {
        let files: Vec<_> = files.iter().map(|name| format!("\"{name}.wasm\"")).collect();
        let files = files.join(", ");
        _ = writeln!(text, "export const __wasm_split_load_{side} = side(\"{side}\", [{files}]);");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{leb128, link, stamp};

    #[test]
    fn custom_sections_are_replaced() {
        let module = b"\0asm\x01\0\0\0\x01\x01\0\0\x05\x04name\x0a\x02xy";
        let want = b"\0asm\x01\0\0\0\x01\x01\0\x0a\x02xy\0\x08\x05buildab";
        assert_eq!(stamp(module, "ab").as_deref(), Some(want.as_slice()));
        assert_eq!(stamp(&module[..module.len() - 1], "ab"), None);
        assert_eq!(stamp(b"", "ab"), None);
        assert_eq!(leb128(&[0xe5, 0x8e, 0x26, 7]), Some((624_485, 3)));
        assert_eq!(leb128(&[0x80]), None);
    }

    #[test]
    fn a_side_module_has_all_its_files() {
        let text = link("12", &[("a", vec!["a-b", "a"]), ("b", vec!["a-b", "b"])].into());
        for line in [
            "const side = sides(\"12\", {",
            "  \"a-b.wasm\": () => new URL(\"./a-b.wasm\", import.meta.url),",
            "export const __wasm_split_load_a = side(\"a\", [\"a-b.wasm\", \"a.wasm\"]);",
            "export const __wasm_split_load_b = side(\"b\", [\"a-b.wasm\", \"b.wasm\"]);",
        ] {
            assert_eq!(text.lines().filter(|&found| found == line).count(), 1, "{line}\n{text}");
        }
    }
}
