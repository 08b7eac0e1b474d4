//! Generation by `step` against a loop of forward passes and the definition of drawing in f64.

use libtest_mimic::Failed;
use wgpu_rnn::device::OpenOptions;
use wgpu_rnn::internals::kernel::Family;
use wgpu_rnn::internals::kernel::families::SAMPLE_SITE;
use wgpu_rnn::internals::params::random::philox4x32;
use wgpu_rnn::language_model::{
    GenerateOptions, Generator, LanguageModel, LanguageModelConfig, LanguageModelParams,
};
use wgpu_rnn::{Device, Kind, LoadOptions, Schedule, State, Tensor};

use crate::language_model::{params, tokens};
use crate::parts::{along_second, joined, state_part};
use crate::{Target, ensure};

const NTOKEN: usize = 17;

fn model(device: &Device, kind: Kind) -> Result<LanguageModel, Failed> {
    by_step(device, &params(&LanguageModelConfig::new(kind, NTOKEN, 6, 10, 2))?)
}

/// Returns a model whose generation has the bits of its forward passes on every device.
fn by_step(device: &Device, params: &LanguageModelParams) -> Result<LanguageModel, Failed> {
    let options = LoadOptions::new().schedule(Schedule::Step);
    Ok(LanguageModel::with_options(device, params, &options)?)
}

fn options() -> GenerateOptions {
    GenerateOptions::default().chunk(4).seed(0x0000_0007_0000_0011)
}

fn greedy() -> GenerateOptions {
    options().temperature(0.0)
}

/// Returns the next `count` tokens of each row: `[row][step]`.
pub fn take(generator: &mut Generator, count: usize) -> Result<Vec<Vec<u32>>, Failed> {
    let steps = generator.take(count).collect::<Result<Vec<_>, _>>()?;
    ensure(steps.len() == count, format!("{} steps of {count}", steps.len()))?;
    Ok((0..steps[0].len()).map(|row| steps.iter().map(|tokens| tokens[row]).collect()).collect())
}

pub fn generated(
    model: &LanguageModel,
    prompts: &[&[u32]],
    options: &GenerateOptions,
    count: usize,
) -> Result<Vec<Vec<u32>>, Failed> {
    take(&mut model.generate(prompts, options)?, count)
}

/// Returns the index of the first largest logit.
fn likeliest(logits: &[f32]) -> u32 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    logits.iter().position(|&logit| logit == largest).unwrap_or_default() as u32
}

/// Returns the token that the definition draws (`shaders/head/sample.wgsl`), and its margin: the
/// distance in probability from the random number to the nearest other token.
fn drawn(logits: &[f32], options: &GenerateOptions, position: usize, row: usize) -> (u32, f64) {
    let mut sorted = logits.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let among = if options.top_k == 0 { logits.len() } else { options.top_k.min(logits.len()) };
    let scale =
        |logit: f32| (f64::from(logit) - f64::from(sorted[0])) / f64::from(options.temperature);
    let weight = |&logit: &f32| if logit >= sorted[among - 1] { scale(logit).exp() } else { 0.0 };
    let weights: Vec<f64> = logits.iter().map(weight).collect();
    let total: f64 = weights.iter().sum();
    let key = [options.seed as u32, (options.seed >> 32) as u32];
    let word = philox4x32([0, position as u32, row as u32, SAMPLE_SITE], key)[0];
    let share = f64::from(word >> 8) / 16_777_216.0;
    let (mut below, mut found) = (0.0, (0, 0.0));
    for (token, weight) in (0..).zip(weights) {
        let above = below + weight / total;
        if below <= share && weight > 0.0 {
            found = (token, (share - below).min(above - share));
        }
        below = above;
    }
    found
}

/// The most that rounding of f32 sums moves the border between two tokens.
const ROUNDING: f64 = 1e-5;

/// Fails unless the definition draws `text` after `prompt`, from the logits of one forward pass
/// over both. Returns the number of tokens that are not the likeliest.
pub fn ensure_drawn(
    what: &str,
    model: &LanguageModel,
    options: &GenerateOptions,
    (prompt, text, row): (&[u32], &[u32], usize),
) -> Result<usize, Failed> {
    let read = [prompt, &text[..text.len() - 1]].concat();
    let (logits, _) = model.forward(&read, 1, None)?;
    let mut surprises = 0;
    for (position, &token) in text.iter().enumerate() {
        let logits = logits.row(prompt.len() - 1 + position);
        let (want, margin) = drawn(logits, options, position, row);
        ensure(
            token == want || margin < ROUNDING,
            format!(
                "{what}: token {token} at {position} of row {row}, want {want}, whose margin is \
                 {margin:e}"
            ),
        )?;
        surprises += usize::from(token != likeliest(logits));
    }
    Ok(surprises)
}

/// At temperature 0, and with `top_k` 1, generation is a loop of forward passes that take the
/// likeliest token.
pub fn greedy_is_a_loop_of_forward(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    for &kind in Kind::ALL {
        let model = model(&device, kind)?;
        let prompt = [3, 1, 4, 1, 5];
        let (mut text, mut state) = (prompt.to_vec(), None);
        let mut next = prompt.to_vec();
        for _ in 0..12 {
            let (logits, end) = model.forward(&next, 1, state.as_ref())?;
            let token = likeliest(logits.row(next.len() - 1));
            text.push(token);
            (next, state) = (vec![token], Some(end));
        }
        for options in
            [greedy(), options().temperature(-0.0), options().top_k(1), greedy().top_k(5).seed(1)]
        {
            let got = generated(&model, &[&prompt], &options, 12)?;
            ensure(
                got == [&text[5..]],
                format!("{kind}, {options:?}: got {got:?}, want {:?}", &text[5..]),
            )?;
        }
        let mut others =
            (0..NTOKEN as u32).map(|first| generated(&model, &[&[first]], &greedy(), 12));
        let differs = others.any(|other| other.is_ok_and(|other| other != [&text[5..]]));
        ensure(differs, format!("{kind}: no other prompt has another text"))?;
    }
    Ok(())
}

/// Each token is the one that the definition draws from the logits of a forward pass.
pub fn sampling_is_forward_and_the_definition(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let prompts: [&[u32]; 3] = [&[3, 1, 4], &[1], &[16, 0, 2, 9, 8, 5]];
    for &kind in Kind::ALL {
        let model = model(&device, kind)?;
        for options in
            [options(), options().temperature(0.6).seed(5), options().temperature(2.0).top_k(4)]
        {
            let what = format!("{kind}, {options:?}");
            let texts = generated(&model, &prompts, &options, 24)?;
            let mut surprises = 0;
            for (row, (prompt, text)) in prompts.iter().zip(&texts).enumerate() {
                surprises += ensure_drawn(&what, &model, &options, (prompt, text, row))?;
                // The check detects a wrong seed and a wrong row.
                for wrong in [options.seed(0), options.seed(options.seed ^ (1 << 40))] {
                    let accepted = ensure_drawn(&what, &model, &wrong, (prompt, text, row)).is_ok();
                    ensure(!accepted, format!("{what}: another seed would do"))?;
                }
                let accepted =
                    ensure_drawn(&what, &model, &options, (prompt, text, row + 1)).is_ok();
                ensure(!accepted, format!("{what}: another row would do"))?;
            }
            ensure(surprises > 5, format!("{what}: {surprises} tokens are not the likeliest"))?;
        }
    }
    Ok(())
}

/// A prompt in a batch gets the text that it gets alone, and chunks of any length give the same
/// tokens.
pub fn rows_and_chunks(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let longest = tokens(9, 11, NTOKEN);
    let prompts: [&[u32]; 4] = [&[2, 3], &longest, &[7], &[0, 1, 0, 1, 0]];
    for &kind in Kind::ALL {
        let model = model(&device, kind)?;
        let together = generated(&model, &prompts, &greedy(), 9)?;
        for (prompt, text) in prompts.iter().zip(&together) {
            let alone = generated(&model, &[prompt], &greedy(), 9)?;
            ensure(
                alone == [text.as_slice()],
                format!("{kind}, {prompt:?}: {alone:?} alone, {text:?} with others"),
            )?;
        }
        // The draws of the first row do not depend on the other rows either.
        let first = generated(&model, &prompts, &options(), 9)?;
        let alone = generated(&model, &prompts[..1], &options(), 9)?;
        ensure(
            first[..1] == alone,
            format!("{kind}: {alone:?} alone, {:?} with others", first[0]),
        )?;
        for options in [options(), greedy()] {
            let want = generated(&model, &prompts[..2], &options, 35)?;
            for chunk in [1, 2, 7, 32] {
                let got = generated(&model, &prompts[..2], &options.chunk(chunk), 35)?;
                ensure(
                    got == want,
                    format!("{kind}: {got:?} in chunks of {chunk}, want {want:?}"),
                )?;
            }
        }
    }
    Ok(())
}

/// A text ends with its stop token, and no row depends on where others end.
pub fn stops(target: &Target) -> Result<(), Failed> {
    let model = model(&target.device()?, Kind::Gru)?;
    let prompts: [&[u32]; 2] = [&[2, 3], &[7]];
    let whole = generated(&model, &prompts, &options().top_p(0.9), 60)?;
    // The last token that one of the rows draws for the first time.
    let first = |text: &[u32], token| text.iter().position(|&t| t == token);
    let ends = |token| Some([first(&whole[0], token)?, first(&whole[1], token)?]);
    let stop = (0..NTOKEN as u32).find(|&token| ends(token).is_some_and(|[a, b]| a != b));
    let stop = stop.ok_or("both rows draw a token at different places")?;
    let ends = ends(stop).ok_or("the token is drawn")?;
    let options = options().top_p(0.9).stop(stop);
    let got: Vec<Vec<u32>> = model.generate(&prompts, &options)?.collect::<Result<_, _>>()?;
    ensure(
        got.len() == 1 + ends[0].max(ends[1]),
        format!("{} steps, the last end is {ends:?}", got.len()),
    )?;
    for (row, (end, whole)) in ends.into_iter().zip(&whole).enumerate() {
        for (step, tokens) in got.iter().enumerate() {
            let want = if step < end { whole[step] } else { stop };
            ensure(
                tokens[row] == want,
                format!("row {row}, step {step}: {} and not {want}", tokens[row]),
            )?;
        }
    }
    let mut ended = model.generate(&prompts[..1], &options)?;
    ensure(ended.by_ref().count() == 1 + ends[0], "a row alone")?;
    ensure(ended.next().is_none(), "nothing follows the end")
}

/// A device with small bindings or short submissions generates the same text.
pub fn limits(target: &Target) -> Result<(), Failed> {
    let params = params(&LanguageModelConfig::new(Kind::Gru, 65, 8, 8, 2).tie_weights(true))?;
    let whole = by_step(&target.device()?, &params)?;
    let prompts: [&[u32]; 3] = [&tokens(1, 9, 65), &[64], &[33, 31, 32]];
    let want = generated(&whole, &prompts, &options(), 20)?;
    for (name, value) in [("max_storage_buffer_binding_size", 1024), ("max_work_per_submission", 1)]
    {
        let model = by_step(&target.open(&OpenOptions::default().limit(name, value))?, &params)?;
        if value == 1024 {
            let commands = model.plan_generation(3, 4)?.layers.recording.commands;
            let dispatches = commands.iter().flat_map(|command| command.dispatches(0));
            let shards =
                dispatches.filter(|dispatch| dispatch.kernel.family == Family::Embed).count();
            ensure(shards == 3, format!("{shards} shards of the table"))?;
        }
        let got = generated(&model, &prompts, &options(), 20)?;
        ensure(got == want, format!("{name} of {value}: {got:?}, want {want:?}"))?;
    }
    let needed = whole.plan_generation(3, 4)?.layers.size();
    for (budget, enough) in [(needed, true), (needed - 1, false)] {
        let model = by_step(&target.open(&OpenOptions::default().memory_budget(budget))?, &params)?;
        let planned = model.plan_generation(3, 4).is_ok();
        ensure(planned == enough, format!("a budget of {budget} for {needed} bytes: {planned}"))?;
    }
    Ok(())
}

// --- state ---------------------------------------------------------------------------------------

/// Generators of one model do not influence each other or the model's forward passes.
pub fn generators_are_independent(target: &Target) -> Result<(), Failed> {
    let model = model(&target.device()?, Kind::Lstm)?;
    let [first, second]: [&[&[u32]]; 2] = [&[&[1, 2, 3], &[4]], &[&[5, 6], &[7, 8, 9]]];
    let want =
        [generated(&model, first, &options(), 10)?, generated(&model, second, &greedy(), 10)?];
    let mut generators = [model.generate(first, &options())?, model.generate(second, &greedy())?];
    let mut got = [vec![Vec::new(); 2], vec![Vec::new(); 2]];
    for _ in 0..10 {
        for (generator, texts) in generators.iter_mut().zip(&mut got) {
            for (text, token) in texts.iter_mut().zip(generator.next().ok_or("there is no end")??) {
                text.push(token);
            }
        }
        model.forward(&[0, 1, 2, 3], 2, None)?;
    }
    ensure(got == want, format!("got {got:?}, want {want:?}"))
}

/// Concatenates states along the batch.
fn beside(states: &[State]) -> State {
    let rows = |of: &dyn Fn(&State) -> Option<Tensor>| {
        let swapped: Vec<Tensor> =
            states.iter().filter_map(of).map(|tensor| crate::parts::swapped(&tensor)).collect();
        (!swapped.is_empty()).then(|| crate::parts::swapped(&joined(&swapped)))
    };
    let c = rows(&|state| state.c.clone());
    rows(&|state| Some(state.h.clone()))
        .map(|h| State { h, c })
        .unwrap_or_else(|| states[0].clone())
}

/// The state is that of a forward pass over all that the device reads: the prompts, and every token
/// but the last.
pub fn states(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let prompts: [&[u32]; 3] = [&[3, 1, 4, 1], &[1], &[16, 0]];
    for &kind in Kind::ALL {
        let model = model(&device, kind)?;
        let mut generator = model.generate(&prompts, &options())?;
        let mut texts = prompts.map(<[u32]>::to_vec).to_vec();
        for taken in [0, 1, 3, 1, 4] {
            if taken > 0 {
                for (text, more) in texts.iter_mut().zip(take(&mut generator, taken)?) {
                    text.extend(more);
                }
            }
            let state = generator.state()?;
            // After the first token of a chunk the device is three tokens ahead.
            if texts[1].len() % 4 != 1 {
                continue;
            }
            let alone = |text: &Vec<u32>| match &text[..text.len() - 1] {
                [] => model.init_hidden(1),
                read => model.forward(read, 1, None).map(|(_, state)| state),
            };
            let want = beside(&texts.iter().map(alone).collect::<Result<Vec<_>, _>>()?);
            ensure(
                state == want,
                format!("{kind}: the state after {} tokens", texts[1].len() - 1),
            )?;
            let row = state_part(&state, |tensor| along_second(tensor, std::iter::once(1)));
            let begun = texts[1].len() > 1;
            ensure(
                (row != model.init_hidden(1)?) == begun,
                format!("{kind}: a prompt of one token begins with zeros"),
            )?;
        }
        ensure(texts[1].len() == 10, "the tokens that were taken")?;
    }
    Ok(())
}

// --- refusals ------------------------------------------------------------------------------------

/// A row that cannot be drawn gives one error, which names the place. The generator then ends.
pub fn nothing_to_draw_from(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let config = LanguageModelConfig::new(Kind::Gru, 5, 3, 4, 1);
    // Token 3 is the likeliest in every state, and its embedding is NaN.
    let poisoned = LanguageModelParams::from_fn(&config, |name, shape| {
        let mut values = vec![0.0; shape.iter().product()];
        match name {
            "encoder.weight" => values[9..12].fill(f32::NAN),
            "decoder.bias" => values[3] = 9.0,
            _ => {}
        }
        Ok(values)
    })?;
    let model = by_step(&device, &poisoned)?;
    for options in [greedy(), options().top_k(1), options().temperature(0.1)] {
        // Row 1 begins with the token; row 0 draws it and fails one position later.
        for (prompts, row, tokens) in [(&[&[1_u32, 2][..], &[1]][..], 0, 1), (&[&[1], &[3]], 1, 0)]
        {
            let mut generator = model.generate(prompts, &options)?;
            for _ in 0..tokens {
                let token = generator.next().ok_or("a token")??;
                ensure(token == [3, 3], format!("{options:?}: {token:?}"))?;
            }
            let message = generator.next().ok_or("an error")?.map_err(|error| error.to_string());
            let want = format!(
                "nothing can be drawn for row {row} at position {tokens}: its logits have NaN, or \
                 the largest is infinite"
            );
            ensure(message == Err(want.clone()), format!("{options:?}: {message:?}, want {want}"))?;
            for _ in 0..3 {
                ensure(
                    generator.next().is_none(),
                    format!("{options:?}: after an error there are no more"),
                )?;
            }
        }
    }
    // A NaN embedding early in the prompt turns the state into NaN.
    let mut generator = model.generate(&[&[3, 0]], &greedy())?;
    ensure(generator.next().is_some_and(|step| step.is_err()), "a state of NaN")
}

/// Prompts and options out of range are refused.
pub fn refusals(target: &Target) -> Result<(), Failed> {
    let model = model(&target.device()?, Kind::Gru)?;
    let refused = |prompts: &[&[u32]], options: GenerateOptions, want: &str| {
        let message =
            model.generate(prompts, &options).map(drop).map_err(|error| error.to_string());
        ensure(message == Err(want.to_owned()), format!("{message:?}, want {want}"))
    };
    refused(&[], options(), "there is nothing to generate: no prompt was given")?;
    refused(&[&[1], &[]], options(), "prompt 1 is empty: give at least one token")?;
    refused(
        &[&[1], &[2, 17]],
        options(),
        "index out of range in self: prompts[1][1] is 17, expected 0 to 16",
    )?;
    refused(
        &[&[u32::MAX]],
        options(),
        "index out of range in self: prompts[0][0] is 4294967295, expected 0 to 16",
    )?;
    for (temperature, shown) in
        [(-1.0, "-1"), (f32::NAN, "NaN"), (f32::INFINITY, "inf"), (-f32::INFINITY, "-inf")]
    {
        let want = format!("temperature should be a finite number of at least 0, got {shown}");
        refused(&[&[1]], options().temperature(temperature), &want)?;
    }
    for (top_p, shown) in [(0.0, "0"), (-0.5, "-0.5"), (1.5, "1.5"), (f32::NAN, "NaN")] {
        let want = format!("top_p should be greater than 0 and at most 1, got {shown}");
        refused(&[&[1]], options().top_p(top_p), &want)?;
    }
    let stop = options().stop(17);
    refused(&[&[1]], stop, "index out of range in self: stop is 17, expected 0 to 16")?;
    for chunk in [0, 4097, usize::MAX] {
        refused(
            &[&[1]],
            options().chunk(chunk),
            &format!("chunk should be 1 to 4096, got {chunk}"),
        )?;
    }
    // The ends of the ranges are accepted.
    let mut text = model.generate(&[&[16]], &options().top_k(usize::MAX).seed(u64::MAX))?;
    ensure(text.next().is_some_and(|step| step.is_ok()), "all tokens, the largest seed")?;
    for temperature in [f32::MIN_POSITIVE, 1e-40, 1e-45] {
        let coldest = generated(&model, &[&[1, 2]], &options().temperature(temperature), 6)?;
        let want = generated(&model, &[&[1, 2]], &greedy(), 6)?;
        ensure(
            coldest == want,
            format!("a temperature of {temperature:e}: {coldest:?}, want {want:?}"),
        )?;
    }
    let hottest = generated(&model, &[&[1, 2]], &options().temperature(f32::MAX), 60)?;
    let different: std::collections::BTreeSet<_> = hottest[0].iter().collect();
    ensure(different.len() > 8, format!("the hottest text draws all alike: {hottest:?}"))
}
