//! Arrows between files, the layers that they join, and the cycles that they form.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use crate::modules::{Crate, Place};

/// The layers from the ground up. Imports point to the same layer or to one before it.
const LAYERS: [&str; 10] = [
    "ground",
    "params",
    "reference",
    "kernel",
    "perf",
    "plan",
    "engine",
    "nn",
    "diagnostics",
    "bin",
];

/// The modules of the ground layer. Every other layer is a module of its name.
const GROUND: [&str; 4] = ["error", "tensor", "dtype", "fs"];

/// The crate's root, which hands on items of every layer.
const ROOT: &str = "src/lib.rs";

/// The layer of a module, by its number. `None`: it belongs to no layer.
fn layer(place: &Place) -> Option<usize> {
    let first = place.first()?.as_str();
    let name = if GROUND.contains(&first) { "ground" } else { first };
    LAYERS.iter().position(|layer| *layer == name)
}

/// A path in a file, and where its item is.
#[derive(Debug, Clone)]
pub struct Arrow {
    file: String,
    line: usize,
    from: Place,
    path: Place,
    /// The file that has the item.
    to: String,
    /// The modules that the path goes through, in every layer.
    through: Vec<Place>,
    /// Whether a module hands on an item of its child, or a child uses an item of its parent:
    /// parent and child are one module in several files.
    within: bool,
}

impl fmt::Display for Arrow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |layer: Option<usize>| layer.map_or("no layer", |layer| LAYERS[layer]);
        let highest = self.through.iter().map(layer).max().flatten();
        let (from, path) = (name(layer(&self.from)), self.path.join("::"));
        write!(f, "{}:{}: {from} -> {} (crate::{path})", self.file, self.line, name(highest))
    }
}

/// The arrows between the files of a crate. The crate's root has none.
pub fn arrows(crate_: &Crate) -> Vec<Arrow> {
    let mut found = Vec::new();
    for (place, module) in crate_.modules.iter().filter(|(_, module)| module.file != ROOT) {
        for named in module.names.iter().filter(|named| !named.path.is_empty()) {
            let mut through = crate_.resolve(&named.path);
            let Some(last) = through.last().cloned() else { continue };
            let to = crate_.modules.get(&last).map_or(ROOT, |module| &module.file).to_owned();
            // The root has every layer, so that it is none, unless the item itself is there.
            through.retain(|place| {
                crate_.modules.get(place).is_some_and(|module| module.file != ROOT)
            });
            if to != module.file {
                found.push(Arrow {
                    file: module.file.clone(),
                    line: named.line,
                    from: place.clone(),
                    path: named.path.clone(),
                    to,
                    through,
                    within: place.starts_with(&last)
                        || (named.public && named.path.starts_with(place)),
                });
            }
        }
    }
    found
}

/// The arrows that point to a higher layer, or to or from a file that no layer has.
pub fn upward(arrows: &[Arrow]) -> Vec<Arrow> {
    let is_wrong = |arrow: &&Arrow| {
        let Some(from) = layer(&arrow.from) else { return true };
        arrow.to == ROOT
            || arrow.through.iter().any(|place| layer(place).is_none_or(|layer| layer > from))
    };
    arrows.iter().filter(is_wrong).cloned().collect()
}

/// A shortest cycle of each set of files that import each other, with the line of every import.
pub fn cycles(arrows: &[Arrow]) -> Vec<String> {
    let mut next: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for arrow in arrows.iter().filter(|arrow| !arrow.within && arrow.to != ROOT) {
        next.entry(&arrow.file).or_default().entry(&arrow.to).or_insert(arrow.line);
    }
    let nothing = BTreeMap::new();
    // The file from which each file is reached first.
    let reached = |start: &'_ str| {
        let (mut from, mut waiting) = (BTreeMap::new(), VecDeque::from([start.to_owned()]));
        while let Some(file) = waiting.pop_front() {
            for to in next.get(file.as_str()).unwrap_or(&nothing).keys() {
                if !from.contains_key(*to) {
                    from.insert((*to).to_owned(), file.clone());
                    waiting.push_back((*to).to_owned());
                }
            }
        }
        from
    };
    let (mut found, mut done) = (Vec::new(), BTreeSet::new());
    for start in next.keys().map(|file| (*file).to_owned()) {
        let from = reached(&start);
        if done.contains(&start) || !from.contains_key(&start) {
            continue;
        }
        let set: Vec<String> =
            from.keys().filter(|file| reached(file).contains_key(&start)).cloned().collect();
        let (mut file, mut text) = (start.clone(), start.clone());
        let mut count = 0;
        while count == 0 || file != start {
            let before = &from[&file];
            text = format!("{before}:{} -> {text}", next[before.as_str()][file.as_str()]);
            (file, count) = (before.clone(), count + 1);
        }
        if set.len() > count {
            text += &format!(" ({} files import each other: {})", set.len(), set.join(", "));
        }
        found.push(text);
        done.extend(set);
    }
    found
}
