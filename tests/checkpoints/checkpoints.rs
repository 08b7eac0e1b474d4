//! Files of `torch.save`, from PyTorch 1.13 and 2.9.

use wgpu_rnn::{Config, Params, StateDict};

use crate::{VERSIONS, assert_refused, fixture, open, tensors};

/// Fails unless this file of each version has the tensors of its twin, bit for bit.
fn assert_twins(file: &str, twin: &str) {
    let want = tensors(&open(&fixture(twin)));
    assert!(!want.is_empty(), "{twin} has tensors");
    for version in VERSIONS {
        let found = open(&fixture(&format!("{version}/{file}")));
        assert_eq!(tensors(&found), want, "{version}/{file}");
        assert_eq!(found.file_type(), "PyTorch (zip)", "{version}/{file}");
    }
}

#[test]
fn each_file_loads_to_the_bits_of_its_twin() {
    for (file, twin) in [
        ("state_dict.pt", "f32"),
        ("protocol_4.bin", "f32"),
        ("checkpoint.ckpt", "f32"),
        ("views.pth", "f32"),
        ("strided.pth", "f32"),
        ("parameters.pt", "f32"),
        ("bf16.pt", "bf16"),
        ("f16.pt", "f16"),
        ("f64.pt", "f64"),
        ("tied.pt", "tied"),
        ("integers.pt", "integers"),
    ] {
        assert_twins(file, &format!("{twin}.safetensors"));
    }
}

#[test]
#[should_panic(expected = "1.13/bf16.pt")]
fn a_file_of_other_tensors_is_no_twin() {
    assert_twins("bf16.pt", "f16.safetensors");
}

#[test]
fn a_module_loads_from_every_layout() {
    let file = open(&fixture("f32.safetensors"));
    let want = Params::from_state_dict(&file, "rnn.").expect("an LSTM");
    assert_eq!(want.config(), &Config::lstm(2, 3), "its module");
    for version in VERSIONS {
        for file in ["state_dict.pt", "checkpoint.ckpt", "views.pth", "strided.pth", "bf16.pt"] {
            let file = open(&fixture(&format!("{version}/{file}")));
            // The values are few bits wide: bf16 holds them exactly.
            let params = Params::from_state_dict(&file, "rnn.");
            assert_eq!(params.expect("an LSTM"), want, "{}", file.path().display());
        }
    }
}

/// As in safetensors: the tensors are there, and a module refuses them with the advice.
#[test]
fn double_precision_is_refused_with_the_advice() {
    for version in VERSIONS {
        let file = open(&fixture(&format!("{version}/f64.pt")));
        let message = Params::from_state_dict(&file, "rnn.").expect_err("F64").to_string();
        for part in ["rnn.weight_ih_l0: found F64", "convert it with tensor.to(torch.float32)"] {
            assert!(message.contains(part), "{version}: '{part}' is not in: {message}");
        }
    }
}

#[test]
fn integers_are_read_as_they_are() {
    for version in VERSIONS {
        let file = open(&fixture(&format!("{version}/integers.pt")));
        assert_eq!(file.i64("tokens").expect("I64"), [3, 1, 4, 1, 5, 9], "{version}");
        assert_eq!(file.i64("lengths").expect("I32"), [3, 2], "{version}");
        assert_eq!(file.i64("bytes").expect("U8"), [0, 255], "{version}");
        assert_eq!(file.i64("mask").expect("BOOL"), [1, 0], "{version}");
        file.i64("scalar").expect_err("F32");
        let listed = |name| (file.shape(name), file.dtype(name));
        assert_eq!(listed("tokens"), (Some(&[2, 3][..]), Some("I64".to_owned())), "{version}");
        assert_eq!(listed("mask"), (Some(&[2][..]), Some("BOOL".to_owned())), "{version}");
        assert_eq!(listed("empty"), (Some(&[0, 3][..]), Some("F32".to_owned())), "{version}");
        assert_eq!(listed("nothing"), (None, None), "{version}");
        assert_eq!(file.f32("scalar").expect("F32"), [0.5], "{version}");
        let counter = open(&fixture(&format!("{version}/state_dict.pt")));
        assert_eq!(counter.i64("norm.num_batches_tracked").expect("I64"), [7], "{version}");
        assert_eq!(counter.shape("norm.num_batches_tracked"), Some(&[][..]), "{version}");
    }
    let codes = open(&fixture("2.9/uint16.pt"));
    assert_eq!(codes.get("codes").expect("it is there").dtype().to_string(), "U16", "the type");
    assert_eq!(codes.i64("codes").expect("U16"), [1, 65535], "the integers");
    assert_eq!(*codes.bytes("codes").expect("it is there"), [1, 0, 255, 255], "the values");
}

#[test]
fn a_checkpoint_is_read_by_its_only_dict_or_by_key() {
    let want = tensors(&open(&fixture("f32.safetensors")));
    for version in VERSIONS {
        let path = fixture(&format!("{version}/checkpoint.ckpt"));
        let file = open(&path);
        assert_eq!(file.key(), Some("state_dict"), "{version}: the found key is announced");
        let metadata: Vec<_> = file.all_metadata().into_iter().collect();
        let plain = [
            ("epoch", "3"),
            ("losses", "a list of 2"),
            ("optimizer", "a dict of 2"),
            ("rnn_type", "LSTM"),
        ];
        assert_eq!(metadata, plain, "{version}: values that are no tensors");
        let named = StateDict::open_key(&path, "state_dict").expect("there is such a dict");
        assert_eq!((tensors(&named), named.key()), (want.clone(), None), "{version}: a given key");

        let two = fixture(&format!("{version}/two.pth"));
        assert_refused(&two, "several dicts of tensors");
        assert_refused(&two, "model.net, ema.net");
        for key in ["model.net", "ema.net"] {
            let file = StateDict::open_key(&two, key).expect("a dict in a dict");
            assert_eq!(tensors(&file), want, "{version}: {key}");
        }
        let refused = |path, key| StateDict::open_key(path, key).expect_err(key).to_string();
        for (key, part) in [
            ("net", "has the key 'net'; there are dicts of tensors under: model.net, ema.net"),
            ("model", "no dict of tensors has the key 'model'"),
            ("model.other", "no dict of tensors has the key 'model.other'"),
            ("model.net.decoder.bias", "no dict of tensors has the key"),
        ] {
            let message = refused(&two, key);
            assert!(message.contains(part), "{version}: '{part}' is not in: {message}");
        }
        let outermost = StateDict::open_key(fixture(&format!("{version}/state_dict.pt")), "");
        assert_eq!(tensors(&outermost.expect("an empty key")), want, "{version}: the whole file");
    }
    let message = StateDict::open_key(fixture("f32.safetensors"), "model").expect_err("no dicts");
    assert!(message.to_string().contains("has no keys such as 'model'"), "{message}");
}

#[test]
fn other_content_of_torch_save_is_named() {
    for version in VERSIONS {
        for (file, part) in [
            (
                "whole_module.pt",
                "a whole module and needs its class torch.nn.modules.linear.Linear",
            ),
            ("whole_module.pt", "torch.save(model.state_dict(), \"weights.pt\")"),
            ("legacy.pt", "in PyTorch's legacy format"),
            ("legacy.pt", "torch.save(torch.load(\"OLD\", map_location=\"cpu\"), \"NEW\")"),
            ("script.pt", "a TorchScript archive"),
            ("script.pt", "torch.jit.load(\"FILE\").state_dict()"),
            ("quantized.pt", "quantized tensors (torch._utils._rebuild_qtensor)"),
            ("expanded.pt", "repeats the 1 elements of its storage; save tensor.contiguous()"),
            ("list.pt", "holds a list of 1, expected a state dict"),
            ("no_tensors.pt", "no dict of tensors; its keys are: epoch, names"),
        ] {
            assert_refused(&fixture(&format!("{version}/{file}")), part);
        }
    }
    // PyTorch 1.13 loses the sign itself.
    assert_refused(&fixture("2.9/negated.pt"), "a lazy negation; save tensor.clone()");
}
