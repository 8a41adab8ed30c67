use std::io::{IsTerminal, Write};

/// Output for progress lines of a run.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    is_shown: bool,
}

impl Progress {
    pub fn none() -> Self {
        Self { is_shown: false }
    }

    /// Writes to standard error if it is a terminal, and nowhere otherwise.
    pub fn terminal() -> Self {
        Self {
            is_shown: std::io::stderr().is_terminal(),
        }
    }

    pub fn line(self, text: &str) {
        if self.is_shown {
            // a closed terminal does not stop the run
            let _ = writeln!(std::io::stderr(), "  {text}");
        }
    }
}
