//! Files as users have them: one folder a report, with the right result in `expected.json`.
//!
//! `WGPU_RNN_REPORTS` names the folder of reports. Without it every trial is ignored.

#[path = "../common/opening.rs"]
mod opening;
#[path = "../common/outside.rs"]
mod outside;
#[path = "../common/trials.rs"]
mod trials;

mod names;
mod other_types;
mod pickles;
mod sharded;
mod text;

use std::path::PathBuf;

use libtest_mimic::Arguments;
use serde_json::Value;
use trials::trials;
use wgpu_rnn::StateDict;

const VARIABLE: &str = "WGPU_RNN_REPORTS";

/// A report: its folder, and the content of its `expected.json`.
struct Report {
    folder: PathBuf,
    expected: Value,
}

impl Report {
    /// The report in the folder of this name.
    fn of(name: &str) -> Self {
        let folder = outside::part(VARIABLE, name);
        let text = std::fs::read_to_string(folder.join("expected.json"))
            .unwrap_or_else(|error| panic!("{name}/expected.json: {error}"));
        let expected = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{name}/expected.json: {error}"));
        Self { folder, expected }
    }

    /// The path of a file of the report.
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The tensors of a file of the report.
    fn open(&self, name: &str) -> StateDict {
        StateDict::open(self.path(name)).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The texts of an array in `expected.json`.
    fn texts(&self, key: &str) -> Vec<&str> {
        let array = self.expected[key].as_array();
        let array = array.unwrap_or_else(|| panic!("{key} is an array: {}", self.expected));
        array.iter().map(|text| text.as_str().expect("an array of texts")).collect()
    }
}

fn main() {
    let trials = trials![
        pickles::a_pickle_holds_the_tensors_of_its_twin,
        pickles::what_is_no_state_dict_is_named,
        other_types::other_types_are_named,
        sharded::shards_are_one_state_dict,
        sharded::a_shard_alone_is_refused,
        names::tensors_below_a_cell_are_refused,
        names::reparametrised_weights_are_folded_on_request,
        names::quantized_weights_are_refused,
        text::one_special_token_leaves_characters,
        text::other_names_are_mapped,
        text::vocabularies_are_maps_and_tokenizers,
    ];
    let absent = outside::is_absent(VARIABLE);
    let trials = trials.into_iter().map(|trial| trial.with_ignored_flag(absent)).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
