//! Heap allocations of calls once their plan is kept, as the allocator of the process counts them.

#[path = "common/adapters.rs"]
mod adapters;
#[path = "common/ticks.rs"]
mod ticks;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};

use adapters::Wanted;
use libtest_mimic::{Arguments, Failed, Trial};
use wgpu_rnn::device::OpenOptions;
use wgpu_rnn::internals::engine::gpu::AdapterEntry;
use wgpu_rnn::pool::PoolOptions;
use wgpu_rnn::{Cell, Config, Device, Params, Rnn, Tensor};

type Outcome<T> = Result<T, Failed>;

/// The system's allocator, with counters of requests, requested bytes and held bytes of all
/// threads.
struct Counting;

static REQUESTS: AtomicUsize = AtomicUsize::new(0);
static ASKED: AtomicUsize = AtomicUsize::new(0);
static HELD: AtomicIsize = AtomicIsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is handed on as it came; counting allocates nothing.
#[allow(unsafe_code, reason = "an allocator can be watched in no other way")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        REQUESTS.fetch_add(1, Ordering::Relaxed);
        ASKED.fetch_add(layout.size(), Ordering::Relaxed);
        HELD.fetch_add(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// The allocations of several calls, all together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Taken {
    requests: usize,
    bytes: usize,
    /// More than before.
    held: isize,
}

const CALLS: usize = 500;

/// The allocations of [`CALLS`] calls, after a few that make what is kept.
fn steady(mut call: impl FnMut() -> Outcome<()>) -> Outcome<Taken> {
    for _ in 0..5 {
        call()?;
    }
    let now = || {
        (
            REQUESTS.load(Ordering::Relaxed),
            ASKED.load(Ordering::Relaxed),
            HELD.load(Ordering::Relaxed),
        )
    };
    let (requests, bytes, held) = now();
    for _ in 0..CALLS {
        call()?;
    }
    let after = now();
    Ok(Taken { requests: after.0 - requests, bytes: after.1 - bytes, held: after.2 - held })
}

const NOTHING: Taken = Taken { requests: 0, bytes: 0, held: 0 };

fn ensure(condition: bool, message: impl Into<String>) -> Outcome<()> {
    if condition { Ok(()) } else { Err(Failed::from(message.into())) }
}

/// That what is taken is seen.
fn requests_are_counted() -> Outcome<()> {
    let mut kept = Vec::with_capacity(CALLS + 5);
    let taken = steady(|| {
        drop(std::hint::black_box(vec![0_u8; 100]));
        kept.push(std::hint::black_box(Box::new(7_u64)));
        Ok(())
    })?;
    let want = Taken { requests: 2 * CALLS, bytes: 108 * CALLS, held: 8 * CALLS as isize };
    ensure(taken == want, format!("{taken:?} and not {want:?}"))
}

/// A stream on the CPU allocates nothing for a few rows, and a list for each layer's projection of
/// more rows.
fn streams_of_the_cpu() -> Outcome<()> {
    // Threads allocate when they start.
    rayon::broadcast(|_| ());
    let device = Device::cpu();
    let configs = [
        Config::lstm(16, 20).num_layers(2),
        Config::gru(5, 33),
        Config::rnn(3, 7).num_layers(3).batch_first(true),
        Config::lstm(9, 24).proj_size(10),
    ];
    for config in configs {
        let rnn = Rnn::new(&device, &Params::init(&config, 0)?)?;
        for (steps, rows) in [(1, 1), (8, 1), (1, 8), (2, 4), (10, 4)] {
            let shape = if config.batch_first { [rows, steps] } else { [steps, rows] };
            let input = Tensor::zeros([shape[0], shape[1], config.input_size])?;
            let mut output = Tensor::zeros([shape[0], shape[1], config.output_size()])?;
            let mut stream = rnn.stream(rows)?;
            let taken = steady(|| Ok(stream.forward_into(&input, &mut output)?))?;
            let what = format!("{config:?}, {steps} steps of {rows} rows: {taken:?}");
            if steps * rows <= 8 {
                ensure(taken == NOTHING, what)?;
            } else {
                ensure(taken.requests == config.num_layers * CALLS && taken.held == 0, what)?;
            }
        }
    }
    Ok(())
}

/// So does a stream of a cell.
fn cells_of_the_cpu() -> Outcome<()> {
    for config in [Config::lstm(16, 20), Config::gru(5, 33)] {
        let cell = Cell::new(&Device::cpu(), &Params::init(&config, 0)?)?;
        let frame = Tensor::zeros([2, config.input_size])?;
        let mut h = Tensor::zeros([2, config.hidden_size])?;
        let mut stream = cell.stream(2)?;
        let taken = steady(|| Ok(stream.step_into(frame.view(), &mut h)?))?;
        ensure(taken == NOTHING, format!("{config:?}: {taken:?}"))?;
    }
    Ok(())
}

/// Other calls on the CPU allocate what they return.
fn results_of_the_cpu() -> Outcome<()> {
    let rnn = Rnn::new(&Device::cpu(), &Params::init(&Config::lstm(16, 20).num_layers(2), 0)?)?;
    let input = Tensor::zeros([1, 2, 16])?;
    let mut bytes = 0;
    let taken = steady(|| {
        let (output, state) = rnn.forward(&input, None)?;
        let c = state.c.ok_or("an LSTM")?;
        bytes = [&output, &state.h, &c].iter().map(|tensor| size_of_val(tensor.data())).sum();
        Ok(())
    })?;
    // Three tensors of a shape and values each, and what the shapes of states begin with.
    ensure(taken.requests == 7 * CALLS && taken.held == 0, format!("forward: {taken:?}"))?;
    let shapes = taken.bytes / CALLS - bytes;
    ensure(shapes < 200, format!("forward: {shapes} bytes beside the values"))?;
    let mut stream = rnn.stream(2)?;
    let taken = steady(|| Ok(stream.forward(&input).map(drop)?))?;
    ensure(taken.requests == 2 * CALLS && taken.held == 0, format!("a stream: {taken:?}"))?;
    let pool = rnn.pool(&PoolOptions::new(4))?;
    let slot = pool.open()?;
    let taken = steady(|| Ok(ticks::outputs(pool.tick(&[(slot, &[0.0; 16])])).map(drop)?))?;
    ensure(taken.requests <= 5 * CALLS && taken.held == 0, format!("a pool: {taken:?}"))
}

/// On a GPU wgpu allocates encoders and command buffers: the same number in each call, and none
/// stays.
fn calls_of_an_adapter(entry: &AdapterEntry) -> Outcome<()> {
    let device = Device::from_adapter(entry, &OpenOptions::default())?;
    let rnn = Rnn::new(&device, &Params::init(&Config::lstm(16, 20).num_layers(2), 0)?)?;
    let (input, mut output) = (Tensor::zeros([3, 2, 16])?, Tensor::zeros([3, 2, 20])?);
    let mut stream = rnn.stream(2)?;
    let pool = rnn.pool(&PoolOptions::new(4))?;
    let slot = pool.open()?;
    type Call<'a> = &'a mut dyn FnMut() -> Outcome<()>;
    let calls: [(&str, Call<'_>); 3] = [
        ("forward", &mut || Ok(rnn.forward(&input, None).map(drop)?)),
        ("a stream", &mut || Ok(stream.forward_into(&input, &mut output)?)),
        ("a pool", &mut || Ok(ticks::outputs(pool.tick(&[(slot, &[0.0; 16])])).map(drop)?)),
    ];
    for (what, call) in calls {
        let [first, second] = [steady(&mut *call)?, steady(&mut *call)?];
        let what = format!("{what}: {first:?}, then {second:?}");
        // wgpu's own lists grow now and then.
        ensure(first.held.max(second.held) < 64 << 10, what.clone())?;
        ensure(
            second.requests <= first.requests + CALLS / 10 && second.requests <= 250 * CALLS,
            what,
        )?;
    }
    Ok(())
}

fn main() {
    // The counters are those of the process: one trial at a time.
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    let mut trials = vec![
        Trial::test("requests_are_counted", requests_are_counted),
        Trial::test("cpu::streams", streams_of_the_cpu),
        Trial::test("cpu::cells", cells_of_the_cpu),
        Trial::test("cpu::results", results_of_the_cpu),
    ];
    for Wanted { name, entry } in adapters::wanted() {
        let ignored = entry.is_none() && !adapters::required();
        let run = move || calls_of_an_adapter(&entry.ok_or("this machine has no such adapter")?);
        trials.push(Trial::test(format!("{name}::calls"), run).with_ignored_flag(ignored));
    }
    libtest_mimic::run(&arguments, trials).exit();
}
