//! Command lines that the program refuses.

use crate::files::fixture;
use crate::program::wgpu_rnn;

#[test]
fn what_is_not_understood_is_2_and_named() {
    let case = fixture("grid_gru_l1_b3_t11_h0.safetensors");
    let rows: [(&[&str], &[&str]); 20] = [
        (&["frobnicate"], &["frobnicate", "Usage"]),
        (&["--frobnicate"], &["--frobnicate"]),
        (&["devices", "--frobnicate"], &["--frobnicate"]),
        (&["devices", "extra"], &["extra"]),
        (&["verify"], &["<PATH>"]),
        (&["verify", "--device", "cpu", "--frobnicate", &case], &["--frobnicate"]),
        (
            &["verify", "--device", "cpu", "--schedule", "fastest", &case],
            &["fastest", "auto", "step"],
        ),
        (
            &["verify", "--device", "cpu", "--limit", "memory_budget", &case],
            &["memory_budget", "NAME=VALUE"],
        ),
        (
            &["verify", "--device", "cpu", "--limit", "memory_budget=many", &case],
            &["'many' is not a whole number"],
        ),
        (
            &["verify", "--device", "cpu", "--limit", "max_bind_groups=1", &case],
            &["max_bind_groups", "memory_budget"],
        ),
        (
            &["verify", "--device", "cpu", "--limit", "memory_budget=1TB", &case],
            &["'1TB' is not a whole number, with or without KB, MB, GB, KiB, MiB or GiB"],
        ),
        (
            &["verify", "--device", "cpu", "--limit", "memory_budget=99999999999GiB", &case],
            &["'99999999999GiB' is over 18446744073709551615 bytes"],
        ),
        (
            &["verify", "--device", "cpu", "--limit", "max_steps_per_dispatch=1KB", &case],
            &["'1KB' is not a whole number"],
        ),
        (
            &["verify", "--device", "cpu", "--threads", "0", &case],
            &["--threads", "'0' is no number of threads: give at least 1"],
        ),
        (
            &["verify", "--device", "cpu", "--threads", "all", &case],
            &["--threads", "'all' is no number of threads: give at least 1"],
        ),
        (
            &["verify", "--device", "cpu", "--threads=-1", &case],
            &["--threads", "'-1' is no number of threads: give at least 1"],
        ),
        (
            &["calibrate", "--device", "cpu", "--threads", "1"],
            &["--threads is not for calibrate, which measures all cores"],
        ),
        (&["run"], &["--weights", "--input", "--output"]),
        (&["run", "--weights", "w", "--input", "i", "--input", "i", "--output", "o"], &["--input"]),
        (&["compare"], &["--weights"]),
    ];
    for (args, parts) in rows {
        wgpu_rnn(args).refused(parts);
    }
}
