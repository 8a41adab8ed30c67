//! A local AWS: moto, if `cargo xtask setup` could install it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::served::Home;

/// A running server; stopped on drop.
pub(crate) struct Moto {
    child: Child,
    url: String,
}

impl Moto {
    /// Starts moto; `None` if it is not installed and not required.
    pub(crate) fn start() -> Option<Self> {
        let mut program = Command::new(tool("python/bin/moto_server", "setup")?);
        program.args(["-H", "127.0.0.1", "-p", "0"]);
        program.stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = program.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let url =
            lines.find_map(|line| Some(line.ok()?.split_once("Running on ")?.1.trim().to_owned()));
        std::thread::spawn(move || lines.for_each(drop));
        let url = url.unwrap();
        Some(Self { child, url })
    }

    /// Creates a bucket.
    #[cfg(any(feature = "history-s3", feature = "shared"))]
    pub(crate) fn bucket(&self, name: &str) {
        let url = format!("{}/{name}", self.url);
        crate::served::agent().put(url).send_empty().unwrap();
    }

    /// Sets the variables with which programs of this folder use it.
    pub(crate) fn use_in(&self, home: &mut Home) {
        for (name, value) in [
            ("AWS_ENDPOINT_URL", &*self.url),
            ("AWS_REGION", "us-east-1"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "testing"),
            ("AWS_SECRET_ACCESS_KEY", "testing-key-of-nobody"),
        ] {
            home.set(name, value.to_owned().leak());
        }
    }
}

/// Returns the path of a program that `cargo xtask` installs; `None` if it is not installed and not required.
pub(crate) fn tool(path: &str, fetched_by: &str) -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_BIN_EXE_kearney-platform"))
        .ancestors()
        .nth(2)?;
    let program = target.join("tools").join(path);
    if program.exists() {
        return Some(program);
    }
    let required = std::env::var_os("OPS_TEST_REQUIRE_TOOLS").is_some_and(|on| on == "1");
    assert!(!required, "{}: cargo xtask {fetched_by}", program.display());
    None
}

/// Runs the AWS CLI with these arguments; `None` if it is not installed.
pub(crate) fn aws(home: &Home, arguments: &[&str]) -> Option<String> {
    let mut program = Command::new("aws");
    program.current_dir(home.path("")).args(arguments);
    for (name, value) in home.program(&[]).get_envs() {
        match value {
            Some(value) => program.env(name, value),
            None => program.env_remove(name),
        };
    }
    let output = program.stdin(Stdio::null()).output().ok()?;
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    Some(String::from_utf8(output.stdout).unwrap())
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}
