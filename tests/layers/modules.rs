//! The modules of a crate: which items each one defines, and which paths it names.

use std::collections::{BTreeMap, BTreeSet};

use crate::tokens::{Token, tokens};

/// Where a module is: its names from the crate's root. The program's root is `bin`.
pub type Place = Vec<String>;

/// A path that a module names.
#[derive(Debug, Clone)]
pub struct Named {
    pub line: usize,
    /// From the crate's root. Empty for a `use` of another crate.
    pub path: Place,
    /// The name that `use` gives it, `*` for all names; `None` where the path stands in code.
    pub binds: Option<String>,
    pub public: bool,
}

/// What one module has.
#[derive(Debug, Default)]
pub struct Module {
    pub file: String,
    pub defines: BTreeSet<String>,
    pub names: Vec<Named>,
}

/// All modules of the library and of the program, without those of tests.
#[derive(Debug, Default)]
pub struct Crate {
    pub modules: BTreeMap<Place, Module>,
}

/// The place of a file's module.
fn place(file: &str) -> Place {
    let path = file.trim_start_matches("src/").trim_end_matches(".rs");
    let mut names: Place = path.split('/').map(str::to_owned).collect();
    let program = names.first().is_some_and(|name| name == "bin") && names.len() > 2;
    if program {
        names.remove(1);
    }
    let root = if program { "main" } else { "lib" };
    let last = names.last().map(String::as_str);
    if last == Some("mod") || (last == Some(root) && names.len() == 1 + usize::from(program)) {
        names.pop();
    }
    names
}

impl Crate {
    /// Reads files, given as path and text. The last text of a path counts.
    pub fn of(files: Vec<(String, String)>) -> Self {
        let (mut found, mut of_tests) = (Self::default(), Vec::new());
        for (file, text) in BTreeMap::from_iter(files) {
            let tokens = tokens(&text);
            let mut reader = Reader {
                tokens: &tokens,
                at: 0,
                file: &file,
                crate_: &mut found,
                of_tests: vec![],
            };
            reader.module(&place(&file));
            of_tests.append(&mut reader.of_tests);
        }
        found.modules.retain(|place, _| !of_tests.iter().any(|test| place.starts_with(test)));
        // A path that begins with no child of its module is of another crate, or of an item.
        let places: BTreeSet<Place> = found.modules.keys().cloned().collect();
        for (place, module) in &mut found.modules {
            for named in &mut module.names {
                if named.path[0] == "crate" {
                    named.path.remove(0);
                } else {
                    named.path.splice(0..0, place.iter().cloned());
                    if !places.contains(&named.path[..=place.len()]) {
                        named.path.clear();
                    }
                }
            }
            module.names.retain(|named| !named.path.is_empty() || named.binds.is_some());
        }
        found
    }

    /// The modules that a path goes through; its item is in the last one, which may hand it on from
    /// none.
    pub fn resolve(&self, path: &[String]) -> Vec<Place> {
        self.follow(path, 0)
    }

    fn follow(&self, path: &[String], depth: usize) -> Vec<Place> {
        let mut here = Place::new();
        let mut through = vec![here.clone()];
        for (i, name) in path.iter().enumerate() {
            let child: Place = here.iter().cloned().chain([name.clone()]).collect();
            if self.modules.contains_key(&child) {
                here = child;
                through.push(here.clone());
                continue;
            }
            let Some(module) = self.modules.get(&here).filter(|_| depth < 16) else { break };
            if module.defines.contains(name) {
                break;
            }
            let bound = |named: &&Named| named.binds.as_ref() == Some(name);
            let all =
                |named: &&Named| named.binds.as_deref() == Some("*") && !named.path.is_empty();
            let direct = module.names.iter().find(bound).map(|named| named.path.clone());
            if direct.as_ref().is_some_and(Vec::is_empty) {
                // Of another crate. The root adds nothing to its name, other modules have it.
                through.retain(|place| !place.is_empty());
                break;
            }
            let next = direct.or_else(|| {
                module.names.iter().filter(all).find_map(|named| {
                    let path = [named.path.as_slice(), std::slice::from_ref(name)].concat();
                    self.has(&path, depth + 1).then_some(path)
                })
            });
            if let Some(next) = next {
                let rest = [next.as_slice(), &path[i + 1..]].concat();
                through.extend(self.follow(&rest, depth + 1));
            }
            break;
        }
        through
    }

    /// Whether a path's last name is a module or an item of the module before it.
    fn has(&self, path: &[String], depth: usize) -> bool {
        let through = self.follow(path, depth);
        let (Some(last), Some(name)) = (through.last(), path.last()) else { return false };
        last.last() == Some(name)
            || self.modules.get(last).is_some_and(|module| module.defines.contains(name))
    }
}

/// Reads a file's tokens into modules.
struct Reader<'a> {
    tokens: &'a [Token<'a>],
    at: usize,
    file: &'a str,
    crate_: &'a mut Crate,
    of_tests: Vec<Place>,
}

impl<'a> Reader<'a> {
    fn text(&self, at: usize) -> &'a str {
        self.tokens.get(at).map_or("", |token| token.text)
    }

    /// Whether these tokens come next.
    fn next(&self, want: &[&str]) -> bool {
        want.iter().enumerate().all(|(i, text)| self.text(self.at + i) == *text)
    }

    fn is_word(text: &str) -> bool {
        text.starts_with(|c: char| c == '_' || c.is_alphabetic())
    }

    /// Reads a module up to the brace that closes it, or to the end of the file.
    fn module(&mut self, place: &Place) {
        let mut module = Module { file: self.file.to_owned(), ..Module::default() };
        let mut depth = 0;
        while self.at < self.tokens.len() {
            let (text, after) = (self.text(self.at), self.text(self.at + 1));
            let begins = self.at == 0 || self.text(self.at - 1) != "::";
            match text {
                "{" => depth += 1,
                "}" if depth == 0 => break,
                "}" => depth -= 1,
                "#" if self.next(&["#", "[", "cfg", "(", "test", ")"])
                    || self.next(&["#", "[", "cfg", "(", "all", "(", "test"]) =>
                {
                    self.skip_item(place);
                    continue;
                }
                "mod" if self.text(self.at + 2) == "{" => {
                    let inner = [place.as_slice(), &[after.to_owned()]].concat();
                    self.at += 3;
                    self.module(&inner);
                }
                "use" if after != "<" => self.use_tree(place, &mut module),
                "macro_rules" => _ = module.defines.insert(self.text(self.at + 2).to_owned()),
                "struct" | "enum" | "fn" | "trait" | "const" | "static" | "type" | "union"
                    if depth == 0 =>
                {
                    module.defines.insert(after.to_owned());
                }
                _ if after == "::" && begins && Self::is_word(text) => {
                    let visibility = self.at > 1
                        && self.text(self.at - 1) == "in"
                        && self.text(self.at - 2) == "(";
                    let line = self.tokens[self.at].line;
                    let mut path = vec![text.to_owned()];
                    while self.text(self.at + 1) == "::" && Self::is_word(self.text(self.at + 2)) {
                        path.push(self.text(self.at + 2).to_owned());
                        self.at += 2;
                    }
                    if !visibility {
                        let path = self.absolute(place, path);
                        module.names.push(Named { line, path, binds: None, public: false });
                    }
                }
                _ => {}
            }
            self.at += 1;
        }
        self.crate_.modules.insert(place.clone(), module);
    }

    /// Skips an item of tests, from its attribute on.
    fn skip_item(&mut self, place: &Place) {
        let (mut depth, mut to_semicolon) = (0, false);
        while self.at < self.tokens.len() {
            let text = self.text(self.at);
            self.at += 1;
            match text {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" => depth -= 1,
                "}" => {
                    depth -= 1;
                    if depth == 0 && !to_semicolon {
                        return;
                    }
                }
                ";" if depth == 0 => return,
                "use" | "const" | "static" if depth == 0 => {
                    to_semicolon = self.text(self.at) != "fn";
                }
                "mod" if depth == 0 && self.text(self.at + 1) == ";" => {
                    self.of_tests.push([place.as_slice(), &[self.text(self.at).into()]].concat());
                }
                _ => {}
            }
        }
    }

    /// Reads one `use`, up to its semicolon.
    fn use_tree(&mut self, place: &Place, module: &mut Module) {
        let public = self.at > 0 && {
            let mut before = self.at - 1;
            if self.text(before) == ")" {
                before = (0..before).rev().find(|&at| self.text(at) == "(").unwrap_or(1) - 1;
            }
            self.text(before) == "pub"
        };
        // The path up to here, and those that braces have to go back to.
        let (mut path, mut outer): (Vec<String>, Vec<Vec<String>>) = (Vec::new(), Vec::new());
        let mut alias = None;
        loop {
            self.at += 1;
            let text = self.text(self.at);
            match text {
                "," | "}" | ";" | "" => {
                    let start = outer.last().map_or(0, Vec::len);
                    if path.len() > start {
                        let line = self.tokens[self.at - 1].line;
                        let mut path = path.clone();
                        if path.last().is_some_and(|last| last == "self") {
                            path.pop();
                        }
                        let mut binds = alias.take().or_else(|| path.last().cloned());
                        if path.last().is_some_and(|last| last == "*") {
                            binds = path.pop();
                        }
                        let path = self.absolute(place, path);
                        module.names.push(Named { line, path, binds, public });
                    }
                    path.truncate(start);
                    match text {
                        "}" => {
                            // The brace ends a name of the path around it, which has been read.
                            outer.pop();
                            path.truncate(outer.last().map_or(0, Vec::len));
                        }
                        "," => {}
                        _ => return,
                    }
                }
                "{" => outer.push(path.clone()),
                "::" => {}
                "as" => {
                    self.at += 1;
                    alias = Some(self.text(self.at).to_owned());
                }
                name => path.push(name.to_owned()),
            }
        }
    }

    /// A path with `crate` in front; one that begins with a name of its module stays as it is.
    fn absolute(&self, place: &Place, path: Vec<String>) -> Vec<String> {
        let ups = path.iter().take_while(|name| *name == "super").count();
        let root = match path[0].as_str() {
            "crate" => place[..usize::from(place.first().is_some_and(|p| p == "bin"))].to_vec(),
            "self" => place.clone(),
            "super" => place[..place.len().saturating_sub(ups)].to_vec(),
            _ => return path,
        };
        let rest = path[ups.max(1)..].iter().cloned();
        ["crate".to_owned()].into_iter().chain(root).chain(rest).collect()
    }
}
