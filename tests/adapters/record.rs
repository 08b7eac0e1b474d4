//! Forward passes recorded into the program's encoders, on the program's device. An uncaptured
//! error panics.

use libtest_mimic::Failed;
use wgpu_rnn::device::OpenOptions;
use wgpu_rnn::pass::{PassBindings, Recorder, TensorBinding};
use wgpu_rnn::wgpu::{self, BufferUsages};
use wgpu_rnn::{Config, Device, Error, Kind, LoadOptions, Params, Rnn, Schedule, State, Tensor};

use crate::brought::request;
use crate::by_hand::same_bits;
use crate::{Machine, Target, ensure, render_loop, seeded};

/// A program with a device that it opened.
pub(crate) struct Program {
    device: wgpu::Device,
    queue: wgpu::Queue,
    /// The same device, as models use it.
    pub(crate) rnn: Device,
}

/// The value of a buffer's unwritten places.
const UNTOUCHED: f32 = -77.0;

impl Program {
    pub(crate) fn open(target: &Target, options: &OpenOptions) -> Result<Self, Failed> {
        let (device, queue) = request(target, |_| {})?;
        let rnn = Device::from_wgpu(
            device.clone(),
            queue.clone(),
            &options.clone().skip_self_test().persistent(false),
        )?;
        Ok(Self { device, queue, rnn })
    }

    /// Returns a buffer with these values, to bind and to read back.
    pub(crate) fn buffer(&self, values: &[f32]) -> wgpu::Buffer {
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: values.len() as u64 * 4,
            usage: BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(values));
        buffer
    }

    pub(crate) fn untouched(&self, shape: [usize; 3]) -> wgpu::Buffer {
        self.buffer(&vec![UNTOUCHED; shape.iter().product()])
    }

    pub(crate) fn encoder(&self) -> wgpu::CommandEncoder {
        self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
    }

    pub(crate) fn submit(&self, encoder: wgpu::CommandEncoder) {
        self.queue.submit([encoder.finish()]);
    }

    /// Records one pass alone and submits it.
    fn run(&self, recorder: &Recorder, bindings: &PassBindings<'_>) -> Result<(), Failed> {
        let mut encoder = self.encoder();
        recorder.bind(bindings)?.record(&mut encoder)?;
        self.submit(encoder);
        Ok(())
    }

    pub(crate) fn read(&self, buffer: &wgpu::Buffer) -> Result<Vec<f32>, Failed> {
        let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: buffer.size(),
            usage: BufferUsages::MAP_READ | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self.encoder();
        encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, None);
        self.submit(encoder);
        staging.map_async(wgpu::MapMode::Read, .., |result| result.expect("a live device"));
        self.device.poll(wgpu::PollType::wait_indefinitely())?;
        let view = staging.get_mapped_range(..)?;
        Ok(bytemuck::pod_collect_to_vec(&view))
    }
}

fn three([a, b, c]: [usize; 3]) -> impl Fn(&Tensor) -> bool {
    move |tensor| tensor.shape() == [a, b, c]
}

/// A recorded pass gives the bits of `forward`, for every kind, with and without states and
/// lengths.
pub fn as_forward(target: &Target) -> Result<(), Failed> {
    let program = Program::open(target, &OpenOptions::default())?;
    let configs = [
        Config::lstm(5, 33).num_layers(2).bidirectional(true),
        Config::lstm(7, 12).proj_size(5).batch_first(true),
        Config::gru(4, 31).bidirectional(true).batch_first(true),
        Config::rnn(3, 9).num_layers(3),
        Config::new(Kind::RnnRelu, 1, 1),
    ];
    for (seed, config) in (0..).zip(configs) {
        let rnn = Rnn::new(&program.rnn, &Params::init(&config, seed)?)?;
        for (seq_len, batch) in [(1, 1), (6, 3)] {
            let recorder = rnn.recorder(seq_len, batch)?;
            let input = seeded::tensor(seed, &recorder.input_shape(), 1.0);
            let h_0 = seeded::tensor(seed + 10, &recorder.h_shape(), 1.0);
            let c_0 = recorder.c_shape().map(|shape| seeded::tensor(seed + 20, &shape, 1.0));
            let lengths: Vec<usize> =
                (0..batch).map(|row| seq_len - row % seq_len.min(3)).collect();
            for (with_state, with_lengths) in
                [(false, false), (true, false), (false, true), (true, true)]
            {
                let state = with_state.then(|| State { h: h_0.clone(), c: c_0.clone() });
                let (want, want_state) = match with_lengths {
                    true => rnn.forward_lengths(&input, &lengths, state.as_ref())?,
                    false => rnn.forward(&input, state.as_ref())?,
                };
                let what = format!(
                    "{config:?}, {seq_len} x {batch}, state {with_state}, lengths {with_lengths}"
                );
                ensure(three(recorder.output_shape())(&want), "the output's shape")?;
                ensure(three(recorder.h_shape())(&want_state.h), "the state's shape")?;
                let theirs = program.buffer(input.data());
                let output = program.untouched(recorder.output_shape());
                let h = program.untouched(recorder.h_shape());
                let c = recorder.c_shape().map(|shape| program.untouched(shape));
                let h_given = program.buffer(h_0.data());
                let c_given = c_0.as_ref().map(|c_0| program.buffer(c_0.data()));
                // A length beyond T counts as T, and a word that is a NaN as a float stays
                // unchanged.
                let word =
                    |&length: &usize| if length == seq_len { u32::MAX } else { length as u32 };
                let words: Vec<f32> = lengths.iter().map(word).map(f32::from_bits).collect();
                let words = program.buffer(&words);
                let mut bindings = PassBindings::new(&theirs).output(&output).h_n(&h);
                bindings = c.as_ref().map_or(bindings, |c| bindings.c_n(c));
                if with_state {
                    bindings = bindings.h_0(&h_given);
                    bindings = c_given.as_ref().map_or(bindings, |c| bindings.c_0(c));
                }
                if with_lengths {
                    bindings = bindings.lengths(&words);
                }
                program.run(&recorder, &bindings)?;
                same_bits(&what, &program.read(&output)?, want.data())?;
                same_bits(&what, &program.read(&h)?, want_state.h.data())?;
                if let (Some(c), Some(want)) = (&c, &want_state.c) {
                    same_bits(&what, &program.read(c)?, want.data())?;
                }
            }
        }
    }
    Ok(())
}

/// Tensors may have any offset and strides, and share a buffer. Values between them stay unchanged.
pub fn layouts(target: &Target) -> Result<(), Failed> {
    let program = Program::open(target, &OpenOptions::default())?;
    let config = Config::gru(5, 6).bidirectional(true);
    let rnn = Rnn::new(&program.rnn, &Params::init(&config, 1)?)?;
    let (seq_len, batch, width) = (4, 3, 12);
    let recorder = rnn.recorder(seq_len, batch)?;
    let input = seeded::tensor(2, &recorder.input_shape(), 1.0);
    let (want, want_state) = rnn.forward(&input, None)?;
    // Offsets and strides in values: the input starts at 5, the output at 331.
    for (in_strides, out_strides) in
        [([15, 5, 1], [36, 12, 1]), ([24, 8, 1], [48, 13, 1]), ([5, 20, 1], [12, 50, 1])]
    {
        let mut all = vec![UNTOUCHED; 1024];
        let at = |start: usize, strides: [usize; 3], t: usize, b: usize| {
            start + t * strides[0] + b * strides[1]
        };
        let rows = || (0..seq_len).flat_map(|t| (0..batch).map(move |b| (t, b)));
        for (t, b) in rows() {
            all[at(5, in_strides, t, b)..][..5].copy_from_slice(input.row(t * batch + b));
        }
        let buffer = program.buffer(&all);
        for (t, b) in rows() {
            all[at(331, out_strides, t, b)..][..width].copy_from_slice(want.row(t * batch + b));
        }
        all[900..][..want_state.h.data().len()].copy_from_slice(want_state.h.data());
        let bindings =
            PassBindings::new(TensorBinding::from(buffer.slice(20..)).strides(in_strides))
                .output(TensorBinding::from(buffer.slice(331 * 4..800 * 4)).strides(out_strides))
                .h_n(buffer.slice(900 * 4..));
        program.run(&recorder, &bindings)?;
        same_bits(&format!("{in_strides:?}, {out_strides:?}"), &program.read(&buffer)?, &all)?;
    }
    // Windows of 5 samples, 2 apart, as in a signal cut into frames.
    let signal = seeded::tensor(3, &[1, 1, 32], 1.0);
    let one = rnn.recorder(seq_len, 1)?;
    let frames: Vec<f32> =
        (0..seq_len).flat_map(|t| signal.data()[3 + 2 * t..][..5].to_vec()).collect();
    let (want, _) = rnn.forward(&Tensor::new([seq_len, 1, 5], frames)?, None)?;
    let (samples, output) = (program.buffer(signal.data()), program.untouched(one.output_shape()));
    let windows = TensorBinding::from(samples.slice(12..)).strides([2, 0, 1]);
    program.run(&one, &PassBindings::new(windows).output(&output))?;
    same_bits("windows", &program.read(&output)?, want.data())?;
    // The output overwrites the input, which the pass has read by then.
    let same = Rnn::new(&program.rnn, &Params::init(&Config::gru(6, 6), 1)?)?;
    let x = seeded::tensor(4, &[seq_len, batch, 6], 1.0);
    let (want, _) = same.forward(&x, None)?;
    let buffer = program.buffer(x.data());
    program.run(&same.recorder(seq_len, batch)?, &PassBindings::new(&buffer).output(&buffer))?;
    same_bits("in place", &program.read(&buffer)?, want.data())
}

/// Passes of one recorder follow each other in one encoder; each starts with the state of the one
/// before.
pub fn one_after_the_other(target: &Target) -> Result<(), Failed> {
    let program = Program::open(target, &OpenOptions::default())?;
    let rnn = Rnn::new(&program.rnn, &Params::init(&Config::lstm(5, 20).num_layers(2), 1)?)?;
    let (pieces, steps, batch) = (4, 3, 2);
    let recorder = rnn.recorder(steps, batch)?;
    let input = seeded::tensor(5, &[pieces * steps, batch, 5], 1.0);
    let (want, want_state) = rnn.forward(&input, None)?;
    let x = program.buffer(input.data());
    let y = program.untouched([pieces * steps, batch, 20]);
    let h = program.untouched(recorder.h_shape());
    let c = program.untouched([2, batch, 20]);
    // An unrelated pass in between, with lengths and without the state.
    let other = seeded::tensor(6, &recorder.input_shape(), 1.0);
    let (x_other, y_other) =
        (program.buffer(other.data()), program.untouched(recorder.output_shape()));
    let lengths = program.buffer(&[1, 0].map(f32::from_bits));
    let in_between =
        recorder.bind(&PassBindings::new(&x_other).lengths(&lengths).output(&y_other))?;
    let mut encoder = program.encoder();
    for piece in 0..pieces {
        let (x_at, y_at) = (piece * steps * batch * 5 * 4, piece * steps * batch * 20 * 4);
        let bindings = PassBindings::new(x.slice(x_at as u64..))
            .output(y.slice(y_at as u64..))
            .h_n(&h)
            .c_n(&c);
        let bindings = if piece == 0 { bindings } else { bindings.h_0(&h).c_0(&c) };
        recorder.bind(&bindings)?.record(&mut encoder)?;
        in_between.record(&mut encoder)?;
    }
    program.submit(encoder);
    same_bits("output", &program.read(&y)?, want.data())?;
    same_bits("h_n", &program.read(&h)?, want_state.h.data())?;
    same_bits("c_n", &program.read(&c)?, want_state.c.ok_or("an LSTM")?.data())?;
    let (want, _) = rnn.forward_lengths(&other, &[1, 0], None)?;
    same_bits("in between", &program.read(&y_other)?, want.data())?;
    // A pass outlives its recorder, its module and the program's handles of the buffers.
    let last = Rnn::new(&program.rnn, &Params::init(&Config::gru(5, 6), 1)?)?;
    let (want, _) = last.forward(&other, None)?;
    let out = program.untouched([steps, batch, 6]);
    let pass =
        last.recorder(steps, batch)?.bind(&PassBindings::new(&x_other.clone()).output(&out))?;
    drop((last, x_other));
    let mut encoder = program.encoder();
    pass.record(&mut encoder)?;
    program.submit(encoder);
    same_bits("the last one", &program.read(&out)?, want.data())
}

/// Passes of several segments and of several parts.
pub fn cut(target: &Target) -> Result<(), Failed> {
    let config = Config::lstm(5, 33).num_layers(2).bidirectional(true);
    let params = Params::init(&config, 3)?;
    let input = seeded::tensor(7, &[10, 2, 5], 1.0);
    let options = OpenOptions::default().limit("max_storage_buffer_binding_size", 8192);
    let program = Program::open(target, &options)?;
    let rnn = Rnn::new(&program.rnn, &params)?;
    let recorder = rnn.recorder(10, 2)?;
    ensure(recorder.plan().segments.len() > 2, format!("cut into {:?}", recorder.plan().segments))?;
    let (want, _) = rnn.forward(&input, None)?;
    let (x, y) = (program.buffer(input.data()), program.untouched(recorder.output_shape()));
    program.run(&recorder, &PassBindings::new(&x).output(&y))?;
    same_bits("segments", &program.read(&y)?, want.data())?;

    let program =
        Program::open(target, &OpenOptions::default().limit("max_work_per_submission", 8_000_000))?;
    // A run can be cut between steps.
    let rnn =
        Rnn::with_options(&program.rnn, &params, &LoadOptions::new().schedule(Schedule::Step))?;
    let recorder = rnn.recorder(10, 2)?;
    let (want, _) = rnn.forward(&input, None)?;
    let (x, y) = (program.buffer(input.data()), program.untouched(recorder.output_shape()));
    let pass = recorder.bind(&PassBindings::new(&x).output(&y))?;
    let parts = pass.parts();
    ensure(parts > 2, format!("{parts} parts"))?;
    let mut encoder = program.encoder();
    let whole = pass.record(&mut encoder);
    const WORK: &str = "max_work_per_submission";
    let named = matches!(
        whole,
        Err(Error::Limit { limit: WORK, allowed: 8_000_000, needed, .. }) if needed > 8_000_000
    );
    ensure(named, format!("{whole:?}"))?;
    let beyond = pass.record_part(&mut encoder, parts).map_err(|error| error.to_string());
    let want_error = format!("there is no part {parts}: the pass has {parts}, counted from 0");
    ensure(beyond == Err(want_error), format!("{beyond:?}"))?;
    for part in 0..parts {
        pass.record_part(&mut encoder, part)?;
        program.submit(std::mem::replace(&mut encoder, program.encoder()));
    }
    same_bits("parts", &program.read(&y)?, want.data())
}

/// Asserts that a call fails with this message.
fn refused<T>(what: &str, outcome: wgpu_rnn::Result<T>, message: &str) -> Result<(), Failed> {
    match outcome {
        Ok(_) => Err(Failed::from(format!("{what}: accepted, want '{message}'"))),
        Err(error) => {
            ensure(error.to_string() == message, format!("{what}: '{error}', want '{message}'"))
        }
    }
}

/// Every error that can be found before submission names its cause.
pub fn refusals(target: &Target) -> Result<(), Failed> {
    let program = Program::open(target, &OpenOptions::default())?;
    let lstm = Rnn::new(&program.rnn, &Params::init(&Config::lstm(3, 4), 0)?)?;
    let gru = Rnn::new(&program.rnn, &Params::init(&Config::gru(3, 4), 0)?)?;
    let recorder = lstm.recorder(5, 2)?;
    let (input, output) = (program.untouched([5, 2, 3]), program.untouched([5, 2, 4]));
    let state = program.untouched([1, 2, 4]);
    let bind = |bindings: PassBindings<'_>| recorder.bind(&bindings);
    let whole = PassBindings::new(&input).output(&output);
    drop(bind(whole)?);
    let strided = |strides| TensorBinding::from(&output).strides(strides);

    let plain = program.device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 1024,
        usage: BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let want = "input: expected a buffer with the usage STORAGE, got BufferUsages(COPY_DST)";
    refused("usage", bind(PassBindings::new(&plain).output(&output)), want)?;
    let want = "output: expected an offset of a multiple of 4 bytes, got 6";
    refused("offset", bind(PassBindings::new(&input).output(output.slice(6..))), want)?;
    let want = "output: expected features side by side, a last stride of 1, got strides (8, 4, 2)";
    refused("features apart", bind(PassBindings::new(&input).output(strided([8, 4, 2]))), want)?;
    let want = "output: expected a separate place for each value of (5, 2, 4), but strides (8, \
                3, 1) put several into one";
    refused("too close", bind(PassBindings::new(&input).output(strided([8, 3, 1]))), want)?;
    let want = "input: expected (5, 2, 3) with strides (6, 3, 1), which from byte 4 on ends at \
                byte 124, but the buffer or slice ends at 120";
    refused("too small", bind(PassBindings::new(input.slice(4..)).output(&output)), want)?;
    let want = "output: expected (5, 2, 4) with strides (1000000000000000000, 4, 1), which from \
                byte 0 on ends at byte 16000000000000000032, but the buffer or slice ends at 160";
    refused(
        "far apart",
        bind(PassBindings::new(&input).output(strided([1_000_000_000_000_000_000, 4, 1]))),
        want,
    )?;
    let want = "h_n: expected bytes that no other tensor is written to, but 128..160 overlap \
                0..160 of output";
    refused("overlap", bind(whole.h_n(output.slice(128..))), want)?;
    refused(
        "nothing",
        bind(PassBindings::new(&input)),
        "nothing is written: give output, h_n or c_n",
    )?;
    refused("c alone", bind(whole.c_0(&state)), "c_0 is given without h_0")?;
    refused(
        "h alone",
        bind(whole.h_0(&state)),
        "LSTM: expected the initial state (h_0, c_0), got h_0 only",
    )?;
    let of_gru = gru.recorder(5, 2)?;
    let want =
        "GRU: expected the initial state h_0 only, got (h_0, c_0); only LSTM has a cell state";
    refused("c_0 of a GRU", of_gru.bind(&whole.h_0(&state).c_0(&state)), want)?;
    let want = "c_n: a GRU has no cell state; only LSTM has";
    refused("c_n of a GRU", of_gru.bind(&whole.c_n(&state)), want)?;
    refused("no steps", gru.recorder(0, 2), "Expected sequence length to be larger than 0 in RNN")?;
    let none = "a batch of 0 rows has nothing to plan: its results are empty";
    refused("no rows", gru.recorder(5, 0), none)?;

    let backwards = Params::init(&Config::gru(3, 4).reverse(true), 0)?;
    let backwards = Rnn::new(&program.rnn, &backwards)?.recorder(5, 2);
    let want = "unsupported: recording of a module with reverse=True: only a bidirectional \
                module's reverse direction is recorded; use forward()";
    refused("a reverse module", backwards, want)?;

    let cpu = Rnn::new(&Device::cpu(), &Params::init(&Config::gru(3, 4), 0)?)?;
    let want = "unsupported: recording on the cpu, which has no command encoders; use forward(), \
                or a device of wgpu";
    refused("the CPU", cpu.recorder(5, 2), want)?;
    let other = Program::open(target, &OpenOptions::default())?;
    let foreign = bind(PassBindings::new(&other.untouched([5, 2, 3])).output(&output)).map(drop);
    let named = matches!(&foreign, Err(Error::Option(message))
        if message.starts_with("input: expected a buffer of the module's device"));
    ensure(named, format!("another device: {foreign:?}"))?;
    let dead = program.untouched([5, 2, 4]);
    dead.destroy();
    let dead = bind(PassBindings::new(&input).output(&dead)).map(drop);
    let named = matches!(&dead, Err(Error::Option(message))
        if message.starts_with("output: expected a buffer of the module's device"));
    ensure(named, format!("destroyed: {dead:?}"))?;
    bind(whole)?.record(&mut program.encoder())?;

    let small = Program::open(
        target,
        &OpenOptions::default().limit("max_storage_buffer_binding_size", 4096),
    )?;
    let rnn = Rnn::new(&small.rnn, &Params::init(&Config::gru(3, 4), 0)?)?;
    let apart = small.untouched([1, 1, 4096]);
    let apart = TensorBinding::from(&apart).strides([1000, 3, 1]);
    let limit = rnn.recorder(3, 2)?.bind(&PassBindings::new(apart).output(apart)).map(drop);
    let named = matches!(
        limit,
        Err(Error::Limit {
            limit: "max_storage_buffer_binding_size",
            needed: 8024,
            allowed: 4096,
            ..
        })
    );
    ensure(named, format!("beyond a binding: {limit:?}"))?;
    let rows = rnn.recorder(1, 1000).map(drop);
    ensure(matches!(rows, Err(Error::Limit { .. })), format!("rows in several passes: {rows:?}"))?;
    program.device.destroy();
    let gone = bind(whole).map(drop);
    ensure(matches!(gone, Err(Error::DeviceLost { .. })), format!("a lost device: {gone:?}"))
}

/// The example works on every adapter.
pub fn example(target: &Target) -> Result<(), Failed> {
    let Machine::Adapter(entry) = &target.machine else { return Err("a test of adapters".into()) };
    render_loop::compare(&entry.adapter).map(drop).map_err(|error| Failed::from(error.to_string()))
}
