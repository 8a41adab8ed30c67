//! Every command of a runbook runs as it is printed, against this platform instead of the default ports.

use std::path::Path;

use crate::platform::Served;
use crate::{Result, command, workspace};

/// Gives what did not run, or said nothing.
pub(super) fn run(served: &Served) -> Result<Vec<String>> {
    let folder = workspace::root().join("docs/runbooks");
    let files =
        std::fs::read_dir(&folder).map_err(|e| format!("cannot read {}: {e}", folder.display()))?;
    let mut faults = Vec::new();
    let mut count = 0;
    for file in files.flatten().map(|file| file.path()) {
        let text = std::fs::read_to_string(&file)
            .map_err(|e| format!("cannot read {}: {e}", file.display()))?;
        for script in scripts(&text) {
            count += 1;
            faults.extend(attempt(&file, &script, served)?);
        }
    }
    println!("{count} commands of the runbooks were run");
    Ok(faults)
}

/// What stands in a block of `bash`.
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

fn attempt(file: &Path, script: &str, served: &Served) -> Result<Option<String>> {
    let here = script
        .replace("http://127.0.0.1:8000", &served.api)
        .replace("http://127.0.0.1:8001", &served.admin);
    // a runbook is pasted into a shell, so a shell it is
    let output = command::output(command::program("bash").args(["-o", "pipefail", "-c", &here]))?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let script = script.trim();
    Ok(if !output.status.success() {
        Some(format!("{name}: `{script}` ended with {}", output.status))
    } else if output.stdout.is_empty() {
        Some(format!("{name}: `{script}` said nothing"))
    } else {
        None
    })
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
