//! Many ticks of a pool by several threads that open and close slots at random: every value is
//! compared with the definition, and memory must not grow.
//!
//! `cargo test --release --test soak` makes a few ticks on the CPU. A full run on one device prints
//! its time and memory:
//!
//! `cargo test --release --test soak -- --ticks 100000 --device NAME`

#[path = "common/memory.rs"]
mod memory;
#[path = "common/ticks.rs"]
mod ticks;

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use wgpu_rnn::internals::params::random::Mt19937;
use wgpu_rnn::internals::reference;
use wgpu_rnn::pool::{Pool, PoolOptions, Slot};
use wgpu_rnn::{Config, Device, Kind, Params, Rnn};

const THREADS: usize = 8;
const SLOTS: usize = 64;
const FEATURES: usize = 6;
const HIDDEN: usize = 20;
const TOLERANCE: f64 = 1e-5;

/// The growth of memory that is allowed from a quarter of the ticks to their end: caches of
/// allocators, and nothing for each tick.
const GROWTH: u64 = 8 << 20;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A sequence in a slot, and its state by the definition.
struct Sequence {
    slot: Slot,
    h: Vec<f32>,
    c: Vec<f32>,
}

/// What all threads share.
struct Soak<'a> {
    params: &'a Params,
    pool: &'a Pool,
    ticks: usize,
    done: AtomicUsize,
    compared: AtomicUsize,
    opened: AtomicUsize,
}

impl Soak<'_> {
    /// Ticks of one thread, on slots of its own, until there are enough of all.
    fn run(&self, thread: usize) -> Outcome<f64> {
        let mut dice = Mt19937::new(thread as u64);
        let mut below = move |bound: usize| dice.next_u32() as usize % bound;
        let mut values = Mt19937::new(1000 + thread as u64);
        let mut own: Vec<Sequence> = Vec::new();
        let mut worst = 0.0_f64;
        while self.done.fetch_add(1, Ordering::Relaxed) < self.ticks {
            if own.is_empty() || (own.len() < SLOTS / THREADS && below(4) == 0) {
                own.push(self.sequence()?);
            } else if below(40) == 0 {
                self.pool.close(own.swap_remove(below(own.len())).slot)?;
            }
            let chosen: Vec<usize> = (0..own.len()).filter(|_| below(3) > 0).collect();
            let inputs: Vec<Vec<f32>> =
                chosen.iter().map(|_| values.uniform_vec(FEATURES, -1.0, 1.0)).collect();
            let given: Vec<(Slot, &[f32])> = chosen
                .iter()
                .zip(&inputs)
                .map(|(&at, input)| (own[at].slot, input.as_slice()))
                .collect();
            let outputs = ticks::outputs(self.pool.tick(&given))?;
            for ((&at, input), got) in chosen.iter().zip(&inputs).zip(&outputs) {
                worst = worst.max(self.compare(&mut own[at], input, got)?);
            }
            self.compared.fetch_add(chosen.len(), Ordering::Relaxed);
        }
        own.into_iter().try_for_each(|sequence| self.pool.close(sequence.slot))?;
        Ok(worst)
    }

    fn sequence(&self) -> Outcome<Sequence> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        let zeros = || vec![0.0; self.params.config().num_layers * HIDDEN];
        Ok(Sequence { slot: self.pool.open()?, h: zeros(), c: zeros() })
    }

    /// One step by the definition; the largest difference.
    fn compare(&self, sequence: &mut Sequence, input: &[f32], got: &[f32]) -> Outcome<f64> {
        let c = (self.params.config().kind == Kind::Lstm).then_some(sequence.c.as_slice());
        let want = reference::forward(self.params, 1, 1, input, Some(&sequence.h), c, None);
        let narrow = |values: &[f64]| values.iter().map(|&value| value as f32).collect();
        (sequence.h, sequence.c) = (narrow(&want.h_n), narrow(&want.c_n));
        if got.len() != want.output.len() {
            return Err(format!("{} values, not {}", got.len(), want.output.len()).into());
        }
        let differences =
            got.iter().zip(&want.output).map(|(&got, want)| (f64::from(got) - want).abs());
        let worst = differences.fold(0.0, f64::max);
        if worst.is_nan() || worst > TOLERANCE || got.iter().any(|value| !value.is_finite()) {
            return Err(format!("{:?}: {got:?} and not {:?}", sequence.slot, want.output).into());
        }
        Ok(worst)
    }
}

impl Soak<'_> {
    /// That [`compare`](Self::compare) can fail.
    fn wrong_values_are_seen(&self) -> Outcome<()> {
        let input = [0.5; FEATURES];
        let mut sequence = self.sequence()?;
        let mut got = ticks::outputs(self.pool.tick(&[(sequence.slot, &input)]))?.concat();
        got[HIDDEN - 1] += 3e-5;
        if self.compare(&mut sequence, &input, &got).is_ok()
            || self.compare(&mut sequence, &input, &got[1..]).is_ok()
        {
            return Err("wrong values pass".into());
        }
        Ok(self.pool.close(sequence.slot)?)
    }
}

fn soak(device: &Device, ticks: usize) -> Outcome<()> {
    let config = Config::lstm(FEATURES, HIDDEN).num_layers(2);
    let params = Params::init(&config, 0)?;
    let rnn = Rnn::new(device, &params)?;
    let pool = rnn.pool(&PoolOptions::new(SLOTS))?;
    let soak = Soak {
        params: &params,
        pool: &pool,
        ticks,
        done: AtomicUsize::new(0),
        compared: AtomicUsize::new(0),
        opened: AtomicUsize::new(0),
    };
    soak.wrong_values_are_seen()?;
    let start = Instant::now();
    let mut early = None;
    let worst = std::thread::scope(|scope| -> Outcome<f64> {
        let soak = &soak;
        let threads: Vec<_> =
            (0..THREADS).map(|thread| scope.spawn(move || soak.run(thread))).collect();
        while threads.iter().any(|thread| !thread.is_finished()) {
            if early.is_none() && soak.done.load(Ordering::Relaxed) >= ticks / 4 {
                early = memory::resident();
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        threads.into_iter().try_fold(0.0, |worst: f64, thread| {
            Ok(worst.max(thread.join().map_err(|_| "a thread panicked")??))
        })
    })?;
    if pool.open_count() != 0 {
        return Err(format!("{} slots are still open", pool.open_count()).into());
    }
    println!(
        "{device}: {ticks} ticks of {THREADS} threads over {SLOTS} slots in {:.1?}, {} sequences, \
         {} steps compared, largest difference {worst:.1e}",
        start.elapsed(),
        soak.opened.into_inner(),
        soak.compared.into_inner()
    );
    let (early, late) = (early, memory::resident());
    if cfg!(target_os = "linux") && (early.is_none() || late.is_none()) {
        return Err("the memory of this process was not measured".into());
    }
    if let (Some(early), Some(late)) = (early, late) {
        println!(
            "memory: {} KiB after a quarter of them, {} KiB at the end",
            early >> 10,
            late >> 10
        );
        if late > early + GROWTH {
            return Err(format!("memory grew from {early} to {late} bytes").into());
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        arguments.iter().position(|a| a == name).and_then(|at| arguments.get(at + 1)).cloned()
    };
    if arguments.iter().any(|argument| argument == "--list") {
        println!("soak: test");
        return ExitCode::SUCCESS;
    }
    let ticks = value("--ticks").map_or(Ok(2000), |ticks| ticks.parse());
    let device = value("--device").unwrap_or_else(|| "cpu".to_owned());
    let ran = || -> Outcome<()> { soak(&Device::open(&device)?, ticks?) };
    match ran() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{device}: {error}");
            ExitCode::FAILURE
        }
    }
}
