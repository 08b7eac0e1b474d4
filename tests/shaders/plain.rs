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
const PLAIN: [(&str, u64); 38] = [
    ("step_rnn", 0x8ca8_57a9_aa58_5d1b),
    ("step_rnn_f16", 0x898f_9ae0_e5cc_1f7e),
    ("step_lstm", 0xb04a_1a7d_1721_4eac),
    ("step_lstm_f16", 0xf307_6721_df75_c10d),
    ("step_gru", 0x0ba7_94c6_b5a7_b2e5),
    ("step_gru_f16", 0x3efc_ded0_00f9_c008),
    ("step_unprojected_lstm", 0x2647_94d3_9999_4378),
    ("step_unprojected_lstm_f16", 0xb458_2831_39fc_d9e9),
    ("step_projection", 0xbb25_6fdf_231e_8331),
    ("step_projection_f16", 0xbb0b_e46e_cdec_bf14),
    ("step_wave_rnn", 0x8eb4_4c1c_3f0d_f62b),
    ("step_wave_rnn_f16", 0x4fda_2903_0aea_de2e),
    ("step_wave_lstm", 0x28a6_119b_3921_b5dc),
    ("step_wave_lstm_f16", 0x0d31_6f23_f2c3_2ddd),
    ("step_wave_gru", 0xfe3c_879f_0704_b555),
    ("step_wave_gru_f16", 0xc854_f433_7ce2_1158),
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
    ("sequence_rnn", 0xf508_0bc7_847b_2cbe),
    ("sequence_rnn_f16", 0x2316_57a0_b715_e9af),
    ("sequence_lstm", 0x5c72_2663_c5ee_8b21),
    ("sequence_lstm_f16", 0x409f_c20f_d8b9_fd64),
    ("sequence_gru", 0xea34_36ad_fa5c_8cc2),
    ("sequence_gru_f16", 0x3290_1fdc_536e_3803),
];

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
