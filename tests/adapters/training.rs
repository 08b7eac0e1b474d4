//! Dropout as modules apply it: between layers, to the embedding, and to the decoder's input.
//!
//! The reference is a chain of modules of one layer with dropout by hand between them.

use libtest_mimic::Failed;
use wgpu_rnn::device::OpenOptions;
use wgpu_rnn::internals::diagnostics::compare::{Comparison, Tolerance};
use wgpu_rnn::internals::params::random::{dropout_constants, philox4x32};
use wgpu_rnn::language_model::{LanguageModel, LanguageModelConfig, LanguageModelParams};
use wgpu_rnn::{Config, Device, ForwardOptions, Kind, Linear, Params, Rnn, State, Tensor};

use crate::bits::{assert_same, assert_same_tensor};
use crate::language_model::{initial, params, tokens};
use crate::parts::{Outcome, joined, swapped};
use crate::{Target, ensure, seeded};

const SEED: u64 = 0x0123_4567_89ab_cdef;

/// Applies dropout to `x` (`[T, B, D·F]`) by the definition in `shaders/head/dropout.wgsl`.
fn dropped(x: &Tensor, directions: usize, p: f64, seed: u64, site: u32) -> Tensor {
    let (threshold, scale) = dropout_constants(p);
    let &[_, batch, features] = x.shape() else { panic!("[T, B, D·F]") };
    let width = features / directions;
    let mut y = x.clone();
    for (at, value) in y.data_mut().iter_mut().enumerate() {
        let (feature, t, b) = (at % features, at / features / batch, at / features % batch);
        let (d, unit) = (feature / width, feature % width);
        let counter = [unit as u32 / 4, t as u32, b as u32, site + d as u32];
        let word = philox4x32(counter, [seed as u32, (seed >> 32) as u32])[unit % 4];
        *value *= if word >= threshold { scale } else { 0.0 };
    }
    y
}

/// Returns the parameters of one layer as a separate module, without dropout.
fn only_layer(params: &Params, layer: usize) -> Result<Params, Failed> {
    let config = params.config();
    let mut alone = config.clone().num_layers(1).dropout(0.0);
    alone.input_size = config.layer_input_size(layer);
    Ok(Params::from_fn(&alone, |name, _| {
        let own = params.direction(layer, usize::from(name.ends_with("_reverse")));
        let values = match name.split("_l0").next() {
            Some("weight_ih") => &own.weight_ih,
            Some("weight_hh") => &own.weight_hh,
            Some("bias_ih") => &own.bias_ih,
            Some("bias_hh") => &own.bias_hh,
            _ => &own.weight_hr,
        };
        Ok(values.clone())
    })?)
}

/// Runs a forward pass layer by layer, with dropout by hand between layers; time first.
fn by_layers(
    device: &Device,
    params: &Params,
    input: &Tensor,
    lengths: &[usize],
    seed: u64,
) -> Result<Outcome, Failed> {
    let config = params.config();
    let (mut x, mut h, mut c) = (input.clone(), Vec::new(), Vec::new());
    for layer in 0..config.num_layers {
        if layer > 0 {
            x = dropped(&x, config.num_directions(), config.dropout, seed, 2 * (layer as u32 - 1));
        }
        let rnn = Rnn::new(device, &only_layer(params, layer)?)?;
        let (output, state) = rnn.forward_lengths(&x, lengths, None)?;
        x = output;
        h.push(state.h);
        c.extend(state.c);
    }
    Ok((x, State { h: joined(&h), c: (!c.is_empty()).then(|| joined(&c)) }))
}

/// Returns the comparison of two outcomes.
fn compared(got: &Outcome, want: &Outcome) -> Comparison {
    let mut comparison = Comparison::default();
    let mut add = |name: &str, got: &Tensor, want: &Tensor| {
        let wide: Vec<f64> = want.data().iter().map(|&value| f64::from(value)).collect();
        comparison.add_tensor(name, got, (want.shape(), &wide), Tolerance::F32);
    };
    add("output", &got.0, &want.0);
    add("h_n", &got.1.h, &want.1.h);
    if let (Some(got), Some(want)) = (&got.1.c, &want.1.c) {
        add("c_n", got, want);
    }
    comparison
}

fn ensure_close(what: &str, got: &Outcome, want: &Outcome) -> Result<(), Failed> {
    let comparison = compared(got, want);
    ensure(
        comparison.agrees() && comparison.count > 0,
        format!("{what}: {}", comparison.describe()),
    )
}

const SEQ_LEN: usize = 7;
/// One step of this many rows exceeds a binding that holds the weights of any unit.
const BATCH: usize = 17;

/// A stack with dropout equals single layers with the documented masks between them: both
/// directions, rows of different length, batch first, several passes, several segments.
pub fn between_layers(target: &Target) -> Result<(), Failed> {
    let whole = target.device()?;
    let small = |bytes| {
        target.open(&OpenOptions::default().limit("max_storage_buffer_binding_size", bytes))
    };
    let (passes, segments) = (small(800)?, small(4096)?);
    let input = seeded::tensor(1, &[SEQ_LEN, BATCH, 3], 1.0);
    for (kind, proj_size) in Kind::ALL.iter().map(|&kind| (kind, 0)).chain([(Kind::Lstm, 5)]) {
        for bidirectional in [false, true] {
            let config = Config::new(kind, 3, 10).num_layers(3).dropout(0.5).proj_size(proj_size);
            let config = config.bidirectional(bidirectional);
            let params = Params::init(&config, 3)?;
            let rnn = Rnn::new(&whole, &params)?;
            let what = format!("{kind}, projection {proj_size}, bidirectional {bidirectional}");
            for lengths in
                [[SEQ_LEN; BATCH], std::array::from_fn(|row| (row * 5 + 3) % (SEQ_LEN + 1))]
            {
                let options = ForwardOptions::new().lengths(&lengths).training(SEED);
                let got = rnn.forward_with(&input, &options)?;
                let what = format!("{what}, lengths {lengths:?}");
                ensure_close(&what, &got, &by_layers(&whole, &params, &input, &lengths, SEED)?)?;
                let other = by_layers(&whole, &params, &input, &lengths, SEED + 1)?;
                ensure(!compared(&got, &other).agrees(), format!("{what}: other masks would do"))?;

                let first =
                    Rnn::new(&whole, &params.clone().with(|config| config.batch_first(true))?)?;
                let (output, state) = first.forward_with(&swapped(&input), &options)?;
                assert_same(&format!("{what}, batch first"), &(swapped(&output), state), &got);
                for (how, device) in [("passes", &passes), ("segments", &segments)] {
                    let cut = Rnn::new(device, &params)?;
                    let plan = cut.plan(SEQ_LEN, BATCH)?;
                    let in_pieces = plan.sizes.batch < BATCH || plan.segments.len() > 1;
                    ensure(in_pieces, format!("{what}: {} {how}", plan.segments.len()))?;
                    assert_same(
                        &format!("{what}, in {how}"),
                        &cut.forward_with(&input, &options)?,
                        &got,
                    );
                }
            }
        }
    }
    let config = Config::gru(3, 10).bidirectional(true);
    let [rows, steps] = [&passes, &segments].map(|device| {
        let plan = Rnn::new(device, &Params::init(&config, 0)?)?.plan(SEQ_LEN, BATCH)?;
        Ok::<_, Failed>((plan.sizes.batch < BATCH, plan.segments.len() > 1))
    });
    ensure(rows?.0 && steps?.1, "one binding cuts the batch, the other one time")
}

/// Inference drops nothing at any probability. Training drops nothing at 0 or in a single layer.
pub fn without_dropout(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let input = seeded::tensor(2, &[SEQ_LEN, BATCH, 3], 1.0);
    let training = ForwardOptions::new().training(SEED);
    for &kind in Kind::ALL {
        let of =
            |layers, p| Params::init(&Config::new(kind, 3, 6).num_layers(layers).dropout(p), 4);
        for layers in [1, 3] {
            let want = Rnn::new(&device, &of(layers, 0.0)?)?.forward(&input, None)?;
            for p in [0.0, 0.5, 1.0] {
                let what = format!("{kind}, {layers} layers, p = {p}");
                let rnn = Rnn::new(&device, &of(layers, p)?)?;
                let trained = rnn.forward_with(&input, &training)?;
                assert_same(&format!("{what}: inference"), &rnn.forward(&input, None)?, &want);
                if layers == 1 || p == 0.0 {
                    assert_same(&format!("{what}: training"), &trained, &want);
                } else {
                    ensure(trained.0 != want.0, format!("{what}: training drops"))?;
                }
            }
        }
    }
    Ok(())
}

/// The same seed gives the same bits call after call. Another seed gives other bits.
pub fn seeds(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let with = |seed| ForwardOptions::new().training(seed);
    let rnn = Rnn::new(&device, &Params::init(&Config::lstm(3, 6).num_layers(2).dropout(0.4), 5)?)?;
    let input = seeded::tensor(3, &[SEQ_LEN, BATCH, 3], 1.0);
    let config = LanguageModelConfig::new(Kind::Gru, 13, 5, 6, 1).dropout(0.4);
    let model = LanguageModel::new(&device, &params(&config)?)?;
    let tokens = tokens(6, SEQ_LEN * BATCH, 13);
    let both = |seed| -> Result<[Outcome; 2], Failed> {
        Ok([
            rnn.forward_with(&input, &with(seed))?,
            model.forward_with(&tokens, BATCH, &with(seed))?,
        ])
    };
    let first = both(SEED)?;
    for other in [SEED + 1, SEED ^ (1 << 32), 0] {
        for (got, first) in both(other)?.iter().zip(&first) {
            ensure(got.0 != first.0, format!("seed {other:#x} gives what {SEED:#x} gives"))?;
        }
        for (again, first) in both(SEED)?.iter().zip(&first) {
            assert_same("the first seed again", again, first);
        }
    }
    Ok(())
}

// --- language models -----------------------------------------------------------------------------

/// The dropout sites of a language model outside its layers.
const EMBEDDING: u32 = 0x8000_0000;
const DECODER: u32 = 0x8000_0001;

/// Runs a language model module by module, with dropout by hand between modules.
fn by_modules(
    device: &Device,
    params: &LanguageModelParams,
    tokens: &[u32],
    seed: u64,
) -> Result<Outcome, Failed> {
    let config = params.config();
    let rows = tokens
        .iter()
        .flat_map(|&token| params.encoder_weight().row(token as usize))
        .copied()
        .collect();
    let steps = tokens.len() / BATCH;
    let embedded = Tensor::new([steps, BATCH, config.ninp], rows)?;
    let embedded = dropped(&embedded, 1, config.dropout, seed, EMBEDDING);
    let (output, state) = by_layers(device, params.rnn(), &embedded, &[steps; BATCH], seed)?;
    let output = dropped(&output, 1, config.dropout, seed, DECODER);
    let decoder = Linear::new(
        device,
        params.decoder_weight(),
        Some(params.decoder_bias()),
        Default::default(),
    )?;
    Ok((decoder.forward(&output)?, state))
}

/// A language model in training equals its modules with the documented masks between them, on every
/// device.
pub fn language_models(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let options = ForwardOptions::new().training(SEED);
    for (kind, nlayers, tied) in [
        (Kind::Lstm, 2, false),
        (Kind::Gru, 3, true),
        (Kind::RnnTanh, 1, false),
        (Kind::RnnRelu, 2, true),
    ] {
        let nhid = if tied { 6 } else { 10 };
        let config =
            LanguageModelConfig::new(kind, 19, 6, nhid, nlayers).tie_weights(tied).dropout(0.5);
        let params = params(&config)?;
        let tokens = tokens(7, SEQ_LEN * BATCH, 19);
        let model = LanguageModel::new(&device, &params)?;
        let got = model.forward_with(&tokens, BATCH, &options)?;
        let what = format!("{kind} of {nlayers} layers, tied {tied}");
        ensure_close(&what, &got, &by_modules(&device, &params, &tokens, SEED)?)?;
        let other = by_modules(&device, &params, &tokens, SEED + 1)?;
        ensure(!compared(&got, &other).agrees(), format!("{what}: other masks would do"))?;
        let host =
            LanguageModel::new(&Device::cpu(), &params)?.forward_with(&tokens, BATCH, &options)?;
        ensure_close(&format!("{what}, against the CPU"), &got, &host)?;
    }
    Ok(())
}

/// Inference drops nothing. With p = 0 training equals inference. With p = 1 only the decoder's
/// bias is left, as in PyTorch.
pub fn language_models_without_dropout(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let training = ForwardOptions::new().training(SEED);
    let none = params(&LanguageModelConfig::new(Kind::Lstm, 19, 6, 10, 2))?;
    let tokens = tokens(8, SEQ_LEN * BATCH, 19);
    let want = LanguageModel::new(&device, &none)?.forward(&tokens, BATCH, None)?;
    for p in [0.0, 0.5, 1.0] {
        let params = none.clone().with_dropout(p)?;
        let model = LanguageModel::new(&device, &params)?;
        let trained = model.forward_with(&tokens, BATCH, &training)?;
        assert_same(&format!("p = {p}: inference"), &model.forward(&tokens, BATCH, None)?, &want);
        if p == 0.0 {
            assert_same("p = 0: training", &trained, &want);
        } else {
            ensure(trained.0 != want.0, format!("p = {p}: training drops"))?;
        }
        if p == 1.0 {
            let bias = params.decoder_bias().repeat(SEQ_LEN * BATCH);
            assert_same_tensor("p = 1", &trained.0, &Tensor::new([SEQ_LEN, BATCH, 19], bias)?);
            // The layers read zeros, whatever the tokens are.
            let other = model.forward_with(&vec![0; SEQ_LEN * BATCH], BATCH, &training)?;
            assert_same("p = 1, other tokens", &other, &trained);
            let state = initial(params.config(), BATCH);
            let from = training.state(&state);
            let started = model.forward_with(&tokens, BATCH, &from)?;
            ensure(started.1 != trained.1, "p = 1: the state still runs on")?;
        }
    }
    for wrong in [1.5, -0.1, f64::NAN] {
        ensure(none.clone().with_dropout(wrong).is_err(), format!("a probability of {wrong}"))?;
    }
    Ok(())
}
