//! Runs a process with a folder as its root file system: in a separate mount namespace, read-only except for volumes.

use super::image::Image;
use crate::{Result, command};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// `PATH` of every container.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Arguments of the hidden command that runs inside the namespace created by `command_in`.
#[derive(clap::Args)]
pub(crate) struct Args {
    root: PathBuf,
    #[arg(long)]
    user: String,
    /// Folder of the host and its path in the new root, which stays writable
    #[arg(long)]
    volume: Vec<String>,
    #[arg(long)]
    env: Vec<String>,
    #[arg(last = true)]
    words: Vec<String>,
}

/// Returns a command that runs `words` in the folder as the image specifies, with additional variables.
pub(super) fn command_in(
    root: &Path,
    volumes: &[(PathBuf, String)],
    image: &Image,
    variables: &[(&str, &str)],
    words: &[String],
) -> Result<Command> {
    let program = std::env::current_exe().map_err(|e| format!("cannot find this program: {e}"))?;
    let mut command = command::program("unshare");
    command.args(["--mount", "--propagation", "private", "--"]);
    command.arg(program).arg("enter-root").arg(root);
    command.args(["--user", &image.user]);
    for (from, to) in volumes {
        command.args(["--volume", &format!("{}={to}", from.display())]);
    }
    let of_image = image
        .environment
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in of_image.chain(variables.iter().copied()) {
        command.args(["--env", &format!("{name}={value}")]);
    }
    command.arg("--").args(words);
    Ok(command)
}

/// Mounts the file systems and executes the program. Returns only on failure.
pub(crate) fn enter(args: &Args) -> Result<()> {
    let place = |inside: &str| args.root.join(inside.trim_start_matches('/'));
    mount(&["--bind"], &args.root, &args.root)?;
    mount(&["--rbind"], Path::new("/proc"), &place("proc"))?;
    mount(&["--bind"], Path::new("/dev/null"), &place("dev/null"))?;
    for volume in &args.volume {
        let (from, to) = pair(volume)?;
        mount(&["--bind"], Path::new(from), &place(to))?;
    }
    let read_only = ["-o", "remount,ro,bind"];
    quiet(
        Command::new("mount")
            .args(read_only)
            .arg(&args.root)
            .current_dir("/"),
    )?;
    let mut chroot = Command::new("chroot");
    chroot.arg(format!("--userspec={}", args.user));
    chroot.arg(&args.root).args(&args.words);
    for (name, _) in std::env::vars_os() {
        chroot.env_remove(name);
    }
    chroot.env("PATH", PATH);
    for variable in &args.env {
        let (name, value) = pair(variable)?;
        chroot.env(name, value);
    }
    Err(format!("cannot start chroot: {}", chroot.exec()))
}

fn mount(how: &[&str], from: &Path, to: &Path) -> Result<()> {
    quiet(Command::new("mount").args(how).arg(from).arg(to))
}

fn quiet(command: &mut Command) -> Result<()> {
    let output = command::output(command)?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(format!("{}: {}", command::shown(command), stderr.trim()))
}

fn pair(text: &str) -> Result<(&str, &str)> {
    text.split_once('=')
        .ok_or_else(|| format!("expected NAME=VALUE, got {text}"))
}
