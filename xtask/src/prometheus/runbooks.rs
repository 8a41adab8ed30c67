//! Runs every command of the runbooks as printed, with the ports of this platform instead of the defaults.

use std::path::Path;

use super::api::Api;
use crate::platform::Served;
use crate::{Result, command, workspace};

/// Programs that need an account, a daemon or a permission beyond the setup: their commands are skipped and counted.
/// Those of `aws` run in the platform's tests, against moto.
const FOREIGN: [&str; 5] = [
    "aws",
    "docker",
    "gdb",
    "journalctl",
    "kearney-platform black-box",
];
/// Maximum lines of a command's output, which is read at three in the morning.
const LINES_MAX: usize = 10;

/// Returns the commands that failed, printed nothing, or printed too much.
pub(super) fn run(prometheus: &Path, api: &Api, served: &Served) -> Result<Vec<String>> {
    let folder = workspace::root().join("docs/runbooks");
    let files =
        std::fs::read_dir(&folder).map_err(|e| format!("cannot read {}: {e}", folder.display()))?;
    let mut faults = Vec::new();
    let (mut ran, mut skipped) = (0, 0);
    for file in files.flatten().map(|file| file.path()) {
        let text = std::fs::read_to_string(&file)
            .map_err(|e| format!("cannot read {}: {e}", file.display()))?;
        for script in scripts(&text) {
            if FOREIGN.iter().any(|program| script.starts_with(program)) {
                skipped += 1;
                continue;
            }
            ran += 1;
            faults.extend(attempt(&file, &script, prometheus, api, served)?);
        }
    }
    println!(
        "ran {ran} commands of the runbooks, skipped {skipped} that need {}",
        FOREIGN.join(" or ")
    );
    Ok(faults)
}

/// Returns the content of the `bash` blocks.
fn scripts(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<String> = None;
    for line in page.lines().map(str::trim) {
        match (&mut open, line) {
            (None, "```bash") => open = Some(String::new()),
            (Some(script), "```") => {
                found.push(std::mem::take(script));
                open = None;
            }
            (Some(script), line) => {
                script.push_str(line);
                script.push('\n');
            }
            (None, _) => {}
        }
    }
    found
}

/// Runs a script in the working directory of the platform, with its program on the path.
fn attempt(
    file: &Path,
    script: &str,
    prometheus: &Path,
    api: &Api,
    served: &Served,
) -> Result<Option<String>> {
    let here = script
        .replace("http://127.0.0.1:8000", &served.api)
        .replace("http://127.0.0.1:8001", &served.admin)
        .replace("http://127.0.0.1:9090", &api.url())
        .replace("cargo run -q -p kearney-platform --", "kearney-platform");
    let own = served.program.parent().map(Path::to_owned);
    let programs = own.into_iter().chain([prometheus.join("usr/bin")]);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(programs.chain(std::env::split_paths(&path)))
        .map_err(|e| format!("cannot extend PATH: {e}"))?;
    // runbooks are pasted into a shell, so a shell is used here
    let mut shell = command::program("bash");
    shell
        .current_dir(&served.folder)
        .env("PATH", path)
        .args(["-e", "-c", &here]);
    let output = command::output(&mut shell)?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let script = script.trim();
    Ok(if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        Some(format!(
            "{name}: `{script}` ended with {}: {}",
            output.status,
            stderr.trim()
        ))
    } else if output.stdout.is_empty() {
        Some(format!("{name}: `{script}` printed nothing"))
    } else if lines(&output.stdout) > LINES_MAX {
        let lines = lines(&output.stdout);
        Some(format!("{name}: `{script}` printed {lines} lines"))
    } else {
        None
    })
}

fn lines(text: &[u8]) -> usize {
    String::from_utf8_lossy(text).lines().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_of_a_page_are_found() {
        let page = "1. Look:\n\n   ```bash\n   curl a \\\n     | grep b\n   ```\n\n```text\nno command\n```\n";
        assert_eq!(scripts(page), ["curl a \\\n| grep b\n"]);
    }
}
