//! Decoders that attend a memory give PyTorch's logits and write PyTorch's tokens.

use wgpu_rnn::{Device, Tensor};

use crate::decoders::decoders;

#[test]
fn decoders_write_the_tokens_of_pytorch() {
    let failed: Vec<String> =
        decoders().iter().filter_map(|decoder| decoder.check(&Device::cpu()).err()).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn decoders_refuse_what_does_not_fit() {
    let decoder = decoders().swap_remove(0);
    let mut stream = decoder.load(&Device::cpu()).expect("a decoder");
    let network = stream.network().clone();
    let memory = |shape: [usize; 3]| Tensor::zeros(shape).expect("a memory");
    let features = 9;
    for (refused, text) in [
        (network.decoder(&memory([4, 2, features + 1]), None).map(drop), "a memory of shape"),
        (network.decoder(&memory([0, 2, features]), None).map(drop), "at least one step"),
        (network.decoder(&memory([4, 2, features]), Some(&[1])).map(drop), "Expected 2 lengths"),
        (network.decoder(&memory([4, 2, features]), Some(&[1, 5])).map(drop), "lengths of 1 to 4"),
        (network.decoder(&memory([4, 2, features]), Some(&[0, 4])).map(drop), "got 0"),
        (network.stream(2).map(drop), "decoder()"),
        (network.forward_tokens(&[1], &[1, 1]).map(drop), "decoder()"),
        (stream.greedy(&[1], 3).map(drop), "3 tokens to start with"),
        (stream.greedy(&[1, 1, 99], 3).map(drop), "index out of range"),
        (stream.greedy(&[1, 1, 1], 0).map(drop), "Expected 1 to 4096 tokens"),
        (stream.state_of("gru.").map(drop), "no recurrent module with the prefix 'gru.'"),
    ] {
        let message = refused.expect_err(text).to_string();
        assert!(message.contains(text), "{message}");
    }
    stream.greedy(&[1, 1, 1], 2).expect("refusals lose nothing");
}
