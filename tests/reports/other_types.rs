//! 04-other-types: files that hold no weights that can be read.

use crate::Report;
use crate::pickles::refusal;

pub fn other_types_are_named() {
    let report = Report::of("04-other-types");
    let names = report.expected["error_names"].as_object().expect("a map of files");
    assert!(!names.is_empty(), "the report names files");
    for (file, name) in names {
        let message = refusal(&report.path(file));
        let name = name.as_str().expect("the name of a type");
        assert!(message.contains(name), "{file}: '{name}' is not in: {message}");
    }
}
