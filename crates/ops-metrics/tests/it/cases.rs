//! Test cases of rules, which promtool runs.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs the test cases in files of this directory; fails with promtool's output if it reports an error.
pub(crate) fn tested(promtool: &Path, directory: &Path, files: &[String]) -> Result<(), String> {
    tested_with(promtool, directory, directory, files)
}

/// Runs the test cases in files of this directory, whose rules are in another one. Cases that passed before with the
/// same content are not run again if `OPS_TEST_PASSED` names the folder in which this is noted.
pub(crate) fn tested_with(
    promtool: &Path,
    directory: &Path,
    rules: &Path,
    files: &[String],
) -> Result<(), String> {
    let note = std::env::var_os("OPS_TEST_PASSED").map(|passed| {
        let content = content(promtool, [directory, rules], files);
        PathBuf::from(passed).join(format!("promtool-{content:016x}"))
    });
    if note.as_ref().is_some_and(|note| note.exists()) {
        return Ok(());
    }
    let output = Command::new(promtool)
        .current_dir(directory)
        .args(["test", "rules"])
        .args(files)
        .output()
        .unwrap();
    if output.status.success() {
        if let Some(note) = note {
            std::fs::create_dir_all(note.parent().unwrap()).unwrap();
            std::fs::write(note, "").unwrap();
        }
        return Ok(());
    }
    Err(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// Returns the digest of everything that the result of a run depends on.
fn content(promtool: &Path, directories: [&Path; 2], files: &[String]) -> u64 {
    let mut digest = DefaultHasher::new();
    let tool = std::fs::metadata(promtool).unwrap();
    (tool.len(), tool.modified().unwrap(), files).hash(&mut digest);
    for directory in directories {
        let entries = std::fs::read_dir(directory).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some_and(|of| of == "yml"));
        paths.sort();
        for path in paths {
            (path.file_name(), std::fs::read(&path).unwrap()).hash(&mut digest);
        }
    }
    digest.finish()
}
