//! Bindings in WGSL equal those of the table, which bind group layouts come from.

use naga::{AddressSpace, Module, StorageAccess};
use wgpu_rnn::internals::kernel::{Access, Binding};

use crate::{
    Subject, Verdict, assert_all_accepted, assert_refused, kernel_named, parse, with_every_passage,
    with_passage,
};

/// The address space and access of a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Space {
    Uniform,
    Read,
    ReadWrite,
    /// A space that the table cannot express.
    Other,
}

/// Group, binding, name and address space.
type Declared = (u32, u32, String, Space);

/// Returns the bindings that the module declares.
fn reflected(module: &Module) -> Vec<Declared> {
    let mut all: Vec<Declared> = module
        .global_variables
        .iter()
        .filter_map(|(_, variable)| {
            let binding = variable.binding?;
            let space = match variable.space {
                AddressSpace::Uniform => Space::Uniform,
                AddressSpace::Storage { access } if access == StorageAccess::LOAD => Space::Read,
                AddressSpace::Storage { access }
                    if access == StorageAccess::LOAD | StorageAccess::STORE =>
                {
                    Space::ReadWrite
                }
                _ => Space::Other,
            };
            Some((binding.group, binding.binding, variable.name.clone().unwrap_or_default(), space))
        })
        .collect();
    all.sort_by_key(|&(group, binding, ..)| (binding, group));
    all
}

/// Returns the bindings that the table declares.
fn listed(kernel: &Subject) -> Vec<Declared> {
    let mut all = vec![(0, 0, "dims".to_owned(), Space::Uniform)];
    if kernel.stepped {
        all.push((0, 1, "step_at".to_owned(), Space::Uniform));
    }
    all.extend(kernel.bindings.iter().map(|&Binding { index, name, access }| {
        let space = match access {
            Access::Read => Space::Read,
            Access::ReadWrite | Access::Held => Space::ReadWrite,
        };
        (0, index, name.to_owned(), space)
    }));
    // A row lists bindings in the order of a dispatch's buffers, not by number.
    all.sort_by_key(|&(group, binding, ..)| (binding, group));
    all
}

/// Module and table agree. Numbers may have gaps, since a fragment's variables keep theirs in every
/// kernel.
fn bindings_agree(kernel: &Subject) -> Verdict {
    let (got, want) = (reflected(&parse(&kernel.wgsl)?.module), listed(kernel));
    if let Some((got, want)) = got.iter().zip(&want).find(|(got, want)| got != want) {
        return Err(format!("WGSL declares {got:?}, the table {want:?}"));
    }
    if got.len() != want.len() {
        return Err(format!("WGSL declares {} bindings, the table {}", got.len(), want.len()));
    }
    Ok(())
}

#[test]
fn bindings_are_those_of_the_table() {
    assert_all_accepted(bindings_agree);
}

#[test]
fn bindings_that_differ_from_the_table_are_refused() {
    let linear = &kernel_named("tile");
    let y = "@binding(5) var<storage, read_write> y";
    let bias = "@group(0) @binding(4) var<storage, read> bias";
    let group = "@group(1) @binding(4) var<storage, read> bias";
    let writable = "@group(0) @binding(4) var<storage, read_write> bias";
    let more = "@group(0) @binding(6) var<storage, read> more: array<f32>;\n@group(0) @binding(4)";
    let cases = [
        (
            "another number",
            y,
            "@binding(6) var<storage, read_write> y",
            r#"(0, 6, "y", ReadWrite), the table (0, 5"#,
        ),
        (
            "another group",
            bias,
            group,
            r#"WGSL declares (1, 4, "bias", Read), the table (0, 4, "bias", Read)"#,
        ),
        (
            "another access",
            bias,
            writable,
            r#"(0, 4, "bias", ReadWrite), the table (0, 4, "bias", Read)"#,
        ),
        (
            "a storage buffer for dims",
            "<uniform> dims",
            "<storage, read> dims",
            r#"(0, 0, "dims", Read), the table"#,
        ),
        ("one more", "@group(0) @binding(4)", more, "WGSL declares 7 bindings, the table 6"),
    ];
    for (broken, passage, replacement, reason) in cases {
        assert_refused(broken, bindings_agree(&with_passage(linear, passage, replacement)), reason);
    }
    let renamed = with_every_passage(linear, "bias", "offsets");
    assert_refused(
        "another name",
        bindings_agree(&renamed),
        r#"declares (0, 4, "offsets", Read), the table (0, 4, "bias""#,
    );
}

#[test]
fn a_table_that_differs_from_the_bindings_is_refused() {
    let (linear, step) = (kernel_named("tile"), kernel_named("step_rnn"));
    let fewer = Subject { bindings: linear.bindings[..4].to_vec(), ..linear.clone() };
    assert_refused(
        "a row with a binding less",
        bindings_agree(&fewer),
        "WGSL declares 6 bindings, the table 5",
    );
    let stepped = Subject { stepped: true, ..linear };
    assert_refused(
        "a step index that WGSL lacks",
        bindings_agree(&stepped),
        r#"the table (0, 1, "step_at", Uniform)"#,
    );
    let not_stepped = Subject { stepped: false, ..step };
    assert_refused(
        "a step index that the row lacks",
        bindings_agree(&not_stepped),
        r#"(0, 1, "step_at", Uniform)"#,
    );
}
