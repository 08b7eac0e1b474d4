//! Equality of results to the last bit.

use wgpu_rnn::{State, Tensor};

/// Fails with the first element in which two tensors differ. NaN equals any NaN: which of them comes out of an
/// operation on one is the machine's choice.
pub fn assert_same_tensor(name: &str, got: &Tensor, want: &Tensor) {
    assert_eq!(got.shape(), want.shape(), "{name}: shape");
    let same = |(g, w): (&f32, &f32)| g.to_bits() == w.to_bits() || (g.is_nan() && w.is_nan());
    let different = got.data().iter().zip(want.data()).filter(|(g, w)| !same((g, w))).count();
    if let Some(at) = got.data().iter().zip(want.data()).position(|pair| !same(pair)) {
        panic!(
            "{name} of shape {:?}: {different} of {} values differ, the first at offset {at}: got {:e}, want {:e}",
            want.shape(),
            want.data().len(),
            got.data()[at],
            want.data()[at]
        );
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
