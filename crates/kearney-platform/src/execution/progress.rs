use std::io::{IsTerminal, Write};

/// Place for lines about a run while somebody watches.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    is_shown: bool,
}

impl Progress {
    pub fn none() -> Self {
        Self { is_shown: false }
    }

    /// Standard error if it is a terminal; nothing is written to a pipe.
    pub fn terminal() -> Self {
        Self {
            is_shown: std::io::stderr().is_terminal(),
        }
    }

    pub fn line(self, text: &str) {
        if self.is_shown {
            // a terminal that is gone does not stop the run
            let _ = writeln!(std::io::stderr(), "  {text}");
        }
    }
}
