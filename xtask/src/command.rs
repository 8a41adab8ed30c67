//! Runs other programs: each is printed so that it can be copied, and started without a shell.

use crate::{Result, workspace};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Returns a command for the same `cargo` that runs this xtask, in the checkout.
pub(crate) fn cargo<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(args: I) -> Command {
    // the plain name on a developer's PATH goes through rustup, so the printed line behaves the same
    let mut command = Command::new("cargo");
    command.args(args).current_dir(workspace::root());
    // variables that `cargo run` set for this program: build scripts that watch them would rerun whenever xtask and
    // plain cargo alternate, and ring, rustls and the AWS clients would be rebuilt
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("CARGO_PKG_") || name_text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command
}

/// Returns a command for any program, in the checkout.
pub(crate) fn program(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    command.current_dir(workspace::root());
    command
}

/// Prints and runs a command; fails unless it succeeds.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    println!("$ {}", shown(command));
    let status = command
        .status()
        .map_err(|e| format!("cannot start {}: {e}", name(command)))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{} ended with {status}", shown(command)))
    }
}

/// Prints and runs a command; returns the lines of its output, which are also printed as they arrive, and `true` on
/// success.
pub(crate) fn run_and_keep(command: &mut Command) -> Result<(Vec<String>, bool)> {
    println!("$ {}", shown(command));
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("cannot start {}: {e}", name(command)))?;
    let mut lines = Vec::new();
    for line in child
        .stdout
        .take()
        .into_iter()
        .flat_map(|out| BufReader::new(out).lines())
    {
        let line = line.map_err(|e| format!("cannot read the output of {}: {e}", name(command)))?;
        println!("{line}");
        lines.push(line);
    }
    let status = child
        .wait()
        .map_err(|e| format!("cannot wait for {}: {e}", name(command)))?;
    Ok((lines, status.success()))
}

/// Runs a command without printing it, and returns its output regardless of the exit code.
pub(crate) fn output(command: &mut Command) -> Result<Output> {
    command
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("cannot start {}: {e}", name(command)))
}

/// Prints a command and runs it without its output; on failure returns the last line of its standard error.
pub(crate) fn run_quietly(command: &mut Command) -> Result<()> {
    println!("  $ {}", shown(command));
    let output = output(command)?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let last = complaint
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("no message");
    Err(format!(
        "{} ended with {}: {}",
        name(command),
        output.status,
        last.trim()
    ))
}

/// Returns the command in a form that can be pasted into a terminal, including folder and variables.
pub(crate) fn shown(command: &Command) -> String {
    let mut words = Vec::new();
    for (key, value) in command.get_envs() {
        if let Some(value) = value {
            words.push(format!("{}={}", key.to_string_lossy(), quoted(value)));
        }
    }
    words.push(quoted(command.get_program()));
    words.extend(command.get_args().map(quoted));
    let line = words.join(" ");
    match command.get_current_dir() {
        Some(dir) if dir != workspace::root() => {
            format!("cd {} && {line}", quoted(dir.as_os_str()))
        }
        _ => line,
    }
}

fn name(command: &Command) -> String {
    let program = Path::new(command.get_program());
    program
        .file_name()
        .unwrap_or(command.get_program())
        .to_string_lossy()
        .into_owned()
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_command_can_be_pasted() {
        let mut command = cargo(["test", "--", "a b", "it's"]);
        command.env("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(
            shown(&command),
            r"RUSTDOCFLAGS='-D warnings' cargo test -- 'a b' 'it'\''s'"
        );
    }

    #[test]
    fn a_failing_command_is_an_error_that_names_it() {
        let complaint = run(&mut program("false")).unwrap_err();
        assert!(complaint.starts_with("false ended with"), "{complaint}");
        assert!(
            run(&mut program("no-such-program-here"))
                .unwrap_err()
                .contains("cannot start")
        );
    }
}
