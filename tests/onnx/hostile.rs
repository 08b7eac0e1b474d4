//! Damaged and hostile files: an error, without a panic, a hang or a large allocation.

use rten_onnx::onnx::GraphProto;
use wgpu_rnn::StateDict;
use wgpu_rnn::onnx::OnnxModel;

use crate::made::{body, bytes, float, graph, int, model, node, one, weights};
use crate::read;

/// The message of bytes that must be refused.
fn refusal(bytes: &[u8]) -> String {
    OnnxModel::parse("m.onnx", bytes).expect_err("the bytes must be refused").to_string()
}

/// Reads everything of a file, without an expectation.
fn exhaust(bytes: &[u8]) {
    let Ok(model) = OnnxModel::parse("m.onnx", bytes) else { return };
    for index in 0..model.len() {
        let texts = (model.name(index), model.source(index), model.readers(index));
        assert!(!texts.1.is_empty(), "{texts:?}");
        let loaded = model.tensors(&[index]).is_ok();
        assert!(!loaded || model.node(index).is_ok(), "weights of a node that is not read");
        let _ = model.params(&[index]);
    }
    let chains = model.chains();
    let nodes: usize = chains.iter().map(|chain| chain.nodes.len()).sum();
    let readable = (0..model.len()).filter(|&index| model.node(index).is_ok()).count();
    assert_eq!(nodes, readable, "each readable node is in one network");
}

fn lstm() -> Vec<u8> {
    bytes(&one(14, "LSTM", vec![int("hidden_size", 2), float("clip", 0.5)]))
}

#[test]
fn truncated_files_are_refused() {
    let bytes = lstm();
    for end in (0..bytes.len()).step_by(7) {
        refusal(&bytes[..end]);
    }
    for end in 0..bytes.len() {
        refusal(&bytes[..end]);
    }
}

#[test]
fn changed_bytes_never_panic() {
    let bytes = lstm();
    for at in 0..bytes.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff, bytes[at] ^ 1, bytes[at] ^ 8] {
            let mut changed = bytes.clone();
            changed[at] = value;
            exhaust(&changed);
        }
    }
}

#[test]
fn sizes_that_the_file_does_not_have_are_refused() {
    // The producer's name, the graph, an unknown field: 2 GiB, 2^63 and 2^64 - 1 bytes.
    for field in [0x12, 0x3a, 0x7a] {
        for size in [
            &[0x80, 0x80, 0x80, 0x80, 0x08][..],
            &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            &[0xf6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        ] {
            let bytes = [&[0x08, 0x08, field], size, b"abc"].concat();
            assert!(refusal(&bytes).contains("damaged or not complete at byte 2"));
        }
    }
    // A node longer than its graph.
    assert!(refusal(b"\x08\x08\x3a\x02\x0a\x05abcde").contains("at byte 4"));
}

#[test]
fn numbers_without_an_end_are_refused() {
    let endless = [0xff; 32];
    assert!(refusal(&endless).contains("at byte 0"));
    assert!(refusal(&[&[0x08][..], &endless].concat()).contains("at byte 0"));
    // In a packed field: a tensor's integers.
    let tensor = [&[0x3a, 12][..], &endless[..12]].concat();
    let graph = [&[0x2a, 14][..], &tensor].concat();
    assert!(refusal(&[&[0x08, 0x08, 0x3a, 16][..], &graph].concat()).contains("at byte 6"));
}

#[test]
fn fields_that_change_the_meaning_are_refused() {
    for (bytes, part) in [
        (&b"\x08\x08\x3a\0\x3a\0"[..], "has its Graph twice at byte 4"),
        (b"\x08\x08\x3a\x04\x2a\x02\x1a\0", "a tensor in segments is not read"),
        (b"\x08\x08\x3a\x05\x2a\x03\x0a\x01\x02", "packs the dims of a tensor"),
        (b"\x08\x08\x3a\x07\x0a\x05\x2a\x03\x42\x01\x02", "packs the ints of an attribute"),
        (b"\x08\x08\x3a\x08\x0a\x06\x2a\x04\xaa\x01\x01x", "refers to a function's"),
        (b"\x08\x08\x0b\x0c", "at byte 2"),
        (b"\x08\x08\x02\x01x", "at byte 2"),
        (b"\x08\x08\x12\x01\xff", "damaged"),
    ] {
        let error = refusal(bytes);
        assert!(error.contains(part), "'{part}' is not in: {error}");
    }
}

#[test]
fn unknown_fields_are_skipped() {
    let mut bytes = lstm();
    // A number, 8 bytes, text and 4 bytes in fields that no version of ONNX has.
    bytes.extend(b"\xf8\x3f\x07\xf9\x3f12345678\xfa\x3f\x03abc\xfd\x3f1234");
    let model = OnnxModel::parse("m.onnx", &bytes).expect("unknown fields are no error");
    assert!(model.node(0).is_ok(), "the node is as before");
}

#[test]
fn deep_bodies_are_refused_and_usual_ones_read() {
    let nested = |depth: usize| {
        let cell = node("GRU", "cell", &["X", "W", "R"], &["Z"], vec![]);
        let mut inner = graph(vec![cell], weights("GRU", 1, 3, ""));
        for _ in 0..depth {
            let holder = node("If", "", &["X"], &["Y"], vec![body("then_branch", inner)]);
            inner = GraphProto { node: vec![holder], ..GraphProto::default() };
        }
        model(14, inner)
    };
    let model = read(&nested(10));
    assert_eq!(model.name(0), format!("{}cell", "If_0/then_branch/".repeat(10)));
    model.tensors(&[0]).expect("its weights are in the body");
    for depth in [25, 40] {
        let error = refusal(&bytes(&nested(depth)));
        assert!(error.contains("nested deeper than 64 messages"), "{error}");
    }
    // 30000 messages in messages, by hand: lengths of three bytes hold any of them.
    let mut bytes = vec![];
    for level in 0..30_000_usize {
        let field = [0x32, 0x2a, 0x0a][level % 3];
        let size = bytes.len();
        let byte = |shift: u32| u8::try_from(size >> shift & 0x7f).expect("seven bits");
        bytes.splice(0..0, [field, byte(0) | 0x80, byte(7) | 0x80, byte(14)]);
    }
    let size = bytes.len();
    let byte = |shift: u32| u8::try_from(size >> shift & 0x7f).expect("seven bits");
    bytes.splice(0..0, [0x08, 0x08, 0x3a, byte(0) | 0x80, byte(7) | 0x80, byte(14)]);
    assert!(refusal(&bytes).contains("nested deeper"), "{}", refusal(&bytes));
}

#[test]
fn too_many_messages_are_refused() {
    // Nodes of no bytes: each takes hundreds of bytes of memory.
    let nodes = [0x0a, 0].repeat((1 << 20) + 1);
    let size = nodes.len();
    let byte = |shift: u32| u8::try_from(size >> shift & 0x7f).expect("seven bits");
    let size = [byte(0) | 0x80, byte(7) | 0x80, byte(14) | 0x80, byte(21)];
    let error = refusal(&[&[0x08, 0x08, 0x3a][..], &size, &nodes].concat());
    assert!(error.contains("more than 1048576"), "{error}");
}

#[test]
fn cycles_end() {
    let tensors = || weights("GRU", 1, 3, "");
    let cell = |x: &str, w: &str, y: &str| node("GRU", y, &[x, w, "R"], &[y], vec![]);
    let identity = |from: &str, to: &str| node("Identity", to, &[from], &[to], vec![]);
    // Weights behind themselves.
    let nodes = vec![identity("a", "b"), identity("b", "a"), cell("X", "a", "Y")];
    let cyclic = read(&model(14, graph(nodes, tensors())));
    let error = cyclic.node(0).expect_err("it has no end").to_string();
    assert!(error.contains("W 'a' is behind more than 16 nodes, or behind a cycle"), "{error}");
    // Nodes that move their own output.
    let zero = || crate::made::integers("zero", &[0]);
    for inputs in [&["a", "a", "a"][..], &["a", "zero", "zero", "zero"], &["a", "zero"]] {
        let operator = ["Unsqueeze", "Concat", "Slice"][inputs.len() - 2];
        let nodes =
            vec![node(operator, "a", inputs, &["a"], vec![int("axis", 0)]), cell("X", "a", "Y")];
        let cyclic = read(&model(14, graph(nodes, [tensors(), vec![zero()]].concat())));
        let error = cyclic.node(0).expect_err("it has no end").to_string();
        assert!(error.contains("behind a cycle"), "{error}");
    }
    // Layers below themselves.
    let axes = || crate::made::integers("axes", &[1]);
    let squeeze = |from: &str, to: &str| node("Squeeze", to, &[from, "axes"], &[to], vec![]);
    let nodes =
        vec![cell("b", "W", "Y"), squeeze("Y", "a"), cell("a", "W", "Y2"), squeeze("Y2", "b")];
    let mut tensors = weights("GRU", 1, crate::made::HIDDEN, "");
    tensors.push(axes());
    let cyclic = read(&model(14, graph(nodes, tensors)));
    let chains = cyclic.chains();
    let nodes: usize = chains.iter().map(|chain| chain.nodes.len()).sum();
    assert_eq!(nodes, 2, "{chains:?}");
}

#[test]
fn a_file_of_another_type_is_refused_and_a_state_dict_names_onnx() {
    for bytes in [&b""[..], b"PK\x03\x04abc", b"{\"a\": 1}", b"\x80\x02}q\0."] {
        refusal(bytes);
    }
    let error = StateDict::parse("m.onnx", lstm()).expect_err("it is no state dict").to_string();
    assert!(error.contains("an ONNX model"), "{error}");
}
