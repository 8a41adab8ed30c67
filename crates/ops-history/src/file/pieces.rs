//! Chooses which row groups of several files are copied and which are merged.

use std::ops::Range;

/// Minimum rows of a row group that is copied unchanged: readers check every row group, so there should be few.
const MIN_ROWS: u64 = 12 * 1024;

/// Consecutive row groups that become one, with their rows and times.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Piece {
    pub(crate) parts: Range<usize>,
    pub(crate) rows: u64,
    /// Times of the first and last row.
    pub(crate) times: (i64, i64),
}

impl Piece {
    fn join(self, next: Self) -> Self {
        let ((first, last), (next_first, next_last)) = (self.times, next.times);
        Self {
            parts: self.parts.start..next.parts.end,
            rows: self.rows.saturating_add(next.rows),
            times: (first.min(next_first), last.max(next_last)),
        }
    }
}

/// Returns the row groups of the merged file. As many as possible are copied unchanged, provided that rows stay in
/// order and row groups are not too small.
pub(crate) fn pieces(parts: impl IntoIterator<Item = Piece>) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for mut piece in parts {
        while let Some(before) = pieces.pop_if(|before| before.times.1 > piece.times.0) {
            piece = before.join(piece);
        }
        let is_small = |piece: &Piece| piece.rows / (piece.parts.len() as u64) < MIN_ROWS;
        if is_small(&piece)
            && let Some(before) = pieces.pop_if(|before| is_small(before))
        {
            piece = before.join(piece);
        }
        pieces.push(piece);
    }
    let rows: u64 = pieces.iter().map(|piece| piece.rows).sum();
    while pieces.len() > 1 && rows / (pieces.len() as u64) < MIN_ROWS {
        let pairs = pieces.windows(2).enumerate();
        let smallest =
            pairs.min_by_key(|(_, pair)| pair.iter().map(|piece| piece.rows).sum::<u64>());
        let Some((at, _)) = smallest else { break };
        let next = pieces.remove(at + 1);
        let piece = pieces.remove(at);
        pieces.insert(at, piece.join(next));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(of: &[(u64, i64, i64)]) -> Vec<Vec<usize>> {
        let parts = of
            .iter()
            .enumerate()
            .map(|(at, (rows, first, last))| Piece {
                parts: at..at + 1,
                rows: *rows,
                times: (*first, *last),
            });
        pieces(parts)
            .into_iter()
            .map(|piece| piece.parts.collect())
            .collect()
    }

    #[test]
    fn large_row_groups_stay_apart_unless_their_times_overlap() {
        let large = |first, last| (16_384, first, last);
        assert_eq!(parts(&[]), [[0; 0]; 0]);
        // the last time of one may equal the first time of the next
        assert_eq!(
            parts(&[large(1, 5), large(5, 9), large(10, 20)]),
            [[0], [1], [2]]
        );
        assert_eq!(
            parts(&[large(1, 6), large(5, 9), large(10, 20)]),
            [vec![0, 1], vec![2]]
        );
        // a clock that was set back
        let back = [large(10, 12), large(20, 22), large(11, 13), large(30, 31)];
        assert_eq!(parts(&back), [vec![0, 1, 2], vec![3]]);
    }

    #[test]
    fn small_row_groups_become_as_few_as_possible() {
        let small = |count: i64| (0..count).map(|at| (5000, at, at)).collect::<Vec<_>>();
        assert_eq!(parts(&small(16)), [(0..16).collect::<Vec<_>>()]);
        // a single small row group beside large ones is accepted
        assert_eq!(
            parts(&[(16_384, 1, 2), (16_384, 3, 4), (5000, 5, 6)]),
            [[0], [1], [2]]
        );
        let between = [(16_384, 1, 2), (100, 3, 4), (50, 5, 6), (16_384, 7, 8)];
        assert_eq!(parts(&between), [vec![0, 1, 2], vec![3]]);
    }
}
