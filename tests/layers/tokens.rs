//! Rust's tokens, as far as imports need them.

/// A word, `::`, or a single character, and the line that it is on, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    pub text: &'a str,
    pub line: usize,
}

/// The length of the comment, text or character that `rest` begins with, or 0.
fn passive(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        let (mut depth, mut at) = (0, 0);
        while at < rest.len() {
            match &bytes[at..(at + 2).min(rest.len())] {
                b"/*" => (depth, at) = (depth + 1, at + 2),
                b"*/" => (depth, at) = (depth - 1, at + 2),
                _ => at += 1,
            }
            if depth == 0 {
                return at;
            }
        }
        return rest.len();
    }
    let raw = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'));
    if let Some(raw) = raw {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let begin = rest.len() - raw.len() + hashes + 1;
            return rest[begin..].find(&end).map_or(rest.len(), |at| begin + at + end.len());
        }
    }
    let quoted = |quote: u8| {
        let mut at = 1;
        while at < bytes.len() && bytes[at] != quote {
            at += 1 + usize::from(bytes[at] == b'\\');
        }
        (at + 1).min(bytes.len())
    };
    match bytes[0] {
        b'"' => quoted(b'"'),
        // A lifetime has no quote at its end.
        b'\'' if bytes.get(1) == Some(&b'\\') => quoted(b'\''),
        b'\'' => {
            let mut characters = rest.char_indices().skip(2);
            characters.next().filter(|(_, c)| *c == '\'').map_or(0, |(at, _)| at + 1)
        }
        _ => 0,
    }
}

/// The tokens of a file, without comments and texts.
pub fn tokens(text: &str) -> Vec<Token<'_>> {
    let (mut found, mut at, mut line) = (Vec::new(), 0, 1);
    while at < text.len() {
        let rest = &text[at..];
        let skipped = passive(rest);
        if skipped > 0 {
            line += rest[..skipped].matches('\n').count();
            at += skipped;
            continue;
        }
        let word = rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len());
        let first = rest.chars().next().map_or(1, char::len_utf8);
        let length = match word {
            0 if rest.starts_with("::") => 2,
            0 => first,
            word => word,
        };
        let token = &rest[..length];
        line += usize::from(token == "\n");
        if !token.trim().is_empty() {
            found.push(Token { text: token, line });
        }
        at += length;
    }
    found
}
