//! Variants cost PyTorch's cells nothing: their kernels have not changed by one character.

use wgpu_rnn::internals::kernel::{Cell, Compiler, Kernel, Overrides};

use crate::{Subject, all_kernels};

/// FNV-1a, 64 bits.
fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// The digests of kernels whose cells have variants, as they were before there were any. A change
/// of such a kernel changes its digest here too. `step` and `sequence` have changed since: their
/// variables have initialisers (`portability`).
const PLAIN: [(&str, u64); 38] = [
    ("step_rnn", 0x00d9_992a_4903_1f61),
    ("step_rnn_f16", 0x215a_1fa0_daa8_b5a4),
    ("step_lstm", 0xf495_3060_d5dc_2e82),
    ("step_lstm_f16", 0xf2c0_1ef8_9eee_dfc3),
    ("step_gru", 0xa60d_0753_f5e4_84c7),
    ("step_gru_f16", 0x9327_4879_3517_8b3a),
    ("step_unprojected_lstm", 0x5460_946a_64fe_33da),
    ("step_unprojected_lstm_f16", 0x11a3_e9d7_e007_59db),
    ("step_projection", 0xc26d_a92e_c53b_5c6f),
    ("step_projection_f16", 0x38a7_84f8_1842_c9a2),
    ("step_wave_rnn", 0x7a2d_7ac9_9ccf_87c5),
    ("step_wave_rnn_f16", 0xe846_05d9_1b5f_7668),
    ("step_wave_lstm", 0x7652_909c_9c97_3b2e),
    ("step_wave_lstm_f16", 0x7e88_f6da_5ecf_607f),
    ("step_wave_gru", 0x841c_7809_cd61_7493),
    ("step_wave_gru_f16", 0x8dc8_70f8_616b_d576),
    ("step_tiled_rnn", 0x0c52_bad2_cb3a_eb46),
    ("step_tiled_rnn_f16", 0x9178_5d04_1deb_3c25),
    ("step_tiled_lstm", 0x91ea_1eaf_c5c4_d6e6),
    ("step_tiled_lstm_f16", 0xbb6c_933c_6034_332b),
    ("step_tiled_gru", 0x06d7_c458_a3b7_3233),
    ("step_tiled_gru_f16", 0x793d_5162_0265_c1c2),
    ("step_tiled_unprojected_lstm", 0xc941_5209_269c_e612),
    ("step_tiled_unprojected_lstm_f16", 0xdace_5234_8fc4_2087),
    ("step_tiled_projection", 0xe746_5868_f1be_8c84),
    ("step_tiled_projection_f16", 0x83fd_8bd3_edae_18e3),
    ("step_tiled_wave_rnn", 0xd47e_915e_5582_4e36),
    ("step_tiled_wave_rnn_f16", 0xdbfa_3637_ea7e_43b5),
    ("step_tiled_wave_lstm", 0x7cc5_bf43_3241_b8b6),
    ("step_tiled_wave_lstm_f16", 0x54ed_3643_15ae_759b),
    ("step_tiled_wave_gru", 0xc827_3a35_5c6c_f3c3),
    ("step_tiled_wave_gru_f16", 0xf48d_1b98_0160_af72),
    ("sequence_rnn", 0x00f2_ab2c_ec17_3852),
    ("sequence_rnn_f16", 0x8614_36f7_522e_a2f3),
    ("sequence_lstm", 0x7436_97c4_c1d3_041d),
    ("sequence_lstm_f16", 0x9b58_3640_0d9c_fe00),
    ("sequence_gru", 0x9f7c_c533_f6b1_425e),
    ("sequence_gru_f16", 0xd1f7_f4f1_8181_b4cf),
];

fn text(kernel: Kernel) -> String {
    kernel.wgsl(&Overrides::default(), Compiler::Naga)
}

fn is_plain(kernel: &Kernel) -> bool {
    kernel.has_variant() && !kernel.variant
}

#[test]
fn kernels_of_pytorchs_cells_are_as_they_were() {
    let found: Vec<(String, u64)> = Kernel::all()
        .filter(is_plain)
        .map(|kernel| (kernel.name(), digest(&text(kernel))))
        .collect();
    let want = PLAIN.map(|(name, digest)| (name.to_owned(), digest));
    assert_eq!(found, want, "the texts of kernels without variants");
}

/// A variant is the plain kernel with another function of the cell, and with its settings.
#[test]
fn variants_differ_in_the_function_of_the_cell() {
    for kernel in Kernel::all().filter(is_plain) {
        let (plain, variant) = (text(kernel), text(Kernel { variant: true, ..kernel }));
        let start = plain.bytes().zip(variant.bytes()).take_while(|(a, b)| a == b).count();
        let function = match kernel.cell {
            Some(_) => "fn advance(",
            None => "fn store_unit(",
        };
        let at = plain.find(function).expect("the function of the cell");
        assert!(start <= at && at - start < 200, "{}: they differ at {start}", kernel.name());
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
