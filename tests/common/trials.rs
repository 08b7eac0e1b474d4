//! Trials of functions that panic where they fail, for test programs that have ignored trials.

use libtest_mimic::Trial;

/// A trial that has the name of its function.
pub fn trial(name: &str, run: fn()) -> Trial {
    let run = move || {
        run();
        Ok(())
    };
    Trial::test(name, run)
}

/// A trial for each of these functions.
macro_rules! trials {
    ($($run:path),* $(,)?) => {
        vec![$($crate::trials::trial(stringify!($run), $run)),*]
    };
}

pub(crate) use trials;
