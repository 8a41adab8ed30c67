use std::sync::atomic::{AtomicU32, Ordering};

/// Number of buckets for each doubling: neighbors differ by a
/// factor of 1.104, so a bucket's middle is at most 4.95 % away.
const PER_DOUBLING: usize = 7;
/// Power of 2 of the lowest bound, below which values share a bucket: 30.5 µs, if values are seconds.
const LOWEST_POWER: i32 = -15;
/// Power of 2 of the highest bound, from which on values share the last bucket: 512 seconds.
const HIGHEST_POWER: i32 = 9;
const DOUBLINGS: usize = (HIGHEST_POWER - LOWEST_POWER) as usize;
/// Number of buckets, including one below the lowest and one above the highest power.
pub(crate) const FINE_BUCKETS: usize = DOUBLINGS * PER_DOUBLING + 2;

/// Lower bounds of the buckets in one doubling: 2 to the power of 0/7 to 6/7.
const STEPS: [f64; PER_DOUBLING] = [
    1.0,
    1.104_089_513_673_812_3,
    1.219_013_654_204_475_4,
    1.345_900_192_632_356_2,
    1.485_994_289_136_948_4,
    1.640_670_712_015_276,
    1.811_447_328_527_813_2,
];
const MANTISSA: u64 = (1 << 52) - 1;

/// Distribution of values between 30 µs and 512 s, with at most 5 % error, that can be merged: quantiles of an hour
/// come from the sum of its distributions, never from an average of quantiles.
///
/// ```
/// use ops_metrics::Distribution;
/// let mut all = Distribution::of([0.1; 95]);
/// all.merge(&Distribution::of([2.0; 5]));
/// assert_eq!(all.count(), 100);
/// assert!((all.quantile(0.5).unwrap() - 0.1).abs() < 0.005);
/// assert!((all.quantile(0.99).unwrap() - 2.0).abs() < 0.1);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// Bucket and count of each bucket that is not empty, ascending.
    counts: Vec<(u8, u32)>,
}

impl Distribution {
    /// Returns the distribution of these values, which must not be negative.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut counts = [0; FINE_BUCKETS];
        for value in values {
            if let Some(count) = counts.get_mut(bucket_of(value)) {
                *count += 1;
            }
        }
        Self::from_counts(counts)
    }

    pub(crate) fn from_counts(counts: [u32; FINE_BUCKETS]) -> Self {
        let numbered = (0_u8..).zip(counts);
        Self {
            counts: numbered.filter(|(_, count)| *count > 0).collect(),
        }
    }

    /// Adds the values of another distribution.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.counts {
            match self
                .counts
                .binary_search_by_key(bucket, |(known, _)| *known)
            {
                Ok(at) => {
                    if let Some((_, total)) = self.counts.get_mut(at) {
                        *total = total.saturating_add(*count);
                    }
                }
                Err(at) => self.counts.insert(at, (*bucket, *count)),
            }
        }
    }

    /// Returns the values that were added since `before`; counts wrap around.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let earlier = |bucket: u8| {
            let found = before
                .counts
                .binary_search_by_key(&bucket, |(known, _)| *known);
            found
                .ok()
                .and_then(|at| before.counts.get(at))
                .map_or(0, |(_, count)| *count)
        };
        let added = |(bucket, count): &(u8, u32)| (*bucket, count.wrapping_sub(earlier(*bucket)));
        let counts = self.counts.iter().map(added);
        Self {
            counts: counts.filter(|(_, count)| *count > 0).collect(),
        }
    }

    /// Returns the number of values.
    pub fn count(&self) -> u64 {
        self.counts.iter().map(|(_, count)| u64::from(*count)).sum()
    }

    /// Returns the value below which the share `q` of all values lies; `None`
    /// without values. Values below 30.5 µs and above 512 s count as these bounds.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let rank = (q.clamp(0.0, 1.0) * self.count() as f64).max(1.0);
        let mut below = 0.0;
        let reached = self.counts.iter().find(|(_, count)| {
            below += f64::from(*count);
            below >= rank
        });
        reached
            .or(self.counts.last())
            .map(|(bucket, _)| middle(usize::from(*bucket)))
    }
}

/// Counts of values, updated as they are observed.
#[derive(Debug)]
pub(crate) struct FineCounts(Box<[AtomicU32]>);

impl FineCounts {
    pub(crate) fn new() -> Self {
        Self((0..FINE_BUCKETS).map(|_| AtomicU32::new(0)).collect())
    }

    #[inline]
    pub(crate) fn count(&self, value: f64) {
        if let Some(count) = self.0.get(bucket_of(value)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Adds the totals since the start; sums wrap around like the totals.
    pub(crate) fn add_to(&self, sum: &mut [u32; FINE_BUCKETS]) {
        for (all, one) in sum.iter_mut().zip(&self.0) {
            *all = all.wrapping_add(one.load(Ordering::Relaxed));
        }
    }
}

#[inline]
fn bucket_of(value: f64) -> usize {
    const LOWEST: f64 = 1.0 / (1 << -LOWEST_POWER) as f64;
    const HIGHEST: f64 = (1 << HIGHEST_POWER) as f64;
    if value < LOWEST {
        return 0;
    }
    if value >= HIGHEST {
        return FINE_BUCKETS - 1;
    }
    let bits = value.to_bits();
    let power = (bits >> 52) as i32 - 1023;
    let mantissa = bits & MANTISSA;
    let step = STEPS[1..]
        .iter()
        .map(|step| usize::from(mantissa >= step.to_bits() & MANTISSA))
        .sum::<usize>();
    1 + (power - LOWEST_POWER) as usize * PER_DOUBLING + step
}

/// Returns the value with the same relative error to both bounds of the bucket.
fn middle(bucket: usize) -> f64 {
    let bound = |step: usize| {
        let power = LOWEST_POWER + (step / PER_DOUBLING) as i32;
        2_f64.powi(power) * STEPS.get(step % PER_DOUBLING).copied().unwrap_or(1.0)
    };
    match bucket {
        0 => bound(0),
        bucket if bucket >= FINE_BUCKETS - 1 => bound(FINE_BUCKETS - 2),
        bucket => {
            let (low, high) = (bound(bucket - 1), bound(bucket));
            2.0 * low * high / (low + high)
        }
    }
}
