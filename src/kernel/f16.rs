//! The kernels that read weights, with weights stored as f16.

use super::{
    EMBED, Kernel, LINEAR, LINEAR_ROWS, LINEAR_SUBGROUP, LINEAR_WIDE, SEQUENCE_GRU, SEQUENCE_LSTM,
    SEQUENCE_RNN, SEQUENCE_SUBGROUP_GRU, SEQUENCE_SUBGROUP_LSTM, SEQUENCE_SUBGROUP_RNN, STEP_GRU,
    STEP_GRU_WAVE, STEP_LSTM, STEP_LSTM_UNPROJECTED, STEP_LSTM_WAVE, STEP_PROJECTION, STEP_RNN,
    STEP_RNN_WAVE, STEP_SUBGROUP_GRU, STEP_SUBGROUP_LSTM, STEP_SUBGROUP_RNN, STEP_TILED_GRU,
    STEP_TILED_LSTM, STEP_TILED_RNN,
};
use crate::engine::cpu;

/// A row of the table like another, but for how weights are stored: its text is that of the same parts.
macro_rules! stored_as_f16 {
    ($name:ident, $of:ident, $label:literal, [$($part:literal),+]) => {
        #[doc = concat!("[`", stringify!($of), "`] with weights stored as f16.")]
        pub static $name: Kernel = Kernel {
            name: $label,
            wgsl: concat!(
                $(include_str!(concat!("../../shaders/", $part, ".wgsl")),)+
                include_str!("../../shaders/weight/f16.wgsl"),
            ),
            twin: cpu::f16::widened,
            ..$of
        };
    };
}

stored_as_f16!(LINEAR_F16, LINEAR, "linear_f16", ["linear", "shared/linear", "shared/activation"]);
stored_as_f16!(
    LINEAR_ROWS_F16,
    LINEAR_ROWS,
    "linear_rows_f16",
    ["linear_rows", "shared/linear", "shared/activation"]
);
stored_as_f16!(
    STEP_RNN_F16,
    STEP_RNN,
    "step_rnn_f16",
    ["step", "cell/rnn", "update/state", "shared/directions", "shared/activation"]
);
stored_as_f16!(
    STEP_LSTM_F16,
    STEP_LSTM,
    "step_lstm_f16",
    ["step", "cell/lstm", "update/state", "shared/directions", "shared/activation"]
);
stored_as_f16!(
    STEP_GRU_F16,
    STEP_GRU,
    "step_gru_f16",
    ["step", "cell/gru", "update/state", "shared/directions", "shared/activation"]
);
stored_as_f16!(
    STEP_LSTM_UNPROJECTED_F16,
    STEP_LSTM_UNPROJECTED,
    "step_lstm_unprojected_f16",
    ["step", "cell/lstm", "update/unprojected", "shared/directions", "shared/activation"]
);
stored_as_f16!(
    STEP_PROJECTION_F16,
    STEP_PROJECTION,
    "step_projection_f16",
    ["step", "cell/projection", "shared/directions"]
);
stored_as_f16!(EMBED_F16, EMBED, "embed_f16", ["embed"]);
stored_as_f16!(
    SEQUENCE_RNN_F16,
    SEQUENCE_RNN,
    "sequence_rnn_f16",
    ["sequence", "shared/sequence", "cell/rnn", "shared/activation"]
);
stored_as_f16!(
    SEQUENCE_LSTM_F16,
    SEQUENCE_LSTM,
    "sequence_lstm_f16",
    ["sequence", "shared/sequence", "cell/lstm", "shared/activation"]
);
stored_as_f16!(
    SEQUENCE_GRU_F16,
    SEQUENCE_GRU,
    "sequence_gru_f16",
    ["sequence", "shared/sequence", "cell/gru", "shared/activation"]
);
stored_as_f16!(
    LINEAR_WIDE_F16,
    LINEAR_WIDE,
    "linear_wide_f16",
    ["linear_wide", "shared/linear", "shared/activation"]
);
stored_as_f16!(
    STEP_TILED_RNN_F16,
    STEP_TILED_RNN,
    "step_tiled_rnn_f16",
    ["step_tiled", "cell/rnn", "update/state", "shared/directions", "shared/activation"]
);
stored_as_f16!(
    STEP_TILED_LSTM_F16,
    STEP_TILED_LSTM,
    "step_tiled_lstm_f16",
    ["step_tiled", "cell/lstm", "update/state", "shared/directions", "shared/activation"]
);
stored_as_f16!(
    STEP_TILED_GRU_F16,
    STEP_TILED_GRU,
    "step_tiled_gru_f16",
    ["step_tiled", "cell/gru", "update/state", "shared/directions", "shared/activation"]
);
stored_as_f16!(
    STEP_RNN_WAVE_F16,
    STEP_RNN_WAVE,
    "step_rnn_wave_f16",
    ["step", "cell/rnn", "update/wave", "shared/activation"]
);
stored_as_f16!(
    STEP_LSTM_WAVE_F16,
    STEP_LSTM_WAVE,
    "step_lstm_wave_f16",
    ["step", "cell/lstm", "update/wave", "shared/activation"]
);
stored_as_f16!(
    STEP_GRU_WAVE_F16,
    STEP_GRU_WAVE,
    "step_gru_wave_f16",
    ["step", "cell/gru", "update/wave", "shared/activation"]
);
stored_as_f16!(
    LINEAR_SUBGROUP_F16,
    LINEAR_SUBGROUP,
    "linear_subgroup_f16",
    ["linear_subgroup", "shared/linear", "shared/activation"]
);
stored_as_f16!(
    STEP_SUBGROUP_RNN_F16,
    STEP_SUBGROUP_RNN,
    "step_subgroup_rnn_f16",
    ["step_subgroup", "cell/rnn", "update/state", "shared/directions", "shared/activation"]
);
stored_as_f16!(
    STEP_SUBGROUP_LSTM_F16,
    STEP_SUBGROUP_LSTM,
    "step_subgroup_lstm_f16",
    ["step_subgroup", "cell/lstm", "update/state", "shared/directions", "shared/activation"]
);
stored_as_f16!(
    STEP_SUBGROUP_GRU_F16,
    STEP_SUBGROUP_GRU,
    "step_subgroup_gru_f16",
    ["step_subgroup", "cell/gru", "update/state", "shared/directions", "shared/activation"]
);
stored_as_f16!(
    SEQUENCE_SUBGROUP_RNN_F16,
    SEQUENCE_SUBGROUP_RNN,
    "sequence_subgroup_rnn_f16",
    ["sequence_subgroup", "shared/sequence", "cell/rnn", "shared/activation"]
);
stored_as_f16!(
    SEQUENCE_SUBGROUP_LSTM_F16,
    SEQUENCE_SUBGROUP_LSTM,
    "sequence_subgroup_lstm_f16",
    ["sequence_subgroup", "shared/sequence", "cell/lstm", "shared/activation"]
);
stored_as_f16!(
    SEQUENCE_SUBGROUP_GRU_F16,
    SEQUENCE_SUBGROUP_GRU,
    "sequence_subgroup_gru_f16",
    ["sequence_subgroup", "shared/sequence", "cell/gru", "shared/activation"]
);
