//! Variants cost PyTorch's cells nothing: their kernels have not changed by one character.

use wgpu_rnn::internals::kernel::{Cell, Kernel};

use crate::{Subject, all_kernels};

/// FNV-1a, 64 bits.
fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// The digests of kernels whose cells have variants, as they were before there were any. A change
/// of such a kernel changes its digest here too.
const PLAIN: [(&str, u64); 0] = [];

fn is_plain(kernel: &Kernel) -> bool {
    kernel.has_variant() && !kernel.variant
}

#[test]
fn kernels_of_pytorchs_cells_are_as_they_were() {
    let found: Vec<(String, u64)> = Kernel::all()
        .filter(is_plain)
        .map(|kernel| (kernel.name(), digest(&kernel.wgsl(&Default::default()))))
        .collect();
    let want = PLAIN.map(|(name, digest)| (name.to_owned(), digest));
    assert_eq!(found, want, "the texts of kernels without variants");
}

/// A variant is the plain kernel with another function of the cell, and with its settings.
#[test]
fn variants_differ_in_the_function_of_the_cell() {
    let text = |kernel: Kernel| kernel.wgsl(&Default::default());
    for kernel in Kernel::all().filter(is_plain) {
        let (plain, variant) = (text(kernel), text(Kernel { variant: true, ..kernel }));
        let start = plain.bytes().zip(variant.bytes()).take_while(|(a, b)| a == b).count();
        let function = match kernel.cell {
            Some(_) => "fn advance(",
            None => "fn store_unit(",
        };
        let at = plain.find(function).expect("the function of the cell");
        assert!(start <= at && at - start < 100, "{}: they differ at {start}", kernel.name());
        assert!(variant.contains("var<storage, read> variant"), "{}: settings", kernel.name());
    }
}

/// Kernels grow by what is used: one text for each kind, whatever functions and clips there are.
#[test]
fn a_kind_has_one_variant() {
    let with_settings = |subject: &Subject| subject.wgsl.contains("fn applied(");
    let variants = all_kernels().into_iter().filter(with_settings).count();
    let plain = Kernel::all().filter(is_plain).count();
    let reset = Kernel::all().filter(|kernel| kernel.cell == Some(Cell::Reset)).count();
    let candidates = Kernel::all().filter(|kernel| kernel.name().contains("candidate")).count();
    assert_eq!(variants, plain + reset + candidates, "a variant of each plain kernel");
}
