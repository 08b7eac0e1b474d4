//! Language models: PyTorch's logits, states and losses, and changes that must not change a bit.

use libtest_mimic::Failed;
use wgpu_rnn::device::OpenOptions;
use wgpu_rnn::internals::diagnostics::compare::{Comparison, Tolerance};
use wgpu_rnn::internals::params::random::Mt19937;
use wgpu_rnn::internals::plan::LanguageModelPlan;
use wgpu_rnn::language_model::{LanguageModel, LanguageModelConfig, LanguageModelParams};
use wgpu_rnn::{Error, ForwardOptions, Kind, State, StateDict, Tensor};

use crate::bits::{assert_same, assert_same_tensor};
use crate::language_models::{self, metadata};
use crate::parts::{Outcome, along_first, along_second, joined, state_part};
use crate::{Target, ensure, seeded};

/// Returns `count` tokens below `ntoken`.
pub fn tokens(seed: u64, count: usize, ntoken: usize) -> Vec<u32> {
    let mut random = Mt19937::new(seed);
    (0..count).map(|_| random.next_u32() % ntoken as u32).collect()
}

/// Returns parameters whose logits spread like those of a trained model.
pub fn params(config: &LanguageModelConfig) -> Result<LanguageModelParams, Failed> {
    let mut seed = 0;
    let params = LanguageModelParams::from_fn(config, |name, shape| {
        seed += 1;
        let bound = if name == "decoder.bias" { 0.1 } else { 1.0 };
        Ok(Mt19937::new(seed).uniform_vec(shape.iter().product(), -bound, bound))
    });
    Ok(params?)
}

/// Returns an initial state for `batch` rows.
pub fn initial(config: &LanguageModelConfig, batch: usize) -> State {
    let of = |seed| seeded::tensor(seed, &[config.nlayers, batch, config.nhid], 1.0);
    State { h: of(31), c: (config.rnn_type == Kind::Lstm).then(|| of(32)) }
}

// --- PyTorch -------------------------------------------------------------------------------------

/// The expected tensors of a fixture, by name.
fn expected(file: &StateDict) -> Result<Vec<(&'static str, Tensor)>, Failed> {
    let names = ["logits", "hn", "cn"].into_iter().filter(|name| file.get(name).is_some());
    Ok(names
        .map(|name| file.tensor(name).map(|tensor| (name, tensor)))
        .collect::<Result<_, _>>()?)
}

/// Compares a forward pass with the expected tensors, within the fixture's tolerance.
fn judge(file: &StateDict, (logits, state): &Outcome, expected: &[(&str, Tensor)]) -> Comparison {
    let tolerance = Tolerance::new(metadata(file, "atol"), metadata(file, "rtol"));
    let mut comparison = Comparison::default();
    let got = [Some(logits), Some(&state.h), state.c.as_ref()];
    assert_eq!(
        got.iter().flatten().count(),
        expected.len(),
        "{}: what is compared",
        file.path().display()
    );
    for (got, (name, want)) in got.into_iter().flatten().zip(expected) {
        let wide: Vec<f64> = want.data().iter().map(|&value| f64::from(value)).collect();
        comparison.add_tensor(name, got, (want.shape(), &wide), tolerance);
    }
    comparison
}

/// Logits and states equal PyTorch's within each fixture's tolerance. Altered ones do not.
pub fn fixtures(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let mut compared = 0;
    for file in language_models::fixtures().iter().filter(|file| file.get("tokens").is_some()) {
        let what = file.path().display();
        let model = LanguageModel::load(&device, file, "model.")?;
        let tokens = language_models::tokens(file, "tokens");
        let batch = file.get("tokens").map_or(1, |entry| entry.shape()[1]);
        let given = |name: &str| file.get(name).map(|_| file.tensor(name)).transpose();
        let c = given("c0")?;
        let state = given("h0")?.map(|h| State { h, c });
        let got = model.forward(&tokens, batch, state.as_ref())?;
        let mut expected = expected(file)?;
        let comparison = judge(file, &got, &expected);
        ensure(
            comparison.agrees() && comparison.count > 0,
            format!("{what}: {}", comparison.describe()),
        )?;
        for which in 0..expected.len() {
            let right = expected[which].1.clone();
            let off = 2.0 * metadata::<f32>(file, "atol") + 1e-6;
            for wrong in [off, f32::NAN, f32::INFINITY] {
                let last = right.data().len() - 1;
                // Move away from the result, which may be on either side.
                let side =
                    if got_value(&got, which, last) > right.data()[last] { -wrong } else { wrong };
                expected[which].1.data_mut()[last] += side;
                let comparison = judge(file, &got, &expected);
                ensure(
                    !comparison.agrees(),
                    format!("{what}: {} is off by {wrong}", expected[which].0),
                )?;
                expected[which].1 = right.clone();
            }
        }
        compared += 1;
    }
    ensure(compared >= 9, format!("{compared} fixtures with tokens"))
}

fn got_value((logits, state): &Outcome, which: usize, at: usize) -> f32 {
    match (which, &state.c) {
        (0, _) => logits.data()[at],
        (2, Some(c)) => c.data()[at],
        _ => state.h.data()[at],
    }
}

/// The loss of a text is PyTorch's, and depends on how it is cut into streams.
pub fn losses(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let mut compared = 0;
    for file in language_models::fixtures().iter().filter(|file| file.get("text").is_some()) {
        let what = file.path().display();
        let model = LanguageModel::load(&device, file, "model.")?;
        let text = language_models::tokens(file, "text");
        let (want, streams): (f64, usize) = (metadata(file, "loss"), metadata(file, "streams"));
        let near = |loss: f64| (loss - want).abs() < 1e-6 * want;
        let score = model.score(&text, streams)?;
        ensure(score.tokens == text.len() - 1, format!("{what}: {} predictions", score.tokens))?;
        ensure(near(score.loss), format!("{what}: got {}, want {want}", score.loss))?;
        ensure(
            score.perplexity() == score.loss.exp(),
            format!("{what}: a perplexity of {}", score.perplexity()),
        )?;
        if text.len() > 2 {
            for other in [1, streams + 1] {
                let loss = model.score(&text, other)?.loss;
                ensure(!near(loss), format!("{what}: {loss} in {other} streams too"))?;
            }
        }
        compared += 1;
    }
    ensure(compared >= 3, format!("{compared} fixtures with a text"))
}

// --- pieces of time, passes, shards --------------------------------------------------------------

/// 23 steps of three rows: a linear layer runs on more than eight rows at once, or on fewer.
const STEPS: usize = 23;
const BATCH: usize = 3;

fn config(kind: Kind) -> LanguageModelConfig {
    LanguageModelConfig::new(kind, 19, 6, 11, 2)
}

/// A text may arrive in pieces if the caller carries the state from each to the next.
pub fn pieces(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    for &kind in Kind::ALL {
        let config = config(kind);
        let model = LanguageModel::new(&device, &params(&config)?)?;
        let tokens = tokens(1, STEPS * BATCH, config.ntoken);
        for start in [None, Some(initial(&config, BATCH))] {
            let whole = model.forward(&tokens, BATCH, start.as_ref())?;
            for steps in [1, 4, 22] {
                let (mut logits, mut state) = (Vec::new(), start.clone());
                for piece in tokens.chunks(steps * BATCH) {
                    let (part, end) = model.forward(piece, BATCH, state.as_ref())?;
                    logits.push(part);
                    state = Some(end);
                }
                let state = state.ok_or("there was no piece")?;
                assert_same(&format!("{kind} by {steps} steps"), &(joined(&logits), state), &whole);
            }
        }
    }
    Ok(())
}

/// Returns the number of a kernel's dispatches in a plan.
fn dispatches(plan: &LanguageModelPlan, kernel: &str) -> usize {
    let commands = plan.layers.recording.commands.iter();
    commands
        .flat_map(|command| command.dispatches(0))
        .filter(|dispatch| dispatch.kernel.name() == kernel)
        .count()
}

/// A small binding, a memory budget or a bound on a submission's work cuts the batch into passes.
/// They give the bits of one pass.
pub fn passes(target: &Target) -> Result<(), Failed> {
    for &kind in Kind::ALL {
        let config = config(kind).dropout(0.5);
        let (params, state) = (params(&config)?, initial(&config, BATCH));
        let tokens = tokens(2, STEPS * BATCH, config.ntoken);
        let whole = LanguageModel::new(&target.device()?, &params)?;
        let plan = whole.plan(STEPS, BATCH)?;
        ensure(plan.layers.sizes.seq_len == STEPS, "a short text is one pass")?;
        let training = ForwardOptions::new().state(&state).training(5);
        let want = whole.forward(&tokens, BATCH, Some(&state))?;
        let trained = whole.forward_with(&tokens, BATCH, &training)?;
        let loss = whole.score(&tokens, BATCH)?.loss;
        for (what, options) in [
            ("binding", OpenOptions::default().limit("max_storage_buffer_binding_size", 2112)),
            ("budget", OpenOptions::default().memory_budget(plan.layers.size() - 1)),
            ("work", OpenOptions::default().limit("max_work_per_submission", 9000)),
        ] {
            let model = LanguageModel::new(&target.open(&options)?, &params)?;
            let steps = model.plan(STEPS, BATCH)?.layers.sizes.seq_len;
            ensure(steps < STEPS, format!("{kind} {what}: a pass of {steps} steps"))?;
            let what = format!("{kind}, {what}: passes of {steps} steps");
            assert_same(&what, &model.forward(&tokens, BATCH, Some(&state))?, &want);
            assert_same(
                &format!("{what}, training"),
                &model.forward_with(&tokens, BATCH, &training)?,
                &trained,
            );
            // `score` adds up the same losses in another order.
            let cut = model.score(&tokens, BATCH)?.loss;
            ensure(
                (cut - loss).abs() < 1e-12 * loss,
                format!("{what}: a loss of {cut}, want {loss}"),
            )?;
        }
    }
    Ok(())
}

/// Sharded tables give the results of whole ones, tied or not.
pub fn shards(target: &Target) -> Result<(), Failed> {
    // 1 KiB binds 32 rows of 8 values: 65 tokens are in 3 shards.
    let small =
        target.open(&OpenOptions::default().limit("max_storage_buffer_binding_size", 1024))?;
    let whole = target.device()?;
    for (kind, tied) in
        [(Kind::Lstm, false), (Kind::Lstm, true), (Kind::Gru, true), (Kind::RnnRelu, false)]
    {
        let config = LanguageModelConfig::new(kind, 65, 8, 8, 2).tie_weights(tied);
        let params = params(&config)?;
        let [small, whole] = [&small, &whole].map(|device| LanguageModel::new(device, &params));
        let (small, whole) = (small?, whole?);
        let what = format!("{kind}, tied {tied}");
        let plan = small.plan(9, 3)?;
        ensure(
            dispatches(&plan, "embed") == 3,
            format!("{what}: {} shards", dispatches(&plan, "embed")),
        )?;
        let decoding = |plan: &LanguageModelPlan| {
            let logits = plan.result;
            let commands =
                plan.layers.recording.commands.iter().flat_map(|command| command.dispatches(0));
            commands.filter(|dispatch| dispatch.bindings.last().copied() == logits).count()
        };
        ensure(
            decoding(&plan) == 3 && decoding(&whole.plan(9, 3)?) == 1,
            format!("{what}: shards of the decoder"),
        )?;
        let tokens = tokens(3, 27, 65);
        assert_same(&what, &small.forward(&tokens, 3, None)?, &whole.forward(&tokens, 3, None)?);
        let [cut, loss] =
            [&small, &whole].map(|model| model.score(&tokens, 3).map(|score| score.loss));
        let (cut, loss) = (cut?, loss?);
        ensure((cut - loss).abs() < 1e-12 * loss, format!("{what}: a loss of {cut}, want {loss}"))?;
    }
    Ok(())
}

/// Plans that cannot fit are refused before anything runs, by the name of the limit.
pub fn refusals(target: &Target) -> Result<(), Failed> {
    fn named<T>(what: &str, limit: &'static str, result: Result<T, Error>) -> Result<(), Failed> {
        let error = result.map(drop);
        let named = matches!(&error, Err(Error::Limit { limit: found, .. }) if *found == limit);
        ensure(named, format!("{what}: {error:?}, want a refusal by {limit}"))
    }
    let binding = "max_storage_buffer_binding_size";
    let bound = |name, value| target.open(&OpenOptions::default().limit(name, value));
    let wide = params(&LanguageModelConfig::new(Kind::Gru, 65, 20, 4, 1))?;
    named("a row of 80 bytes", binding, LanguageModel::new(&bound(binding, 64)?, &wide))?;
    named(
        "all weights",
        "memory_budget",
        LanguageModel::new(&bound("memory_budget", 4096)?, &wide),
    )?;

    let config = LanguageModelConfig::new(Kind::Gru, 65, 4, 4, 1);
    let params = params(&config)?;
    let model = LanguageModel::new(&bound(binding, 1024)?, &params)?;
    let prompts = |count| vec![&[1_u32, 2, 3][..]; count];
    model.forward(&[0; 9], 3, None)?;
    named("four rows of 260 bytes", binding, model.forward(&[0; 12], 4, None))?;
    named("their plan", binding, model.plan(3, 4))?;
    named("four streams", binding, model.score(&tokens(4, 20, 65), 4))?;
    model.generate(&prompts(3), &Default::default())?;
    named("four prompts", binding, model.generate(&prompts(4), &Default::default()))?;
    named("four prompts of a token", binding, model.generate(&[&[1][..]; 4], &Default::default()))?;
    named("a long chunk", binding, model.plan_generation(3, 86))?;
    named("more rows than there is memory", binding, model.plan(usize::MAX, usize::MAX))?;
    named("more prompts than there is memory", binding, model.plan_generation(usize::MAX, 4096))?;

    let weights = LanguageModel::new(&target.device()?, &params)?.plan(1, 1)?.layers.recording;
    let weights: u64 = weights.buffers[..13].iter().map(|buffer| buffer.size()).sum();
    let poor = LanguageModel::new(&bound("memory_budget", weights + 64)?, &params)?;
    named("weights and no room", "memory_budget", poor.forward(&[0; 3], 3, None))?;
    named(
        "weights and no room to generate",
        "memory_budget",
        poor.generate(&prompts(1), &Default::default()),
    )?;
    let narrow = LanguageModel::new(&bound("max_compute_workgroups_per_dimension", 1)?, &params)?;
    named(
        "a tile of a table",
        "max_compute_workgroups_per_dimension",
        narrow.forward(&[0; 3], 1, None),
    )
}

// --- rows ----------------------------------------------------------------------------------------

/// A row of another length gives the same results as alone. Past its end its logits are those of an
/// output of 0.
pub fn lengths(target: &Target) -> Result<(), Failed> {
    let whole = target.device()?;
    let cut =
        target.open(&OpenOptions::default().limit("max_storage_buffer_binding_size", 2112))?;
    let (seq_len, batch, lengths) = (7, 5, [3, 7, 0, 1, 6]);
    for &kind in Kind::ALL {
        let config = config(kind);
        let params = params(&config)?;
        let (tokens, state) = (tokens(5, seq_len * batch, config.ntoken), initial(&config, batch));
        let options = ForwardOptions::new().lengths(&lengths).state(&state);
        let model = LanguageModel::new(&whole, &params)?;
        let (logits, last) = model.forward_with(&tokens, batch, &options)?;
        for (row, &length) in lengths.iter().enumerate() {
            let what = format!("{kind}: row {row}");
            let own = along_second(&logits, std::iter::once(row));
            let at = |tensor: &Tensor| along_second(tensor, std::iter::once(row));
            let mut want = state_part(&state, at);
            if length > 0 {
                let alone: Vec<u32> = (0..length).map(|t| tokens[t * batch + row]).collect();
                let (logits, end) = model.forward(&alone, 1, Some(&want))?;
                assert_same_tensor(
                    &format!("{what}: logits"),
                    &along_first(&own, 0..length),
                    &logits,
                );
                want = end;
            }
            ensure(
                state_part(&last, at) == want,
                format!("{what}: the state after {length} steps"),
            )?;
            for t in length..seq_len {
                ensure(
                    own.row(t) == params.decoder_bias(),
                    format!("{what}: logits beyond its end, at {t}"),
                )?;
            }
        }
        let small = LanguageModel::new(&cut, &params)?;
        ensure(
            small.plan(seq_len, batch)?.layers.sizes.seq_len < seq_len,
            "a small binding takes several passes",
        )?;
        assert_same(
            &format!("{kind}: in passes"),
            &small.forward_with(&tokens, batch, &options)?,
            &(logits, last),
        );
    }
    Ok(())
}

/// Calls of changing sizes and kinds reuse buffers and give the results of a fresh model.
pub fn calls_are_independent(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let config = config(Kind::Lstm).dropout(0.5);
    let params = params(&config)?;
    let model = LanguageModel::new(&device, &params)?;
    for (call, (steps, batch)) in [(4, 3), (1, 1), (4, 3), (6, 2), (4, 3)].into_iter().enumerate() {
        let what = format!("call {call}, {steps} x {batch}");
        let tokens = tokens(call as u64, steps * batch, config.ntoken);
        let nan = || Tensor::new([2, batch, 11], vec![f32::NAN; 22 * batch]);
        let poison = State { h: nan()?, c: Some(nan()?) };
        let fresh = LanguageModel::new(&device, &params)?;
        let training = ForwardOptions::new().training(1);
        model.forward(&tokens, batch, Some(&poison))?;
        assert_same(
            &what,
            &model.forward(&tokens, batch, None)?,
            &fresh.forward(&tokens, batch, None)?,
        );
        let trained = model.forward_with(&tokens, batch, &training)?;
        assert_same(
            &format!("{what}, training"),
            &trained,
            &fresh.forward_with(&tokens, batch, &training)?,
        );
        if tokens.len() > 1 {
            let [got, want] =
                [&model, &fresh].map(|model| model.score(&tokens, batch).map(|score| score.loss));
            let (got, want) = (got?, want?);
            ensure(got == want, format!("{what}: a loss of {got}, want {want}"))?;
        }
    }
    Ok(())
}

/// Refusals use PyTorch's words if it has any.
pub fn arguments(target: &Target) -> Result<(), Failed> {
    let config = config(Kind::Gru);
    let model = LanguageModel::new(&target.device()?, &params(&config)?)?;
    let wide = seeded::tensor(1, &[2, 1, 12], 1.0);
    let state = State { h: wide, c: None };
    let with = |lengths| ForwardOptions::new().lengths(lengths);
    let refused = |result: Result<Outcome, Error>, want: &str| {
        let message = result.map(drop).map_err(|error| error.to_string());
        ensure(message == Err(want.to_owned()), format!("{message:?}, want {want}"))
    };
    let shape = |count, batch| {
        format!(
            "tokens are [T, B] with at least one step and one row, but got {count} tokens for a \
             batch of {batch}"
        )
    };
    refused(model.forward(&[], 1, None), &shape(0, 1))?;
    refused(model.forward(&[1, 2, 3], 0, None), &shape(3, 0))?;
    refused(model.forward(&[1, 2, 3], 2, None), &shape(3, 2))?;
    refused(
        model.forward(&[1, 2, 3, 19], 2, None),
        "index out of range in self: tokens[1, 1] is 19, expected 0 to 18",
    )?;
    refused(
        model.forward(&[1, 2], 1, Some(&state)),
        "Expected hidden size (2, 1, 11), got [2, 1, 12]",
    )?;
    refused(
        model.forward_with(&[1, 2], 1, &with(&[3])),
        "lengths[0] is 3, but the input has 2 time steps",
    )?;
    refused(
        model.forward_with(&[1, 2], 2, &with(&[1])),
        "Expected `len(lengths)` to be equal to batch_size, but got 1 (batch_size=2)",
    )?;
    for (text, streams, want) in [
        (&[1, 2, 3][..], 0, "a text is read in at least one stream, but got 0"),
        (&[], 1, "a text to predict has at least two tokens, but got 0"),
        (&[4], 1, "a text to predict has at least two tokens, but got 1"),
        (&[4, 19], 1, "index out of range in self: text[1] is 19, expected 0 to 18"),
    ] {
        let message = model.score(text, streams).map_err(|error| error.to_string());
        ensure(message == Err(want.to_owned()), format!("{message:?}, want {want}"))?;
    }
    // More streams than tokens to predict.
    let [many, few] = [usize::MAX, 2].map(|streams| model.score(&[3, 1, 2], streams));
    ensure(many? == few?, "two predictions are at most two streams")
}
