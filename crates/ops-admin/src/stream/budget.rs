/// Bytes that may be sent: so many more each second, and never more than are saved up.
#[derive(Debug)]
pub(super) struct Budget {
    per_second: usize,
    max: usize,
    left: usize,
}

impl Budget {
    pub(super) fn new(per_second: usize, max: usize) -> Self {
        Self {
            per_second,
            max,
            left: max,
        }
    }

    pub(super) fn second(&mut self) {
        self.left = (self.left + self.per_second).min(self.max);
    }

    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// Takes the bytes if they are there. What is larger than all that can be saved up takes everything.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let cost = bytes.min(self.max);
        let has = cost <= self.left;
        if has {
            self.left -= cost;
        }
        has
    }
}
