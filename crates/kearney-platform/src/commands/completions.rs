//! `kearney-platform completions`: completion scripts for shells.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::error::Result;
use crate::output::print_result;

pub fn print(shell: Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "kearney-platform", &mut script);
    print_result(&String::from_utf8_lossy(&script))
}
