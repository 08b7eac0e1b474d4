//! The number of threads of a product: it follows from the work. No sum depends on it.

use std::error::Error as _;
use std::sync::Arc;

use rayon::prelude::*;

use crate::error::{Error, Result};

/// The threads of a device: those of rayon's global pool, or fewer in a pool for this device.
#[derive(Debug, Clone, Default)]
pub struct Threads(Option<Arc<rayon::ThreadPool>>);

impl Threads {
    /// Returns at most `count` threads: all of the global pool, or a pool of `count`.
    ///
    /// # Errors
    /// [`Error::Option`] for 0; [`Error::Unsupported`] when the system refuses a thread.
    pub fn at_most(count: usize) -> Result<Self> {
        if count == 0 {
            return Err(Error::Option(
                "threads is 0, but the CPU engine needs at least 1; leave the option out to use \
                 all cores"
                    .to_owned(),
            ));
        }
        if ONE_THREAD {
            return Ok(Self::default());
        }
        // The number of threads starts the global pool.
        Self::start()?;
        if count >= rayon::current_num_threads() {
            return Ok(Self::default());
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(count).build();
        let refused = |error| Error::Unsupported(format!("{count} threads: {error}"));
        Ok(Self(Some(Arc::new(pool.map_err(refused)?))))
    }

    /// Starts the global pool, unless it runs. Its first use would panic where the system refuses a
    /// thread, as it does without memory for a stack.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when the system refuses a thread.
    pub fn start() -> Result<()> {
        // Without threads the pool is the calling thread. Only its first use makes it so.
        if ONE_THREAD {
            return Ok(());
        }
        // Without a cause the pool is there already.
        match rayon::ThreadPoolBuilder::new().build_global() {
            Err(error) if error.source().is_some() => {
                Err(Error::Unsupported(format!("the threads of the CPU engine: {error}")))
            }
            _ => Ok(()),
        }
    }

    /// Calls `work` on a thread of the pool. Inside the pool each product begins at once. A thread
    /// outside would sleep until the pool has woken, worked and woken it.
    pub fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match &self.0 {
            _ if ONE_THREAD => work(),
            Some(pool) => pool.install(work),
            None => rayon::scope(|_| work()),
        }
    }
}

/// The least multiply-adds of a thread. They take 25 to 80 µs. A fork with its join takes 5 to 10,
/// so that two threads gain more than they lose.
const WORK_OF_A_THREAD: u64 = 1 << 19;

/// Parts per thread, where all threads work. With several, an interrupted thread does not delay the
/// others. Fewer threads have one part each: an idle thread takes the part of an interrupted one.
const PARTS_PER_THREAD: usize = 4;

/// Whether the machine has one thread only, as WebAssembly has. All other code is then left out.
pub const ONE_THREAD: bool = cfg!(target_arch = "wasm32");

/// Returns the number of threads for this number of multiply-adds, at most `available`.
///
/// Each thread has enough work to pay for its fork. More available threads therefore never make a
/// small product slower.
pub(super) fn threads_for(multiply_adds: u64, available: usize) -> usize {
    if ONE_THREAD {
        return 1;
    }
    let paid = usize::try_from(multiply_adds / WORK_OF_A_THREAD).unwrap_or(usize::MAX);
    paid.clamp(1, available.max(1))
}

/// Returns the number of threads of the pool for a product `[M, K] · [K, N]`.
pub(super) fn threads(m: usize, n: usize, k: usize) -> usize {
    if ONE_THREAD {
        return 1;
    }
    let work = (m as u64).saturating_mul(n as u64).saturating_mul(k as u64);
    // The count of the pool costs more than a small product may.
    if threads_for(work, 2) == 1 { 1 } else { threads_for(work, rayon::current_num_threads()) }
}

/// Calls `of_row` with the index of each row of `y`, `[rows, ·]` at a stride, and with its values
/// up to the next row. A row has as much work as `work` multiply-adds; threads share many rows.
pub(super) fn each_row(
    y: &mut [f32],
    [rows, stride, work]: [usize; 3],
    of_row: impl Fn(usize, &mut [f32]) + Sync,
) {
    let of_row = |(row, y): (usize, &mut [f32])| of_row(row, y);
    match threads(rows, work, 1) {
        1 => y.chunks_mut(stride).take(rows).enumerate().for_each(of_row),
        threads => {
            let least = rows.div_ceil(parts_for(threads, rayon::current_num_threads()));
            let rows = y.par_chunks_mut(stride).take(rows).enumerate();
            rows.with_min_len(least).for_each(of_row);
        }
    }
}

/// Returns the number of parts for a number of threads.
pub(super) fn parts_for(threads: usize, available: usize) -> usize {
    if threads > 1 && threads == available { threads * PARTS_PER_THREAD } else { threads }
}

#[cfg(test)]
mod tests {
    use super::{Threads, WORK_OF_A_THREAD, each_row, parts_for, threads, threads_for};

    #[test]
    fn a_count_bounds_the_threads_and_zero_is_refused() {
        let all = rayon::current_num_threads();
        for count in [1, 2, all, all + 1] {
            let threads = Threads::at_most(count).expect("a count of threads");
            assert_eq!(threads.run(rayon::current_num_threads), count.min(all), "of {count}");
        }
        let error = Threads::at_most(0).expect_err("no thread cannot work").to_string();
        assert!(error.starts_with("threads is 0, but"), "{error}");
    }

    #[test]
    fn threads_follow_from_the_work() {
        let works = (0..=40).flat_map(|power| [(1_u64 << power) - 1, 1 << power, 3 << power]);
        for work in works.chain([u64::MAX]) {
            let counts = (0..=200).map(|available| threads_for(work, available));
            let counts: Vec<usize> = counts.collect();
            assert!(counts.is_sorted(), "{work}: fewer threads of more: {counts:?}");
            for (available, &threads) in counts.iter().enumerate() {
                assert!((1..=available.max(1)).contains(&threads), "{work}: {threads}");
                let each = work / threads as u64;
                assert!(threads == 1 || each >= WORK_OF_A_THREAD, "{work}: {threads} of {each}");
            }
        }
        // A step of 320 units stays on one thread; one of 512 takes two of sixteen.
        assert_eq!(threads_for(320 * 4 * 320, 16), 1);
        assert_eq!(threads_for(512 * 4 * 512, 16), 2);
        assert_eq!(threads_for(1024 * 4 * 1024, 16), 8);
        assert_eq!(threads_for(64 * 1024 * 4 * 1024, 16), 16);
        assert_eq!(threads(1, 320 * 4, 320), 1);
        assert_eq!(threads(1024, 4096, 4096), rayon::current_num_threads());
        assert_eq!(
            [(1, 1), (1, 2), (2, 2), (2, 16), (16, 16)].map(|(t, a)| parts_for(t, a)),
            [1, 1, 8, 2, 64]
        );
    }

    #[test]
    fn rows_are_visited_once_by_one_thread_or_by_many() {
        for work in [1, 1 << 22] {
            // The last row ends before its stride does.
            let mut y = vec![0.0; 5 * 7 + 2];
            each_row(&mut y, [6, 7, work], |row, y| y[..2].fill(row as f32 + 1.0));
            let want = (0..6).flat_map(|row| [row as f32 + 1.0; 2].into_iter().chain([0.0; 5]));
            assert_eq!(y, want.take(5 * 7 + 2).collect::<Vec<f32>>(), "{work} of a row");
        }
    }
}
