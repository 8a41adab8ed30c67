//! Ratios of two ways to do the same work, measured in one process: both alternate in blocks, and the median of the
//! blocks counts, so that a noisy machine disturbs both equally.

use std::time::{Duration, Instant};

use cpu_time::ThreadTime;

/// Number of pairs of blocks from which a ratio is computed as the median.
const BLOCKS: usize = 61;
/// Number of pairs for work whose single repetition takes longer than [`LONG`].
const LONG_BLOCKS: usize = 21;
const LONG: Duration = Duration::from_millis(5);
/// Target duration of a block.
const BLOCK: Duration = Duration::from_millis(2);
/// Target duration of a block when alternating with another process: waiting for it cools down caches.
const PEER_BLOCK: Duration = Duration::from_millis(60);
/// With `--check`, a ratio fails above its goal times this factor.
const MARGIN: f64 = 1.25;
/// Maximum number of measurements of a failing ratio: a disturbance does not persist.
const ATTEMPTS: usize = 3;

/// Clock used for measuring.
#[derive(Clone, Copy)]
enum Clock {
    /// Processor time of this thread, which excludes other load of the machine.
    Thread,
    /// Wall-clock time, for work done by other threads.
    Wall,
}

impl Clock {
    /// Returns the duration of the work in seconds.
    fn time(self, work: impl FnOnce()) -> f64 {
        let taken = match self {
            Self::Thread => {
                let started = ThreadTime::now();
                work();
                started.elapsed()
            }
            Self::Wall => {
                let started = Instant::now();
                work();
                started.elapsed()
            }
        };
        taken.as_secs_f64()
    }
}

/// Prints one line per measurement; with `--check` it ends the process with 1 if a ratio was missed by 25 %.
pub struct Ratios {
    clock: Clock,
    check: bool,
    missed: Vec<String>,
}

impl Ratios {
    /// Returns an empty list; with the argument `--check`, [`finish`](Self::finish) fails.
    #[must_use]
    pub fn from_args() -> Self {
        Self {
            clock: Clock::Thread,
            check: std::env::args().any(|argument| argument == "--check"),
            missed: Vec::new(),
        }
    }

    /// Returns `true` if a build depends on the outcome.
    #[must_use]
    pub fn is_check(&self) -> bool {
        self.check
    }

    /// Measures wall-clock time, for work done by other threads.
    #[must_use]
    pub fn by_wall_clock(self) -> Self {
        Self {
            clock: Clock::Wall,
            ..self
        }
    }

    /// Compares two ways: `ours` may take at most `goal` times as long as `theirs`.
    pub fn at_most(
        &mut self,
        name: &str,
        goal: f64,
        mut ours: impl FnMut(),
        (peer, mut theirs): (&str, impl FnMut()),
    ) {
        for attempt in 1..=ATTEMPTS {
            let measured = measure(self.clock, &mut ours, &mut theirs);
            measured.report(name, goal, peer);
            if measured.ratio <= goal * MARGIN {
                return;
            }
            if attempt == ATTEMPTS {
                self.miss(name, goal, measured.ratio);
            }
        }
    }

    /// Compares as [`at_most`](Self::at_most) does, but never fails: for a peer made of other parts, whose relative
    /// cost differs from one processor to the next.
    pub fn aimed_at(
        &self,
        name: &str,
        goal: f64,
        mut ours: impl FnMut(),
        (peer, mut theirs): (&str, impl FnMut()),
    ) {
        measure(self.clock, &mut ours, &mut theirs).report(name, goal, peer);
    }

    /// Compares with a peer that measures itself and returns nanoseconds, such as one in another language.
    ///
    /// # Errors
    ///
    /// Fails if the peer fails.
    pub fn at_most_of<E>(
        &mut self,
        name: &str,
        goal: f64,
        mut ours: impl FnMut(),
        (peer, mut theirs): (&str, impl FnMut() -> Result<f64, E>),
    ) -> Result<(), E> {
        let plan = Plan::of(self.clock, &mut ours).with_blocks_of(PEER_BLOCK, &mut ours);
        let mut blocks = Blocks::default();
        for _ in 0..LONG_BLOCKS {
            blocks.push(plan.block(&mut ours), theirs()?);
        }
        self.judge(name, goal, peer, blocks);
        Ok(())
    }

    /// Compares blocks measured by the bench itself.
    pub fn judge(&mut self, name: &str, goal: f64, peer: &str, blocks: Blocks) {
        let measured = blocks.median();
        measured.report(name, goal, peer);
        if measured.ratio > goal * MARGIN {
            self.miss(name, goal, measured.ratio);
        }
    }

    fn miss(&mut self, name: &str, goal: f64, ratio: f64) {
        self.missed.push(format!(
            "{name}: ratio {ratio:.3} exceeds {MARGIN} x {goal}"
        ));
    }

    /// Prints an absolute time, which is never checked; with `--check` it is not even measured.
    pub fn report(&self, name: &str, work: impl FnMut()) {
        if self.check {
            return;
        }
        let mut work = work;
        let plan = Plan::of(self.clock, &mut work);
        let mut blocks: Vec<f64> = (0..plan.blocks).map(|_| plan.block(&mut work)).collect();
        println!("{name}: {:.1} ns", median(&mut blocks));
    }

    /// Compares a count that has to be exact, such as allocations.
    pub fn exactly(&mut self, name: &str, expected: usize, found: usize) {
        println!("{name}: {found} (goal {expected})");
        if found != expected {
            self.missed
                .push(format!("{name}: expected {expected}, found {found}"));
        }
    }

    /// Prints the missed goals, and with `--check` ends the process with 1 if there are any.
    pub fn finish(self) {
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

fn measure(clock: Clock, mut ours: impl FnMut(), mut theirs: impl FnMut()) -> Measured {
    let our_plan = Plan::of(clock, &mut ours);
    let their_plan = Plan::of(clock, &mut theirs);
    let mut blocks = Blocks::default();
    for _ in 0..our_plan.blocks.min(their_plan.blocks) {
        blocks.push(our_plan.block(&mut ours), their_plan.block(&mut theirs));
    }
    blocks.median()
}

/// Nanoseconds of both ways in each block, and their ratios.
#[derive(Default)]
pub struct Blocks([Vec<f64>; 3]);

impl Blocks {
    /// Adds one pair of blocks, in nanoseconds.
    pub fn push(&mut self, ours: f64, theirs: f64) {
        for (samples, sample) in self.0.iter_mut().zip([ours, theirs, ours / theirs]) {
            samples.push(sample);
        }
    }

    fn median(mut self) -> Measured {
        let [ours, theirs, ratio] = self.0.each_mut().map(|samples| median(samples));
        Measured {
            ours,
            theirs,
            ratio,
        }
    }
}

impl Measured {
    fn report(&self, name: &str, goal: f64, peer: &str) {
        let Self {
            ours,
            theirs,
            ratio,
        } = self;
        let verdict = if *ratio <= goal { "met" } else { "missed" };
        println!(
            "{name}: {ours:.1} ns, {peer} {theirs:.1} ns, ratio {ratio:.4} (goal <= {goal:.4}: {verdict})"
        );
    }
}

/// Measuring plan for some work, determined during warm-up.
struct Plan {
    clock: Clock,
    /// Repetitions per block.
    repeats: u32,
    blocks: usize,
}

impl Plan {
    fn of(clock: Clock, work: &mut impl FnMut()) -> Self {
        let mut plan = Self {
            clock,
            repeats: 1,
            blocks: BLOCKS,
        };
        if plan.block(work) > LONG.as_secs_f64() * 1e9 {
            plan.blocks = LONG_BLOCKS;
        }
        plan.with_blocks_of(BLOCK, work)
    }

    fn with_blocks_of(mut self, block: Duration, work: &mut impl FnMut()) -> Self {
        while self.block(work) * f64::from(self.repeats) < block.as_secs_f64() * 1e9
            && self.repeats < 1 << 24
        {
            self.repeats *= 2;
        }
        self
    }

    /// Measures a block, and returns the nanoseconds of one repetition.
    fn block(&self, work: &mut impl FnMut()) -> f64 {
        let seconds = self.clock.time(|| (0..self.repeats).for_each(|_| work()));
        seconds * 1e9 / f64::from(self.repeats)
    }
}

/// Returns the median of the samples, which are sorted in place; for an even number the upper one, NaN for an empty
/// slice.
pub fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or(f64::NAN)
}
