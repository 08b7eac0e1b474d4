//! A network that does not fit its weights, or an input, is refused by name.

use wgpu_rnn::network::{Attention, Conv1d, PaddingMode, Sequential, StepShape};
use wgpu_rnn::{Device, LoadOptions, StateDict, Tensor};

fn weights(tensors: &[(&str, &[usize])]) -> StateDict {
    let made: Vec<(&str, Tensor)> = tensors
        .iter()
        .map(|&(name, shape)| {
            let count = shape.iter().product();
            (name, Tensor::new(shape, vec![0.5; count]).expect("its size"))
        })
        .collect();
    let list = made.iter().map(|(name, tensor)| (*name, tensor));
    StateDict::from_tensors(list).expect("a state dict")
}

fn of(input: impl Into<StepShape>) -> Sequential {
    Sequential::new(input)
}

/// The weights of a linear layer, a convolution, and normalisations.
fn made() -> StateDict {
    weights(&[
        ("fc.weight", &[4, 6]),
        ("fc.bias", &[4]),
        ("conv.weight", &[4, 3, 2]),
        ("conv.bias", &[4]),
        ("norm.weight", &[6]),
        ("norm.bias", &[6]),
        ("bn.weight", &[6]),
        ("bn.bias", &[6]),
        ("bn.running_mean", &[6]),
        ("bn.running_var", &[6]),
        ("emb.weight", &[10, 6]),
        ("gru.weight_ih_l0", &[12, 6]),
        ("gru.weight_hh_l0", &[12, 4]),
    ])
}

fn refused(network: &Sequential) -> String {
    let options = LoadOptions::new().allow_unused(true);
    let loaded = network.load_with(&Device::cpu(), &made(), "", &options);
    loaded.expect_err("the network does not fit").to_string()
}

#[test]
fn modules_that_do_not_fit_are_refused_in_the_words_of_pytorch() {
    for (network, text) in [
        (of(5).linear("fc."), "fc.: mat1 and mat2 shapes cannot be multiplied (rows x 5 and 6x4)"),
        (of(2).conv1d("conv.", Conv1d::new()), "to have 3 channels, but got 2 channels instead"),
        (of(6).conv1d("conv.", Conv1d::new().groups(3)), "out_channels must be divisible"),
        (of(3).conv1d("conv.", Conv1d::new().groups(0)), "groups must be a positive integer"),
        (of(3).conv1d("conv.", Conv1d::new().stride(0)), "non-positive stride"),
        (of(3).conv1d("conv.", Conv1d::new().dilation(0)), "dilation should be greater"),
        (of(3).conv1d("conv.", Conv1d::new().same().stride(2)), "padding='same'"),
        (
            of(3).conv1d("conv.", Conv1d::new().causal().padding_mode(PaddingMode::Reflect)),
            "no other padding_mode",
        ),
        (of([3, 1]).conv1d("conv.", Conv1d::new()), "Kernel size can't be greater"),
        (of(5).layer_norm("norm.", 1e-5), "Given normalized_shape=[6]"),
        (of(5).batch_norm1d("bn.", 1e-5), "running_mean should contain 5 elements not 6"),
        (of(5).rnn("gru."), "input.size(-1) must be equal to input_size. Expected 6, got 5"),
        (of(6).embedding("emb."), "reads tokens"),
        (Sequential::tokens().linear("fc."), "embed them"),
        (of([6, 2]).linear("fc."), "add flatten()"),
        (of(6).unflatten(4, 2), "don't multiply up to the size of dim -1 (6)"),
        (of(5).magnitude(), "real and imaginary halves"),
        (of(6).dropout(1.5), "dropout probability has to be between 0 and 1, but got 1.5"),
        (of(6).add("x"), "no earlier value has the name 'x'"),
        (of(6).name("x").relu().name("x"), "two values have the name 'x'"),
        (of(6).linear("fc.").add("input"), "must match the size of tensor b"),
        (of(6).concat([]), "expected a non-empty list"),
        (of(6).hidden("lstm."), "no recurrent weights under the prefix 'lstm.'"),
        (of(6).name("x").hidden("gru.").linear("fc."), "cannot be multiplied (rows x 4"),
        (of(6).hidden("gru."), "no recurrent module of one direction"),
        (
            of(5).attention(Attention::general("fc.")),
            "a query of [5] values does not fit keys of [4]",
        ),
        (of([2, 3]).attention(Attention::dot()), "add flatten()"),
        (of(6).rnn_with("gru.", wgpu_rnn::Nonlinearity::Relu), "do not apply to GRU: nonlinearity"),
        (of(0).relu(), "each size must be greater than zero"),
        (of(usize::MAX).relu(), "kernels count at most"),
        (of([usize::MAX, 2]).flatten(), "kernels count at most"),
        (of([3, 4]).conv1d("conv.", Conv1d::new().padding(usize::MAX)), "count to 2^32 - 1"),
        (of([3, 4]).conv1d("conv.", Conv1d::new().dilation(usize::MAX)), "can't be greater"),
        (of([3, 4]).conv1d("conv.", Conv1d::new().padding(1 << 31)), "kernels count"),
        (of(6), "at least one module"),
    ] {
        let message = refused(&network);
        assert!(message.contains(text), "{message}\nwant: {text}");
    }
}

#[test]
fn state_dicts_must_have_the_tensors_of_the_network_and_no_others() {
    let load = |network: &Sequential, file: &StateDict| {
        network.load(&Device::cpu(), file, "").map(drop).map_err(|error| error.to_string())
    };
    let network = Sequential::new(6).linear("fc.");
    let message = load(&network, &made()).expect_err("there are others");
    assert!(message.contains("Unexpected key(s) in state_dict: \"bn.bias\""), "{message}");
    let message = load(&network, &weights(&[("fc.bias", &[4])])).expect_err("no weight");
    assert!(message.contains("Missing key(s) in state_dict: \"fc.weight\""), "{message}");
    let wrong = weights(&[("fc.weight", &[4, 6]), ("fc.bias", &[5])]);
    let message = load(&network, &wrong).expect_err("another shape");
    assert!(message.contains("size mismatch for fc.bias"), "{message}");
    let message = load(&network, &weights(&[("fc.weight", &[4])])).expect_err("a vector");
    assert!(message.contains("size mismatch for fc.weight"), "{message}");
    load(&network, &weights(&[("fc.weight", &[4, 6])])).expect("a layer without bias");
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    let options = LoadOptions::new().allow_unused(true);
    let load = |network: Sequential| {
        network.load_with(&Device::cpu(), &made(), "", &options).expect("it fits")
    };
    let linear = load(Sequential::new(6).linear("fc."));
    for shape in [vec![6], vec![2, 3, 5], vec![2, 3, 4, 6], vec![]] {
        let input = Tensor::zeros(shape.clone()).expect("a tensor");
        let message = linear.forward(&input).expect_err("it does not fit").to_string();
        assert!(message.contains("of shape [T, B, 6] or [T, 6]"), "{shape:?}: {message}");
    }
    let none = Tensor::zeros([0, 2, 6]).expect("no steps");
    let message = linear.forward(&none).expect_err("no steps").to_string();
    assert!(message.contains("sequence length to be larger than 0"), "{message}");
    let message = linear.forward_tokens(&[1], &[1, 1]).expect_err("no tokens").to_string();
    assert!(message.contains("Expected values"), "{message}");
    let rows = linear.forward(&Tensor::zeros([2, 0, 6]).expect("no rows")).expect("no rows");
    assert_eq!(rows.shape(), [2, 0, 4]);

    let embedding = load(Sequential::tokens().embedding("emb."));
    for (tokens, text) in [(vec![1, 10], "found 10, expected 0 to 9"), (vec![-1, 1], "found -1")] {
        let message = embedding.forward_tokens(&tokens, &[2, 1]).expect_err(text).to_string();
        assert!(message.contains(text), "{message}");
    }
    let message = embedding.forward_tokens(&[1], &[2, 1]).expect_err("two").to_string();
    assert!(message.contains("holds 2 elements, but 1 were given"), "{message}");

    let conv = load(Sequential::new(3).conv1d("conv.", Conv1d::new().dilation(4)));
    let short = Tensor::zeros([4, 1, 3]).expect("four steps");
    let message = conv.forward(&short).expect_err("too short").to_string();
    assert!(message.contains("conv.: Calculated padded input size per channel: (4)"), "{message}");

    let mut stream = load(Sequential::new(6).linear("fc.")).stream(2).expect("a stream");
    let message = stream.forward(&Tensor::zeros([1, 3, 6]).expect("rows")).expect_err("rows");
    assert!(message.to_string().contains("Expected an input of 2 rows, got 3"), "{message}");
    let message = stream.set_state(&Tensor::zeros([2, 1]).expect("a state")).expect_err("no state");
    assert!(message.to_string().contains("Expected states of shape [2, 0]"), "{message}");
    let causal = Conv1d::new().causal().stride(2);
    let mut strided = load(Sequential::new(3).conv1d("conv.", causal)).stream(1).expect("a stream");
    let message = strided.forward(&Tensor::zeros([3, 1, 3]).expect("steps")).expect_err("odd");
    assert!(message.to_string().contains("a multiple of 2 steps"), "{message}");
}

#[test]
fn tensors_of_one_name_are_refused() {
    let tensor = Tensor::zeros([1]).expect("a value");
    let error = StateDict::from_tensors([("a", &tensor), ("a", &tensor)]).expect_err("twice");
    assert!(error.to_string().contains("two tensors have the name 'a'"), "{error}");
}
