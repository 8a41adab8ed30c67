//! Figures of all rows and rounds, with their goals.

use crate::perf::measure::median;
use crate::perf::results::Row;

/// Row that the others are compared with.
pub(super) const BARE: &str = "bare";

/// Goals: additional processor time per request compared with `bare`, in µs.
const GOALS: [(&str, f64); 3] = [("off", 1.5), ("sampled-10", 2.5), ("sampled-100", 4.0)];

/// Maximum share of the cost that a peer adds with the same sampling.
const PEERS: [(&str, f64); 2] = [("assembled", 0.25), ("foundations", 0.5)];

/// Figures of one row in one round.
pub(super) struct Sample {
    /// Processor time per request in µs.
    pub(super) cpu: f64,
    /// User part of the processor time.
    pub(super) user: f64,
    pub(super) requests_a_second: f64,
    /// Latencies in ms.
    pub(super) p50: f64,
    pub(super) p99: f64,
    /// Resident memory in MiB.
    pub(super) memory: f64,
    /// Number of spans per request that reached the collector.
    pub(super) spans: f64,
    /// Share of both cores used by other processes meanwhile.
    pub(super) others: f64,
}

/// Samples of all rounds by row; the first row is `bare`.
pub(super) struct Table {
    pub(super) rows: Vec<String>,
    pub(super) samples: Vec<Vec<Sample>>,
}

impl Table {
    /// Returns the median over all rounds of a figure of this row and of `bare` in the same round.
    fn median(&self, row: &str, figure: impl Fn(&Sample, &Sample) -> f64) -> Option<f64> {
        let of = |row: &str| {
            let at = self.rows.iter().position(|found| found == row)?;
            self.samples.get(at)
        };
        let rounds = of(row)?.iter().zip(of(BARE)?);
        let mut values: Vec<f64> = rounds.map(|(sample, bare)| figure(sample, bare)).collect();
        Some(median(&mut values)[1])
    }

    /// Returns the median of the additional processor time per request compared with `bare`, in µs.
    fn more(&self, row: &str) -> Option<f64> {
        self.median(row, |sample, bare| sample.cpu - bare.cpu)
    }

    pub(super) fn print(&self) {
        println!(
            "\n| row | throughput of bare | µs of CPU per request | more than bare | of it not the kernel's | p50 ms | p99 ms | RSS MiB | spans exported per request |"
        );
        println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|");
        for row in &self.rows {
            let figure =
                |figure: fn(&Sample, &Sample) -> f64| self.median(row, figure).unwrap_or(f64::NAN);
            println!(
                "| `{row}` | {:.2} | {:.1} | {:.1} | {:.1} | {:.2} | {:.2} | {:.0} | {:.2} |",
                figure(|sample, bare| sample.requests_a_second / bare.requests_a_second),
                figure(|sample, _| sample.cpu),
                self.more(row).unwrap_or(f64::NAN),
                figure(|sample, bare| sample.user - bare.user),
                figure(|sample, _| sample.p50),
                figure(|sample, _| sample.p99),
                figure(|sample, _| sample.memory),
                figure(|sample, _| sample.spans),
            );
        }
        let mut others: Vec<f64> = self
            .samples
            .iter()
            .flatten()
            .map(|sample| sample.others)
            .collect();
        let [_, middle, _] = median(&mut others);
        println!(
            "\nOther processes took {:.0} % of both cores (median), {:.0} % at most.\n",
            middle * 100.0,
            others.last().unwrap_or(&0.0) * 100.0
        );
    }

    /// Returns the goals of measured rows.
    pub(super) fn goals(&self) -> Vec<Row> {
        let mut goals = Vec::new();
        for (row, goal) in GOALS {
            let Some(more) = self.more(row) else {
                continue;
            };
            let what = format!("{row}: µs more than {BARE}");
            goals.push(Row::plain(&what, more, "µs", Some(goal)));
            let sampled = row.rsplit('-').next().unwrap_or(row);
            for (peer, goal) in PEERS {
                let peer = format!("{peer}-{sampled}");
                let Some(beside) = self.more(&peer) else {
                    continue;
                };
                let what = format!("{row}: share of what {peer} adds");
                goals.push(Row {
                    beside: Some((peer, beside)),
                    ratio: Some(more / beside),
                    ..Row::plain(&what, more, "µs", Some(goal))
                });
            }
        }
        goals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(cpu: f64) -> Sample {
        Sample {
            cpu,
            user: cpu / 2.0,
            requests_a_second: 1e6 / cpu,
            p50: 0.3,
            p99: 1.0,
            memory: 10.0,
            spans: 0.1,
            others: 0.0,
        }
    }

    #[test]
    fn a_row_is_compared_with_bare_of_the_same_round_and_with_peers_at_the_same_sampling() {
        let table = Table {
            rows: [BARE, "sampled-10", "foundations-10", "assembled-100"]
                .map(str::to_owned)
                .into(),
            samples: vec![
                [6.0, 7.0, 60.0].map(sample).into(),
                [8.0, 9.0, 62.0].map(sample).into(),
                [11.0, 12.0, 65.0].map(sample).into(),
                [20.0, 20.0, 20.0].map(sample).into(),
            ],
        };
        assert_eq!(table.more("sampled-10"), Some(2.0));
        assert_eq!(table.more("off"), None);
        let goals = table.goals();
        let results: Vec<_> = goals
            .iter()
            .map(|goal| (goal.ratio.unwrap_or(goal.value), goal.is_missed()))
            .collect();
        assert_eq!(results, [(2.0, false), (0.4, false)]);
    }
}
