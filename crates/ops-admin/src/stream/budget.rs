/// Number of bytes that may be sent: it grows each second, up to a maximum.
#[derive(Debug)]
pub(super) struct Budget {
    per_second: usize,
    max: usize,
    left: usize,
    /// Number of bytes that were sent beyond what was left.
    debt: usize,
}

impl Budget {
    pub(super) fn new(per_second: usize, max: usize) -> Self {
        Self {
            per_second,
            max,
            left: max,
            debt: 0,
        }
    }

    pub(super) fn second(&mut self) {
        let paid = self.debt.min(self.per_second);
        self.debt -= paid;
        self.left = (self.left + self.per_second - paid).min(self.max);
    }

    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// Takes the bytes if they are available. More than the maximum takes everything, and the rest is owed.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let has = bytes.min(self.max) <= self.left;
        if has {
            self.spend(bytes);
        }
        has
    }

    /// Takes the bytes; missing ones are owed, and the next ones wait for them.
    pub(super) fn spend(&mut self, bytes: usize) {
        self.debt += bytes.saturating_sub(self.left);
        self.left = self.left.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_over_time_is_never_more_than_what_was_saved_and_came_since() {
        let mut budget = Budget::new(100, 1000);
        let mut sent = 0;
        for second in 1..=200 {
            budget.second();
            // raw bytes fit, and grow by a quarter when they are sent
            let bytes = budget.left() * 5 / 4;
            budget.spend(bytes);
            sent += bytes;
            assert!(sent <= 1250 + 125 * second, "{sent} in {second} s");
        }
        assert!((20_000..=21_250).contains(&sent), "{sent}");
    }

    #[test]
    fn what_is_too_large_to_save_up_for_waits_for_everything_and_is_owed() {
        let mut budget = Budget::new(100, 1000);
        assert!(budget.take(1500) && !budget.take(1));
        (0..14).for_each(|_| budget.second());
        assert!(!budget.take(1500), "500 are owed first");
        budget.second();
        assert!(budget.take(1500));
    }
}
