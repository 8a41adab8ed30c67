//! A comparison program in another language: a process that measures itself for each line it reads, and replies with
//! nanoseconds.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A running process that answers with measurements.
pub struct Peer {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts the process, with its standard input and output connected.
    ///
    /// # Errors
    ///
    /// Fails if the command cannot be run.
    pub fn start(command: &mut Command) -> Result<Self, Box<dyn Error>> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| {
                format!("{command:?}: {error}; `cargo xtask bench --peers` fetches the peers")
            })?;
        Ok(Self {
            ask: child.stdin.take().ok_or("no stdin")?,
            answers: BufReader::new(child.stdout.take().ok_or("no stdout")?),
            child,
        })
    }

    /// Returns the nanoseconds that the work took once.
    ///
    /// # Errors
    ///
    /// Fails if the process ended, or replied with something other than a number.
    pub fn measure(&mut self) -> Result<f64, Box<dyn Error>> {
        writeln!(self.ask)?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        let message = answer.trim().parse();
        message.map_err(|_| {
            format!("unexpected response of the peer: {answer:?}; its output is above").into()
        })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
