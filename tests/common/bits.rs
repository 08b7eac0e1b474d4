//! Equality of results to the last bit.

#![allow(dead_code, reason = "each test program uses some of it")]

use wgpu_rnn::{State, Tensor};

/// The first difference between two lists of values, and how many differ. NaN equals any NaN: the
/// machine chooses which of them an operation on a NaN returns.
pub fn difference(got: &[f32], want: &[f32]) -> Option<String> {
    if got.len() != want.len() {
        return Some(format!("{} values, want {}", got.len(), want.len()));
    }
    let same = |g: f32, w: f32| g.to_bits() == w.to_bits() || (g.is_nan() && w.is_nan());
    let mut different = (0..want.len()).filter(|&at| !same(got[at], want[at]));
    let at = different.next()?;
    Some(format!(
        "{} of {} values differ, the first at offset {at}: got {:e}, want {:e}",
        1 + different.count(),
        want.len(),
        got[at],
        want[at]
    ))
}

/// Fails with the first element in which two tensors differ, as [`difference`] finds it.
pub fn assert_same_tensor(name: &str, got: &Tensor, want: &Tensor) {
    assert_eq!(got.shape(), want.shape(), "{name}: shape");
    if let Some(difference) = difference(got.data(), want.data()) {
        panic!("{name} of shape {:?}: {difference}", want.shape());
    }
}

/// Fails with the first difference between two results of a forward pass.
pub fn assert_same(name: &str, got: &(Tensor, State), want: &(Tensor, State)) {
    assert_same_tensor(&format!("{name}: output"), &got.0, &want.0);
    assert_same_tensor(&format!("{name}: h_n"), &got.1.h, &want.1.h);
    assert_eq!(got.1.c.is_some(), want.1.c.is_some(), "{name}: only one of them has c_n");
    if let (Some(got), Some(want)) = (&got.1.c, &want.1.c) {
        assert_same_tensor(&format!("{name}: c_n"), got, want);
    }
}

/// The bits of every value.
pub fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Whether two tensors have the same shape and the same bits, those of NaN included.
pub fn alike(got: &Tensor, want: &Tensor) -> bool {
    got.shape() == want.shape() && bits(got.data()) == bits(want.data())
}

/// [`alike`] for h and c.
pub fn states_alike(got: &State, want: &State) -> bool {
    let c = match (&got.c, &want.c) {
        (Some(got), Some(want)) => alike(got, want),
        (None, None) => true,
        _ => false,
    };
    alike(&got.h, &want.h) && c
}

/// [`alike`] for the results of a forward pass.
pub fn outcomes_alike(got: &(Tensor, State), want: &(Tensor, State)) -> bool {
    alike(&got.0, &want.0) && states_alike(&got.1, &want.1)
}
