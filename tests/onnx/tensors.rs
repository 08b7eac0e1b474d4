//! Weights, states and lengths: their types, places and shapes.

use std::cell::RefCell;

use half::{bf16, f16};
use rten_onnx::onnx::{
    DataLocation, DataType, ModelProto, NodeProto, StringStringEntryProto, TensorProto,
};
use wgpu_rnn::internals::params::onnx::{OnnxModel, Operand};

use crate::made::{
    HIDDEN, INPUT, bytes, graph, int, integers, model, node, one, raw, tensor, tensor_of, text,
    values, weights,
};
use crate::{assert_refused, only, read};

fn tensors_of(model: &mut ModelProto) -> &mut Vec<TensorProto> {
    &mut model.graph.as_mut().expect("it has a graph").initializer
}

fn inputs_of(model: &mut ModelProto) -> &mut Vec<String> {
    &mut model.graph.as_mut().expect("it has a graph").node[0].input
}

fn named(model: &OnnxModel, name: &str) -> Vec<f32> {
    let tensors = model.tensors(&[0]).unwrap_or_else(|error| panic!("{error}"));
    tensors.into_iter().find(|tensor| tensor.name == name).expect("it is there").values
}

/// Values that f16 and bf16 hold.
fn coarse(count: usize) -> Vec<f32> {
    (0..count).map(|index| index as f32 / 8.0 - 1.0).collect()
}

/// A model whose weights are coarse and stored by `store`.
fn stored(store: impl Fn(&str, &[usize], &[f32]) -> TensorProto) -> ModelProto {
    let mut model = one(14, "RNN", vec![]);
    for (name, shape) in
        [("W", vec![1, HIDDEN, INPUT]), ("R", vec![1, HIDDEN, HIDDEN]), ("B", vec![1, 2 * HIDDEN])]
    {
        let values = coarse(shape.iter().product());
        let place = tensors_of(&mut model)
            .iter_mut()
            .find(|tensor| tensor.name.as_deref() == Some(name))
            .expect("it is there");
        *place = store(name, &shape, &values);
    }
    model
}

#[test]
fn f32_f16_and_bf16_are_read_from_bytes_and_from_typed_fields() {
    let half = |data_type| {
        move |value: &f32| match data_type {
            DataType::FLOAT16 => f16::from_f32(*value).to_bits(),
            _ => bf16::from_f32(*value).to_bits(),
        }
    };
    let mut models = vec![
        stored(tensor),
        stored(|name, shape, values| TensorProto {
            float_data: values.to_vec(),
            raw_data: None,
            ..tensor(name, shape, &[])
        }),
    ];
    for data_type in [DataType::FLOAT16, DataType::BFLOAT16] {
        models.push(stored(|name, shape, values| {
            let bytes = values.iter().flat_map(|v| half(data_type)(v).to_le_bytes()).collect();
            raw(name, shape, data_type, bytes)
        }));
        models.push(stored(|name, shape, values| TensorProto {
            int32_data: values.iter().map(|value| half(data_type)(value).into()).collect(),
            raw_data: None,
            ..raw(name, shape, data_type, vec![])
        }));
    }
    for model in models {
        let model = read(&model);
        assert_eq!(named(&model, "weight_ih_l0"), coarse(HIDDEN * INPUT));
        assert_eq!(named(&model, "weight_hh_l0"), coarse(HIDDEN * HIDDEN));
        assert_eq!(named(&model, "bias_ih_l0"), coarse(2 * HIDDEN)[..HIDDEN]);
        assert_eq!(named(&model, "bias_hh_l0"), coarse(2 * HIDDEN)[HIDDEN..]);
    }
}

#[test]
fn other_types_and_mixed_types_are_refused_by_name() {
    for data_type in [DataType::DOUBLE, DataType::INT8, DataType::INT32, DataType(99)] {
        let refused = stored(|name, shape, _| raw(name, shape, data_type, vec![]));
        assert_refused(&refused, &["W 'W' has type", "expected FLOAT, FLOAT16 or BFLOAT16"]);
    }
    let mixed = stored(|name, shape, values| match name {
        "R" => raw(name, shape, DataType::FLOAT16, vec![0; 2 * values.len()]),
        _ => tensor(name, shape, values),
    });
    assert_refused(&mixed, &["R 'R' has type FLOAT16, but W has FLOAT"]);
}

#[test]
fn values_must_fill_the_shape() {
    let refused = |model: &ModelProto, part: &str| {
        let error = read(model).tensors(&[0]).expect_err(part).to_string();
        assert!(error.contains(part), "'{part}' is not in: {error}");
    };
    let short = |name: &str, shape: &[usize], values: &[f32]| tensor(name, shape, &values[1..]);
    refused(&stored(short), "'W': its shape needs 24 bytes, but the file has 20");
    let typed = |name: &str, shape: &[usize], values: &[f32]| TensorProto {
        float_data: values[1..].to_vec(),
        raw_data: None,
        ..tensor(name, shape, &[])
    };
    refused(&stored(typed), "'W': its shape needs 6 values, but the file has 5");
    let twice = |name: &str, shape: &[usize], values: &[f32]| TensorProto {
        float_data: values.to_vec(),
        ..tensor(name, shape, values)
    };
    refused(&stored(twice), "'W': its values are in two places");
    let wide = |name: &str, shape: &[usize], values: &[f32]| TensorProto {
        int32_data: vec![0x1_0000; values.len()],
        raw_data: None,
        ..raw(name, shape, DataType::FLOAT16, vec![])
    };
    refused(&stored(wide), "65536 is no value of 16 bits");
}

#[test]
fn shapes_are_checked_by_name() {
    let with = |name: &str, shape: &[usize]| {
        let mut model = one(14, "LSTM", vec![]);
        inputs_of(&mut model).extend(["", "", "", "P"].map(str::to_owned));
        let values = vec![0.0; shape.iter().product()];
        tensors_of(&mut model).retain(|tensor| tensor.name.as_deref() != Some(name));
        tensors_of(&mut model).push(tensor(name, shape, &values));
        model
    };
    only(&with("P", &[1, 6]));
    assert_refused(&with("W", &[8, 3]), &["W 'W'", "expected [directions, gates x"]);
    assert_refused(&with("W", &[1, 9, 3]), &["W 'W' has shape [1, 9, 3]: expected [1, 8, 3]"]);
    assert_refused(&with("R", &[1, 8, 3]), &["expected [1, 12, 3]"]);
    assert_refused(&with("B", &[1, 8]), &["B 'B' has shape [1, 8]: expected [1, 16]"]);
    assert_refused(&with("P", &[2, 6]), &["P 'P' has shape [2, 6]: expected [1, 6]"]);
    assert_refused(&with("W", &[1, 8, 0]), &["input_size is 0"]);
    let both = one(14, "GRU", vec![text("direction", "bidirectional")]);
    let mut reverse = both;
    reverse.graph.as_mut().expect("a graph").node[0].attribute.clear();
    assert_refused(&reverse, &["W 'W' has shape [2, 6, 3]: expected [1, 6, 3]"]);
}

#[test]
fn missing_and_surplus_inputs_are_refused_by_name() {
    for (input, name) in [(1, "W"), (2, "R")] {
        let mut model = one(14, "GRU", vec![]);
        inputs_of(&mut model)[input].clear();
        assert_refused(&model, &[&format!("the input {name} is missing")]);
    }
    let mut model = one(14, "GRU", vec![]);
    inputs_of(&mut model).extend(["", "", "", "P"].map(str::to_owned));
    assert_refused(&model, &["GRU has 6 inputs, but the node has 8"]);
    let mut bare = one(14, "GRU", vec![]);
    inputs_of(&mut bare).truncate(3);
    assert_eq!(only(&bare).b, None, "a node needs no bias");
}

#[test]
fn weights_come_through_identity_and_through_casts_that_keep_them() {
    let between = |operator: &str, attributes, data_type: DataType, size: usize| {
        let mut model = one(14, "RNN", vec![]);
        inputs_of(&mut model)[1] = "W2".to_owned();
        tensors_of(&mut model)[0] =
            raw("W", &[1, HIDDEN, INPUT], data_type, vec![0; size * HIDDEN * INPUT]);
        let graph = model.graph.as_mut().expect("a graph");
        graph.node.insert(0, node(operator, "between", &["W"], &["W2"], attributes));
        model
    };
    only(&between("Identity", vec![], DataType::FLOAT, 4));
    let to = |data_type: DataType| vec![int("to", data_type.0.into())];
    only(&between("Cast", to(DataType::FLOAT), DataType::FLOAT16, 2));
    only(&between("Cast", to(DataType::FLOAT), DataType::BFLOAT16, 2));
    let narrow = between("Cast", to(DataType::FLOAT16), DataType::FLOAT, 4);
    assert_refused(&narrow, &["W 'W2' is computed when the model runs, by Cast 'between'"]);
    let double = between("Cast", to(DataType::FLOAT), DataType::DOUBLE, 8);
    assert_refused(&double, &["W 'W2' is cast from DOUBLE to FLOAT"]);
    for operator in ["DequantizeLinear", "Add", "Transpose", "Relu", "Concat", "Slice", "Unsqueeze"]
    {
        let computed = between(operator, vec![], DataType::FLOAT, 4);
        assert_refused(&computed, &[&format!("by {operator} 'between'"), "constants folded"]);
    }
}

/// PyTorch's exporter writes the weights of a cell so: rows of gates in ONNX's order.
#[test]
fn weights_come_from_parts_of_tensors() {
    let made = |moves: Vec<NodeProto>| {
        let mut model = one(14, "LSTM", vec![]);
        inputs_of(&mut model)[1] = "W2".to_owned();
        let pytorch = tensor("rows", &[8, INPUT], &values(8 * INPUT, 5));
        tensors_of(&mut model).push(pytorch);
        for at in [-2, 0, 2, 6, 8, i64::MAX] {
            tensors_of(&mut model).push(integers(&format!("at{at}"), &[at]));
        }
        model.graph.as_mut().expect("a graph").node.splice(0..0, moves);
        model
    };
    let cut = |start: &str, end: &str, to: &str| {
        node("Slice", to, &["rows", start, end, "at0"], &[to], vec![])
    };
    let joined = |parts: &[&str], to: &str| node("Concat", to, parts, &[to], vec![int("axis", 0)]);
    let axis = |from: &str| node("Unsqueeze", "axis", &[from, "at0"], &["W2"], vec![]);
    // PyTorch's i, f, g, o become ONNX's i, o, f, c.
    let parts = || {
        vec![
            cut("at0", "at2", "i"),
            cut("at-2", &format!("at{}", i64::MAX), "o"),
            cut("at2", "at6", "fc"),
        ]
    };
    let model = made([parts(), vec![joined(&["i", "o", "fc"], "iofc"), axis("iofc")]].concat());
    assert_eq!(named(&read(&model), "weight_ih_l0"), values(8 * INPUT, 5), "and PyTorch's again");
    let twice = vec![joined(&["i", "o"], "io"), joined(&["io", "fc"], "iofc"), axis("iofc")];
    let model = made([parts(), twice].concat());
    assert_eq!(named(&read(&model), "weight_ih_l0"), values(8 * INPUT, 5));

    let short = made([parts(), vec![joined(&["i", "fc"], "ifc"), axis("ifc")]].concat());
    assert_refused(&short, &["W 'W2' has shape [1, 6, 3]: expected [1, 8, 3]"]);
    let other = made([parts(), vec![joined(&["i", "R"], "bad"), axis("bad")]].concat());
    assert_refused(&other, &["'W2' joins tensors that do not fit", "[2, 3]", "[1, 8, 2]"]);
    let many = made([vec![], vec![joined(&["rows"; 40], "many"), axis("many")]].concat());
    assert_refused(&many, &["more than 32 parts"]);
    let computed = node("Relu", "", &["rows"], &["fc"], vec![]);
    let relu = made(vec![computed, joined(&["fc"], "all"), axis("all")]);
    assert_refused(&relu, &["'fc' is computed when the model runs, by Relu"]);
    // Each of 16 nodes reads the one below twice.
    let mut wide: Vec<_> = (0..15)
        .map(|level| {
            let below = if level == 0 { "rows".to_owned() } else { format!("c{}", level - 1) };
            joined(&[&below, &below], &format!("c{level}"))
        })
        .collect();
    wide.push(axis("c14"));
    assert_refused(&made(wide), &["W 'W2'"]);
}

#[test]
fn weights_from_outside_are_refused_by_name() {
    let mut model = one(14, "LSTM", vec![]);
    inputs_of(&mut model)[2] = "h".to_owned();
    assert_refused(&model, &["R 'h' is an input of the model", "export the model with"]);
    inputs_of(&mut model)[2] = "nothing".to_owned();
    assert_refused(&model, &["R 'nothing' is made nowhere"]);
}

#[test]
fn weights_come_from_constants() {
    let mut model = one(14, "RNN", vec![]);
    let w = tensors_of(&mut model).remove(0);
    let made = node("Constant", "", &[], &["W"], vec![tensor_of("value", w)]);
    model.graph.as_mut().expect("a graph").node.insert(0, made);
    let model = read(&model);
    assert_eq!(named(&model, "weight_ih_l0"), values(HIDDEN * INPUT, 0));
    assert_eq!(model.name(0), "cell");
}

#[test]
fn states_and_lengths_are_absent_constant_zero_or_given() {
    let with = |inputs: [&str; 3], state: &[f32]| {
        let mut model = one(14, "LSTM", vec![]);
        inputs_of(&mut model).extend(inputs.map(str::to_owned));
        tensors_of(&mut model).push(tensor("state", &[1, 2, HIDDEN], state));
        tensors_of(&mut model).push(TensorProto {
            int32_data: vec![1, 2],
            raw_data: None,
            ..raw("two", &[2], DataType::INT32, vec![])
        });
        tensors_of(&mut model).push(integers("wide", &[1, 2]));
        let nodes = &mut model.graph.as_mut().expect("a graph").node;
        nodes.insert(0, node("Shape", "", &["X"], &["sizes"], vec![]));
        nodes.insert(1, node("ConstantOfShape", "", &["sizes"], &["zeros"], vec![]));
        nodes.insert(2, node("Expand", "", &["zeros", "sizes"], &["wider"], vec![]));
        nodes.insert(
            3,
            node("Concat", "", &["zeros", "wider"], &["two_zeros"], vec![int("axis", 0)]),
        );
        nodes
            .insert(4, node("Concat", "", &["zeros", "ones"], &["one_zero"], vec![int("axis", 0)]));
        let ones = tensor_of("value", tensor("", &[1], &[1.0]));
        nodes.insert(3, node("ConstantOfShape", "", &["sizes"], &["ones"], vec![ones]));
        model
    };
    let values = [0.5, 0.0, 0.0, 0.0];
    let joined = only(&with(["", "two_zeros", "one_zero"], &values));
    assert_eq!(joined.initial_h, Operand::Zeros(None), "of each direction");
    assert_eq!(joined.initial_c, Operand::Given("one_zero".to_owned()));
    let absent = only(&with(["", "", ""], &values));
    assert_eq!(absent.sequence_lens, Operand::Absent);
    assert_eq!((absent.initial_h, absent.initial_c), (Operand::Absent, Operand::Absent));
    let given = only(&with(["lengths", "h", "ones"], &values));
    let name = |name: &str| Operand::Given(name.to_owned());
    assert_eq!(given.sequence_lens, name("lengths"));
    assert_eq!((given.initial_h, given.initial_c), (name("h"), name("ones")));
    let constant = only(&with(["two", "", "state"], &values));
    assert!(matches!(constant.sequence_lens, Operand::Constant(_)), "{constant:?}");
    assert_eq!(constant.initial_h, Operand::Absent, "each state alone");
    assert!(matches!(constant.initial_c, Operand::Constant(_)), "{constant:?}");
    let zero = only(&with(["", "state", "wider"], &[0.0; 4]));
    assert!(matches!(zero.initial_h, Operand::Zeros(Some(_))), "{zero:?}");
    assert_eq!(zero.initial_c, Operand::Zeros(None));
    assert_refused(&with(["wide", "", ""], &values), &["sequence_lens 'wide' has type INT64"]);
    assert_refused(&with(["", "W", ""], &values), &["initial_h 'W' has shape [1, 8, 3]"]);
}

/// Writes a model whose W is in another file.
fn external(folder: &std::path::Path, entries: &[(&str, &str)]) -> OnnxModel {
    let mut model = one(14, "RNN", vec![]);
    let entry = |(key, value): &(&str, &str)| StringStringEntryProto {
        key: Some((*key).to_owned()),
        value: Some((*value).to_owned()),
    };
    let w = &mut tensors_of(&mut model)[0];
    w.raw_data = None;
    w.data_location = Some(DataLocation::EXTERNAL);
    w.external_data = entries.iter().map(entry).collect();
    let path = folder.join("model.onnx");
    std::fs::write(&path, bytes(&model)).expect("a file in a new folder");
    OnnxModel::open(&path).unwrap_or_else(|error| panic!("{error}"))
}

fn data() -> Vec<u8> {
    let mut bytes = vec![0xff; 8];
    bytes.extend(coarse(HIDDEN * INPUT).iter().flat_map(|value| value.to_le_bytes()));
    bytes.extend([0xff; 4]);
    bytes
}

#[test]
fn external_data_is_read_from_the_folder_of_the_model() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("below")).expect("a folder");
    for name in ["w.bin", "below/w.bin", "./w.bin"] {
        std::fs::write(folder.path().join(name), data()).expect("a file");
        for length in [&[("length", "24")][..], &[]] {
            let entries = [&[("location", name), ("offset", "8")], length].concat();
            let model = external(folder.path(), &entries);
            assert_eq!(named(&model, "weight_ih_l0"), coarse(HIDDEN * INPUT));
        }
    }
}

#[test]
fn external_data_outside_of_the_folder_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let inner = folder.path().join("model");
    std::fs::create_dir(&inner).expect("a folder");
    let outside = folder.path().join("w.bin");
    std::fs::write(&outside, data()).expect("a file");
    let absolute = outside.to_str().expect("a plain name").to_owned();
    let refused = |entries: &[(&str, &str)], part: &str| {
        let error = external(&inner, entries).tensors(&[0]).expect_err(part).to_string();
        assert!(error.contains("'W'") && error.contains(part), "'{part}' is not in: {error}");
    };
    for location in ["../w.bin", "below/../../w.bin", &absolute, "..\\w.bin", "", ".."] {
        refused(&[("location", location)], "not below the folder");
    }
    refused(&[("location", "none.bin")], "does not exist");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&outside, inner.join("link")).expect("a link");
        refused(&[("location", "link")], "a link to outside");
        std::os::unix::fs::symlink(folder.path(), inner.join("folder")).expect("a link");
        refused(&[("location", "folder/w.bin")], "a link to outside");
    }
}

#[test]
fn the_range_of_external_data_is_checked() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("w"), data()).expect("a file");
    for (key, value, part) in [
        ("offset", "13", "expected 24 bytes from byte 13, found a file of 36"),
        ("offset", "18446744073709551615", "found a file of 36"),
        ("offset", "-1", "'offset' of its external data is '-1'"),
        ("offset", "99999999999999999999", "expected a number of bytes"),
        ("length", "23", "its shape needs 24 bytes, but its external data has 23"),
        ("length", "2147483648", "but its external data has 2147483648"),
        ("password", "1", "'password' of its external data is unknown"),
    ] {
        let model = external(folder.path(), &[("location", "w"), (key, value)]);
        let error = model.tensors(&[0]).expect_err(part).to_string();
        assert!(error.contains(part), "'{part}' is not in: {error}");
    }
    std::fs::write(folder.path().join("w"), b"").expect("a file");
    let error =
        external(folder.path(), &[("location", "w")]).tensors(&[0]).expect_err("it is empty");
    assert!(error.to_string().contains("found a file of 0"), "{error}");
    let error = external(folder.path(), &[("location", ".")]).tensors(&[0]).expect_err("a folder");
    assert!(error.to_string().contains(folder.path().to_str().expect("a plain name")), "{error}");
}

#[test]
fn a_tensor_of_two_gibibytes_is_refused_without_them() {
    for shape in [vec![1, 1 << 15, 1 << 14], vec![1, 1 << 31, 1 << 31], vec![1 << 62, 4, 3]] {
        let mut model = one(14, "RNN", vec![]);
        tensors_of(&mut model)[0] = raw("W", &shape, DataType::FLOAT, vec![0; 4]);
        assert_refused(&model, &["W 'W"]);
    }
    // Its shapes fit each other.
    let hidden = 1 << 14;
    let tensors = vec![
        raw("W", &[1, hidden, hidden], DataType::FLOAT, vec![0; 4]),
        raw("R", &[1, hidden, hidden], DataType::FLOAT, vec![0; 4]),
    ];
    let large =
        model(14, graph(vec![node("RNN", "cell", &["X", "W", "R"], &["Y"], vec![])], tensors));
    let error = read(&large).tensors(&[0]).expect_err("it has four bytes").to_string();
    assert!(error.contains("needs 1073741824 bytes, but the file has 4"), "{error}");
    let mut negative = one(14, "RNN", vec![]);
    tensors_of(&mut negative)[0].dims[0] = -1;
    assert_refused(&negative, &["W 'W': an axis of size -1"]);
    let mut unused = weights("RNN", 1, INPUT, "unused");
    unused[0].raw_data = Some(RefCell::new(vec![]));
    let mut model = one(14, "RNN", vec![]);
    tensors_of(&mut model).extend(unused);
    read(&model).tensors(&[0]).expect("a tensor that no recurrent node reads is not read");
}
