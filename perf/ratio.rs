//! Ratios of two ways to do the same, taken in one process: both take turns in blocks, and the median of the blocks
//! counts, so that a noisy machine disturbs both alike. A bench includes this file with
//! `#[path = "../../../perf/ratio.rs"] mod ratio;`.
#![allow(dead_code, reason = "each bench uses the part that it needs")]

use std::time::{Duration, Instant};

/// Pairs of blocks that a ratio is the median of.
const BLOCKS: usize = 31;
/// Each block repeats its work for about this long.
const BLOCK: Duration = Duration::from_millis(2);
/// With `--check`, a ratio fails at its goal times this.
const MARGIN: f64 = 1.25;

/// Prints one line for each measurement; with `--check` it ends the process with 1 if a ratio was missed by 25 %.
pub(crate) struct Ratios {
    check: bool,
    missed: Vec<String>,
}

impl Ratios {
    pub(crate) fn from_args() -> Self {
        Self {
            check: std::env::args().any(|argument| argument == "--check"),
            missed: Vec::new(),
        }
    }

    /// `ours` may take at most `goal` times what `theirs` takes.
    pub(crate) fn at_most(
        &mut self,
        name: &str,
        goal: f64,
        ours: impl FnMut(),
        (peer, theirs): (&str, impl FnMut()),
    ) {
        let Measured {
            ours,
            theirs,
            ratio,
        } = measure(ours, theirs);
        let verdict = if ratio <= goal { "met" } else { "missed" };
        println!(
            "{name}: {ours:.1} ns, {peer} {theirs:.1} ns, ratio {ratio:.3} (goal <= {goal}: {verdict})"
        );
        if ratio > goal * MARGIN {
            self.missed.push(format!(
                "{name}: ratio {ratio:.3} is over {MARGIN} x {goal}"
            ));
        }
    }

    /// Only told: absolute times are never a gate.
    pub(crate) fn report(&self, name: &str, work: impl FnMut()) {
        let mut work = work;
        let repeats = repeats(&mut work);
        let mut blocks: Vec<f64> = (0..BLOCKS).map(|_| block(&mut work, repeats)).collect();
        println!("{name}: {:.1} ns", median(&mut blocks));
    }

    /// A count that has to be exact, such as allocations.
    pub(crate) fn exactly(&mut self, name: &str, expected: usize, found: usize) {
        println!("{name}: {found} (goal {expected})");
        if found != expected {
            self.missed
                .push(format!("{name}: {found} instead of {expected}"));
        }
    }

    pub(crate) fn finish(self) {
        for line in &self.missed {
            println!("missed: {line}");
        }
        if self.check && !self.missed.is_empty() {
            std::process::exit(1);
        }
    }
}

struct Measured {
    /// Nanoseconds.
    ours: f64,
    /// Nanoseconds.
    theirs: f64,
    ratio: f64,
}

fn measure(mut ours: impl FnMut(), mut theirs: impl FnMut()) -> Measured {
    let (our_repeats, their_repeats) = (repeats(&mut ours), repeats(&mut theirs));
    let mut blocks: [Vec<f64>; 3] = Default::default();
    for _ in 0..BLOCKS {
        let (a, b) = (
            block(&mut ours, our_repeats),
            block(&mut theirs, their_repeats),
        );
        for (samples, sample) in blocks.iter_mut().zip([a, b, a / b]) {
            samples.push(sample);
        }
    }
    let [ours, theirs, ratio] = blocks.each_mut().map(|samples| median(samples));
    Measured {
        ours,
        theirs,
        ratio,
    }
}

/// How often the work fits into a block; found while it warms up.
fn repeats(work: &mut impl FnMut()) -> u32 {
    let mut repeats = 1;
    loop {
        let spent = block(work, repeats) * f64::from(repeats) / 1e9;
        if spent >= BLOCK.as_secs_f64() || repeats >= 1 << 24 {
            return repeats;
        }
        repeats *= 2;
    }
}

/// Nanoseconds for one repetition.
fn block(work: &mut impl FnMut(), repeats: u32) -> f64 {
    let started = Instant::now();
    for _ in 0..repeats {
        work();
    }
    started.elapsed().as_secs_f64() * 1e9 / f64::from(repeats)
}

fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}
