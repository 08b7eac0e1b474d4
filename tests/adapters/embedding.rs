//! The kernel `embed`, and the module `Embedding` on sizes beyond one binding.

use libtest_mimic::Failed;
use wgpu_rnn::device::OpenOptions;
use wgpu_rnn::internals::kernel::uniforms::{Dims, EmbedDims};
use wgpu_rnn::internals::kernel::{Family, Overrides};
use wgpu_rnn::internals::params::random::Mt19937;
use wgpu_rnn::{Device, Embedding, Error, LoadOptions, StateDict, Tensor, WeightType};

use crate::by_hand::{ByHand, comparisons_can_fail, same_bits};
use crate::{Target, ensure, seeded};

/// A token in the shard writes its row. A token outside leaves its row unchanged.
pub fn shards(target: &Target) -> Result<(), Failed> {
    comparisons_can_fail()?;
    let device = target.device()?;
    for (rows, vocabulary, quads) in
        [(1, 1, 1), (3, 5, 3), (65, 257, 1), (257, 65, 17), (5000, 3, 5)]
    {
        let width = quads as usize * 4;
        let weight = Mt19937::new(1).uniform_vec(vocabulary as usize * width, -1.0, 1.0);
        // One token is just past the vocabulary's end.
        let tokens: Vec<u32> = (0..rows).map(|row| (row * 7919 + 3) % (vocabulary + 1)).collect();
        for first_token in [0, 2, vocabulary - 1] {
            let shard = first_token..vocabulary;
            let own = &weight[(first_token as usize * width).min(weight.len())..];
            if own.is_empty() {
                continue;
            }
            let mut by_hand = ByHand::default();
            let before = vec![7.0; rows as usize * width];
            let bindings = [by_hand.words(&tokens), by_hand.buffer(own), by_hand.buffer(before)];
            let dims = EmbedDims { rows, first_token, tokens: shard.len() as u32, quads };
            let workgroups =
                device.limits().fold_workgroups("embed", u64::from((rows * quads).div_ceil(64)))?;
            by_hand.dispatch(
                (Family::Embed, Overrides::default()),
                Dims::Embed(dims),
                &bindings,
                workgroups,
                1,
            );
            let row = |&token: &u32| match shard.contains(&token) {
                true => weight[token as usize * width..][..width].to_vec(),
                false => vec![7.0; width],
            };
            let want: Vec<f32> = tokens.iter().flat_map(row).collect();
            let [y] = by_hand.run(&device, [bindings[2]])?;
            same_bits(&format!("{rows} x {quads} from {shard:?}"), &y, &want)?;
        }
    }
    Ok(())
}

/// The rows of the table come out unchanged, from one binding or many, call after call.
pub fn lookups(target: &Target) -> Result<(), Failed> {
    let whole = target.device()?;
    // 1 KiB binds 12 rows of 17 values: 65 rows are in 6 shards, and 35 indices take 3 passes.
    let small =
        target.open(&OpenOptions::default().limit("max_storage_buffer_binding_size", 1024))?;
    let weight = seeded::tensor(2, &[65, 17], 1.0);
    for device in [whole, small] {
        let embedding = Embedding::new(&device, &weight, Some(-1))?;
        halves(&device, &weight)?;
        for shape in [&[35][..], &[], &[5, 7], &[1], &[2, 1, 3], &[35], &[3, 0]] {
            let count = shape.iter().product::<usize>();
            let indices: Vec<i64> =
                (0..count as i64).map(|i| 64 - (i * 29 + count as i64) % 65).collect();
            let y = embedding.forward(&indices, shape)?;
            ensure(
                y.shape() == [shape, &[17]].concat(),
                format!("{shape:?} gives {:?}", y.shape()),
            )?;
            let want: Vec<f32> =
                indices.iter().flat_map(|&index| weight.row(index as usize)).copied().collect();
            ensure(y.data().len() == want.len(), format!("{shape:?}: {} values", y.data().len()))?;
            if count > 0 {
                same_bits(&format!("{device}: {shape:?}"), y.data(), &want)?;
            }
        }
    }
    let tiny = target.open(&OpenOptions::default().limit("max_storage_buffer_binding_size", 64))?;
    let error = Embedding::new(&tiny, &weight, None).map(drop);
    let named = matches!(
        error,
        Err(Error::Limit { limit: "max_storage_buffer_binding_size", needed: 80, .. })
    );
    ensure(named, format!("a row of 80 bytes in a binding of 64: {error:?}"))
}

/// A table of halves gives rounded rows, from one binding or many.
fn halves(device: &Device, weight: &Tensor) -> Result<(), Failed> {
    let options = LoadOptions::new().weights(WeightType::F16);
    let embedding = match Embedding::from_pretrained(device, weight, &options) {
        Err(Error::Unsupported(_)) => return Ok(()),
        embedding => embedding?,
    };
    let rows = embedding.forward(&[64, 0, 13], &[3])?;
    let want = [64, 0, 13].into_iter().flat_map(|row| weight.row(row));
    let want: Vec<f32> = want.map(|&value| WeightType::F16.round(value)).collect();
    same_bits(&format!("{device}: halves"), rows.data(), &want)
}

/// Results equal those of PyTorch's module to the last bit, or to the rounding of norms.
pub fn fixtures(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/embedding");
    let mut count = 0;
    for entry in std::fs::read_dir(folder)? {
        let file = StateDict::open(entry?.path())?;
        let name = file.path().display().to_string();
        let number = |key: &str| file.metadata(key).map(str::parse::<f64>).transpose();
        let mut options = LoadOptions::new();
        options.padding_idx = file.metadata("padding_idx").map(str::parse).transpose()?;
        (options.max_norm, options.norm_type) = (number("max_norm")?, number("norm_type")?);
        let embedding = Embedding::from_pretrained(&device, &file.tensor("weight")?, &options)?;
        let row = file.metadata("padding_row").map(str::parse).transpose()?;
        ensure(
            embedding.padding_idx() == row,
            format!("{name}: padding_idx is {:?}", embedding.padding_idx()),
        )?;
        let shape = file.get("indices").map(|entry| entry.shape().to_vec()).unwrap_or_default();
        let mut indices = file.i64("indices")?;
        let want = file.tensor("output")?;
        let y = embedding.forward(&indices, &shape)?;
        ensure(y.shape() == want.shape(), format!("{name}: {:?}", y.shape()))?;
        if options.max_norm.is_some() {
            scaled_alike(&name, &y, &want)?;
            let plain = Embedding::new(&device, &file.tensor("weight")?, None)?;
            let plain = scaled_alike(&name, &plain.forward(&indices, &shape)?, &want);
            ensure(plain.is_err(), format!("{name}: max_norm changes the result"))?;
        } else {
            same_bits(&name, y.data(), want.data())?;
        }
        if embedding.num_embeddings() > 1 {
            indices[0] = (indices[0] + 1) % embedding.num_embeddings() as i64;
            let other = embedding.forward(&indices, &shape)?;
            ensure(
                same_bits(&name, other.data(), want.data()).is_err(),
                format!("{name}: another index gives another result"),
            )?;
        }
        count += 1;
    }
    ensure(count >= 10, format!("{count} fixtures"))
}

/// Compares rows scaled by `max_norm`, whose norms are sums in f32 in another order. PyTorch scales
/// a row at each look-up that finds its norm over the bound by rounding.
fn scaled_alike(name: &str, got: &Tensor, want: &Tensor) -> Result<(), Failed> {
    let alike = |(got, want): (&f32, &f32)| {
        got == want || (got - want).abs() <= 4e-6 * want.abs() || (got.is_nan() && want.is_nan())
    };
    let differs = got.data().iter().zip(want.data()).position(|pair| !alike(pair));
    match differs {
        None => Ok(()),
        Some(at) => Err(format!("{name}: {at}: {} {}", got.data()[at], want.data()[at]).into()),
    }
}
