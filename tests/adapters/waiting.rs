//! Calls that wait: in threads, as futures of any executor, and as futures that the caller drops.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Wake, Waker};

use libtest_mimic::Failed;
use wgpu_rnn::device::OpenOptions;
use wgpu_rnn::internals::engine::gpu::Polling;
use wgpu_rnn::language_model::{GenerateOptions, LanguageModel, LanguageModelConfig};
use wgpu_rnn::wgpu;
use wgpu_rnn::{
    Activation, Cell, Config, Device, Embedding, Error, ForwardOptions, Kind, Linear, Params, Rnn,
    State, Tensor,
};

use crate::brought::{example, request};
use crate::{Machine, Target, ensure, language_model, seeded};

/// A waker that records whether it was called.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Polls a future once.
pub fn poll_once<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A minimal executor: one thread, which sleeps until woken.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Sleeper(std::thread::Thread);
    impl Wake for Sleeper {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Sleeper(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

fn tokio() -> Result<tokio::runtime::Runtime, Failed> {
    Ok(tokio::runtime::Builder::new_current_thread().build()?)
}

/// The executor that awaits a future.
#[derive(Debug, Clone, Copy)]
enum Executor {
    Own,
    Tokio,
}

impl Executor {
    fn run<T>(self, future: impl Future<Output = T>) -> Result<T, Failed> {
        match self {
            Self::Own => Ok(block_on(future)),
            Self::Tokio => Ok(tokio()?.block_on(future)),
        }
    }
}

/// Opens a device with `open_async` or one of its siblings.
async fn open(target: &Target, options: &OpenOptions) -> wgpu_rnn::Result<Device> {
    match &target.machine {
        Machine::Cpu => Device::open_with_async("cpu", options).await,
        Machine::Adapter(entry) => Device::from_adapter_async(entry, options).await,
    }
}

/// Asynchronous functions give the results of the blocking ones, on every executor.
pub fn futures(target: &Target) -> Result<(), Failed> {
    let (params, input) = example()?;
    for executor in [Executor::Own, Executor::Tokio] {
        let device = executor.run(open(target, &OpenOptions::default()))??;
        let rnn = Arc::new(Rnn::new(&device, &params)?);
        let want = rnn.forward(&input, None)?;
        let lengths = [5, 1, 0];
        let options = ForwardOptions::new().lengths(&lengths);
        let want_lengths = rnn.forward_with(&input, &options)?;
        let awaited = async {
            let (output, state) = rnn.forward_async(&input, None).await?;
            let again = rnn.forward_with_async(&input, &options).await?;
            Ok::<_, Error>(((output, state), again))
        };
        let (got, got_lengths) = executor.run(awaited)??;
        ensure(got == want, format!("{executor:?}: forward_async"))?;
        ensure(got_lengths == want_lengths, format!("{executor:?}: forward_with_async"))?;
    }
    // Concurrent tasks on one thread, each with its own model and with a shared one.
    let device = target.device()?;
    let rnn = Arc::new(Rnn::new(&device, &params)?);
    let want = rnn.forward(&input, None)?;
    let outcomes: Vec<_> = tokio()?.block_on(async {
        let tasks: Vec<_> = (0..6)
            .map(|_| {
                let (rnn, input) = (Arc::clone(&rnn), input.clone());
                tokio::task::spawn(async move { rnn.forward_async(&input, None).await })
            })
            .collect();
        let mut outcomes = Vec::new();
        for task in tasks {
            outcomes.push(task.await);
        }
        outcomes
    });
    for outcome in outcomes {
        ensure(outcome?? == want, "side by side")?;
    }
    Ok(())
}

/// The other modules' futures.
pub fn modules(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let input = seeded::tensor(1, &[3, 2, 5], 1.0);
    let gru = Rnn::new(&device, &Params::init(&Config::gru(5, 6), 0)?)?;
    let want = gru.forward(&input, None)?;
    let mut stream = gru.stream(2)?;
    ensure(block_on(stream.forward_async(&input))? == want.0, "Stream::forward_async")?;
    ensure(block_on(stream.state_async())? == want.1, "Stream::state_async")?;
    stream.reset();
    let mut output = Tensor::zeros(want.0.shape())?;
    block_on(stream.forward_into_async(&input, &mut output))?;
    ensure(output == want.0, "Stream::forward_into_async")?;
    let lengths = [2, 3];
    let want = gru.forward_lengths(&input, &lengths, None)?;
    let got = block_on(gru.forward_lengths_async(input.view(), &lengths, None))?;
    ensure(got == want, "Rnn::forward_lengths_async")?;

    let x = input.clone().reshaped([6, 5])?;
    let cell = Cell::new(&device, &Params::init(&Config::lstm(5, 6), 0)?)?;
    let want = cell.forward(&x, None)?;
    ensure(block_on(cell.forward_async(&x, None))? == want, "Cell::forward_async")?;
    let mut steps = cell.stream(6)?;
    ensure(block_on(steps.step_async(&x))? == want.h, "CellStream::step_async")?;
    ensure(block_on(steps.state_async())? == want, "CellStream::state_async")?;
    steps.reset();
    let mut h = Tensor::zeros(want.h.shape())?;
    block_on(steps.step_into_async(&x, &mut h))?;
    ensure(h == want.h, "CellStream::step_into_async")?;

    let weight = seeded::tensor(2, &[4, 5], 1.0);
    let linear = Linear::new(&device, &weight, None, Activation::Sigmoid)?;
    ensure(block_on(linear.forward_async(&x))? == linear.forward(&x)?, "Linear::forward_async")?;
    let embedding = Embedding::new(&device, &weight, None)?;
    let looked_up = block_on(embedding.forward_async(&[3, 0, 3], &[3]))?;
    ensure(looked_up == embedding.forward(&[3, 0, 3], &[3])?, "Embedding::forward_async")?;

    let config = LanguageModelConfig::new(Kind::Gru, 5, 3, 4, 1);
    let model = LanguageModel::new(&device, &language_model::params(&config)?)?;
    let tokens = [1, 2, 3, 4, 0, 1];
    let options = ForwardOptions::default();
    let want = model.forward_with(&tokens, 2, &options)?;
    ensure(
        block_on(model.forward_with_async(&tokens, 2, &options))? == want,
        "LanguageModel::forward_with_async",
    )?;
    ensure(block_on(model.forward_async(&tokens, 2, None))? == want, "forward_async")?;
    ensure(block_on(model.score_async(&tokens, 2))? == model.score(&tokens, 2)?, "score_async")?;
    let (prompts, options) = ([&tokens[..2], &tokens[3..]], GenerateOptions::default().chunk(2));
    let want: Vec<Vec<u32>> =
        model.generate(&prompts, &options)?.take(5).collect::<Result<_, _>>()?;
    let (mut generator, mut got) =
        (block_on(model.generate_async(&prompts, &options))?, Vec::new());
    while got.len() < 5 {
        got.push(block_on(generator.next_async()).ok_or("an endless text")??);
    }
    ensure(got == want, format!("next_async: {got:?}, want {want:?}"))?;
    ensure(block_on(generator.state_async())? == generator.state()?, "Generator::state_async")
}

/// A future does not block. Dropping it leaves the module unchanged.
pub fn dropped(target: &Target) -> Result<(), Failed> {
    let on_cpu = matches!(target.machine, Machine::Cpu);
    // Long enough that no device finishes before the first poll.
    let (steps, rows) = if on_cpu { (4, 1) } else { (200, 8) };
    let device = target.device()?;
    let rnn = Rnn::new(&device, &Params::init(&Config::lstm(16, 100), 0)?)?;
    let input = seeded::tensor(3, &[steps, rows, 16], 1.0);
    let want = rnn.forward(&input, None)?;
    for _ in 0..3 {
        // Drop one future before its first poll, and one while the device works on it.
        drop(rnn.forward_async(&input, None));
        let first = poll_once(pin!(rnn.forward_async(&input, None)));
        ensure(first.is_ready() == on_cpu, "only the CPU computes in the first poll")?;
        ensure(rnn.forward(&input, None)? == want, "a module whose future was dropped")?;
        ensure(block_on(rnn.forward_async(&input, None))? == want, "the same, awaited")?;
    }
    let mut stream = rnn.stream(rows)?;
    drop(stream.forward_async(&input));
    if poll_once(pin!(stream.forward_async(&input))).is_pending() {
        let lost = "the state of this stream was lost in a call that failed or was dropped; give \
                    it one with set_state() or reset()";
        let state = stream.state();
        ensure(matches!(state, Err(Error::StateLost(_))), format!("{state:?}"))?;
        let told = state.map_err(|error| error.to_string());
        ensure(told == Err(lost.to_owned()), format!("{told:?}"))?;
    }
    stream.reset();
    ensure(stream.forward(&input)? == want.0, "a stream that was reset")?;
    let _ = poll_once(pin!(stream.state_async()));
    ensure(stream.state()? == want.1, "a stream whose state was not waited for")
}

/// Eight threads run a shared module and their own at once, blocking and awaiting, with equal bits.
pub fn threads(target: &Target) -> Result<(), Failed> {
    let (params, input) = example()?;
    let device = target.device()?;
    let rnn = Rnn::new(&device, &params)?;
    let want = rnn.forward(&input, None)?;
    let begin = Barrier::new(8);
    let run = |thread: usize| -> wgpu_rnn::Result<bool> {
        begin.wait();
        let own = Rnn::new(&device, &params)?;
        for call in 0..6 {
            let rnn = if call % 3 == 2 { &own } else { &rnn };
            let got = if (thread + call).is_multiple_of(2) {
                rnn.forward(&input, None)?
            } else {
                block_on(rnn.forward_async(&input, None))?
            };
            if got != want {
                return Ok(false);
            }
        }
        Ok(true)
    };
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|thread| scope.spawn(move || run(thread))).collect();
        threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
    });
    for outcome in outcomes {
        ensure(outcome.map_err(|_| "a thread panicked")??, "threads at once")?;
    }
    Ok(())
}

/// If the program polls its device, that wakes the future.
pub fn program_polls(target: &Target) -> Result<(), Failed> {
    let (device, queue) = request(target, |_| {})?;
    let options = OpenOptions::default().polling(Polling::Program);
    let brought = Device::from_wgpu(device.clone(), queue, &options)?;
    let rnn = Rnn::new(&brought, &Params::init(&Config::lstm(16, 100), 0)?)?;
    let input = seeded::tensor(3, &[200, 8, 16], 1.0);
    let want = rnn.forward(&input, None)?;
    let flag = Arc::new(Flag::default());
    let waker = Waker::from(Arc::clone(&flag));
    let mut future = pin!(rnn.forward_async(&input, None));
    let mut polls = 0;
    loop {
        if let Poll::Ready(got) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            ensure(got? == want, "awaited in a render loop")?;
            break;
        }
        while !flag.0.swap(false, Ordering::SeqCst) {
            device.poll(wgpu::PollType::Poll)?;
            std::thread::yield_now();
        }
        polls += 1;
    }
    ensure(polls == 1, format!("pending {polls} times: woken once, when it is ready"))
}

/// A future ends if its device is lost meanwhile.
pub fn lost(target: &Target) -> Result<(), Failed> {
    let (device, queue) = request(target, |_| {})?;
    let brought = Device::from_wgpu(device.clone(), queue, &OpenOptions::default())?;
    let rnn = Rnn::new(&brought, &Params::init(&Config::lstm(16, 100), 0)?)?;
    let input = Tensor::zeros([200, 8, 16])?;
    let want: (Tensor, State) = rnn.forward(&input, None)?;
    let mut future = pin!(rnn.forward_async(&input, None));
    ensure(poll_once(future.as_mut()).is_pending(), "the device is at it")?;
    device.destroy();
    match block_on(future) {
        Ok(got) => ensure(got == want, "what was under way was finished")?,
        Err(error) => ensure(matches!(error, Error::DeviceLost { .. }), format!("{error}"))?,
    }
    let after = block_on(rnn.forward_async(&input, None));
    ensure(matches!(after, Err(Error::DeviceLost { .. })), format!("{after:?}"))
}
