//! `nn.Embedding`: refusals in PyTorch's words, and calls that it accepts.

use wgpu_rnn::{Device, Embedding, Error, Tensor};

/// Five rows of three, row r holding r, r + 0.25 and r + 0.5.
fn weight() -> Tensor {
    let values = (0..15).map(|i| (i / 3) as f32 + (i % 3) as f32 * 0.25).collect();
    Tensor::new([5, 3], values).expect("15 values")
}

fn embedding(padding_idx: Option<i64>) -> Result<Embedding, Error> {
    Embedding::new(&Device::cpu(), &weight(), padding_idx)
}

pub fn padding_idx_names_a_row_from_either_end() {
    for (padding_idx, want) in [
        (None, None),
        (Some(0), Some(0)),
        (Some(4), Some(4)),
        (Some(-1), Some(4)),
        (Some(-5), Some(0)),
    ] {
        let embedding =
            embedding(padding_idx).unwrap_or_else(|error| panic!("{padding_idx:?}: {error}"));
        assert_eq!(embedding.padding_idx(), want, "{padding_idx:?}");
        assert_eq!((embedding.num_embeddings(), embedding.embedding_dim()), (5, 3), "sizes");
        // Weights that are given are looked up as they are, the padding's row too.
        let y = embedding.forward(&[0, 4], &[2]).expect("two rows");
        assert_eq!(y.data(), [0.0, 0.25, 0.5, 4.0, 4.25, 4.5], "{padding_idx:?}");
    }
    for outside in [5, -6, i64::MAX, i64::MIN] {
        let error = embedding(Some(outside)).expect_err("no such row").to_string();
        assert_eq!(error, "Padding_idx must be within num_embeddings", "{outside}");
    }
}

pub fn a_weight_that_is_no_table_is_refused() {
    let refused = |shape: &[usize]| {
        let weight = Tensor::zeros(shape).expect("a small shape");
        Embedding::new(&Device::cpu(), &weight, None).expect_err("no table").to_string()
    };
    for shape in [&[15][..], &[5, 3, 1], &[]] {
        assert_eq!(
            refused(shape),
            "Embeddings parameter is expected to be 2-dimensional",
            "{shape:?}"
        );
    }
    for shape in [[0, 3], [5, 0]] {
        let want = "Embedding: num_embeddings and embedding_dim must be greater than zero";
        assert_eq!(refused(&shape), want, "{shape:?}");
    }
}

pub fn an_index_out_of_range_is_named_by_its_place() {
    let embedding = embedding(None).expect("a table");
    for (indices, shape, want) in [
        (vec![0, 7], vec![1, 2], "indices[0, 1] is 7, expected 0 to 4"),
        (vec![-1], vec![1], "indices[0] is -1, expected 0 to 4"),
        (vec![5], vec![], "indices[] is 5, expected 0 to 4"),
        (
            vec![0, 1, 2, 3, 4, 1 << 32],
            vec![2, 1, 3],
            "indices[1, 0, 2] is 4294967296, expected 0 to 4",
        ),
        (vec![0, 9, 8], vec![3], "indices[1] is 9, expected 0 to 4"),
    ] {
        let error = embedding.forward(&indices, &shape).expect_err("an index is out of range");
        assert!(matches!(error, Error::Option(_)), "{indices:?}: {error:?}");
        assert_eq!(
            error.to_string(),
            format!("index out of range in self: {want}"),
            "{indices:?} as {shape:?}"
        );
    }
}

pub fn indices_must_fill_their_shape() {
    let embedding = embedding(None).expect("a table");
    for (indices, shape) in
        [(vec![0, 1, 2], vec![2]), (vec![], vec![]), (vec![0], vec![usize::MAX, 2])]
    {
        let error = embedding.forward(&indices, &shape).expect_err("another number of indices");
        assert!(matches!(error, Error::TensorSize { .. }), "{indices:?} as {shape:?}: {error:?}");
    }
    let none = embedding.forward(&[], &[2, 0]).expect("no indices, as in PyTorch");
    assert_eq!(none.shape(), [2, 0, 3], "an empty shape");
}
