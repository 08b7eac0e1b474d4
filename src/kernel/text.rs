//! The texts of shaders.

/// The text of a file in `shaders/`. For a browser, which downloads it, without comments.
macro_rules! shader {
    ($path:literal) => {{
        const FILE: &str = include_str!(concat!("../../shaders/", $path, ".wgsl"));
        #[cfg(not(target_arch = "wasm32"))]
        const TEXT: &str = FILE;
        #[cfg(target_arch = "wasm32")]
        const TEXT: &str = {
            const KEPT: ([u8; FILE.len()], usize) = $crate::kernel::text::without_comments(FILE);
            const CODE: [u8; KEPT.1] = *KEPT.0.first_chunk().expect("a part of it");
            match std::str::from_utf8(&CODE) {
                Ok(text) => text,
                Err(_) => panic!("only whole comments are left out"),
            }
        };
        TEXT
    }};
}

pub(super) use shader;

/// Returns WGSL of at most N bytes without comments and the space that they leave, and the number
/// of bytes that are left. Comments begin with `//`: the shaders have no others.
#[cfg(any(target_arch = "wasm32", test))]
pub(super) const fn without_comments<const N: usize>(wgsl: &str) -> ([u8; N], usize) {
    let wgsl = wgsl.as_bytes();
    let (mut kept, mut at, mut len) = ([0; N], 0, 0);
    while at < wgsl.len() {
        if wgsl[at] == b'/' && at + 1 < wgsl.len() && wgsl[at + 1] == b'/' {
            while at < wgsl.len() && wgsl[at] != b'\n' {
                at += 1;
            }
            continue;
        }
        if wgsl[at] == b'\n' {
            while len > 0 && matches!(kept[len - 1], b' ' | b'\n') {
                len -= 1;
            }
        }
        // A text begins with its first line of code.
        if len > 0 || wgsl[at] != b'\n' {
            kept[len] = wgsl[at];
            len += 1;
        }
        at += 1;
    }
    (kept, len)
}

#[cfg(test)]
mod tests {
    use super::without_comments;

    fn of(wgsl: &str) -> String {
        let (kept, len) = without_comments::<{ 1 << 16 }>(wgsl);
        String::from_utf8(kept[..len].to_vec()).expect("UTF-8")
    }

    #[test]
    fn only_comments_go() {
        for (wgsl, want) in [
            ("// Σ\n\nfn f() {\n    // Why.\n\n    g(); // once\n}\n", "fn f() {\n    g();\n}\n"),
            ("const A = 6 / 2;\n// end", "const A = 6 / 2;\n"),
            ("const A = 1 //\n+ 2;", "const A = 1\n+ 2;"),
            ("//", ""),
            ("", ""),
        ] {
            assert_eq!(of(wgsl), want, "{wgsl:?}");
        }
    }

    /// The tokens of every kernel are those of its files.
    #[test]
    fn every_shader_keeps_its_code() {
        for kernel in crate::kernel::Kernel::all() {
            let wgsl = kernel.row().source;
            let code = |text: &str| -> Vec<String> {
                let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
                lines.flat_map(str::split_whitespace).map(str::to_owned).collect()
            };
            let kept = of(wgsl);
            assert!(!kept.contains("//") && !kept.contains("/*"), "{}: {kept}", kernel.name());
            assert_eq!(code(&kept), code(wgsl), "{}", kernel.name());
        }
    }
}
