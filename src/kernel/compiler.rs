//! The compilers of WGSL, which take extensions in different ways.

use super::Overrides;

/// A compiler of WGSL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compiler {
    /// naga, which native backends use. It refuses `enable subgroups;` and needs no such line.
    Naga,
    /// The browser's, such as Chromium's Tint. It wants a line for each extension.
    Browser,
}

impl Compiler {
    /// The directives of a text. They end no line, so that line numbers stay those of the files.
    pub(super) fn directives(self, overrides: &Overrides) -> &'static str {
        match self {
            Self::Browser if overrides.subgroups == 1 => "enable subgroups; ",
            Self::Browser | Self::Naga => "",
        }
    }
}
