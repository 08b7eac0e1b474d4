//! Networks give PyTorch's results, whole and in pieces.

use wgpu_rnn::device::OpenOptions;
use wgpu_rnn::{Device, Tensor};

use crate::chains::{check, compared, same_bits};
use crate::networks::{Fixture, fixtures};

fn assert_all(device: &Device) {
    let failed: Vec<String> =
        fixtures().iter().filter_map(|fixture| check(fixture, device).err()).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn networks_give_the_results_of_pytorch() {
    assert_all(&Device::cpu());
}

#[test]
fn networks_give_them_in_pieces_that_small_bindings_hold() {
    let limit = OpenOptions::default().limit("max_storage_buffer_binding_size", 40_000);
    let device = Device::open_with("cpu", &limit).expect("the CPU");
    let small = |fixture: &Fixture| !["vad", "rnnoise", "dtln"].contains(&fixture.name.as_str());
    let failed: Vec<String> = fixtures()
        .iter()
        .filter(|fixture| small(fixture))
        .filter_map(|fixture| check(fixture, &device).err())
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn comparisons_can_fail() {
    let fixture = fixtures().into_iter().find(|f| f.name == "relu").expect("a fixture");
    let mut other = fixture.output.clone();
    compared(&fixture, &other).expect("its own output");
    other.data_mut()[0] += 0.1;
    let message = compared(&fixture, &other).expect_err("another value");
    assert!(message.contains("mismatches: 1"), "{message}");
    let flat = Tensor::new([other.data().len()], other.into_data()).expect("the same values");
    compared(&fixture, &flat).expect_err("another shape");
    same_bits("equal", &[1.0, f32::NAN], &[1.0, f32::NAN]).expect("equal bits");
    same_bits("unlike", &[0.0], &[-0.0]).expect_err("other bits");
    same_bits("shorter", &[0.0], &[]).expect_err("another length");
}
