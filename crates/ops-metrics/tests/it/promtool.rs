use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Returns promtool's path, if `cargo xtask setup` linked it.
pub(crate) fn promtool() -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = workspace.join(".tools/prometheus/usr/bin/promtool");
    if path.is_file() {
        return Some(path);
    }
    assert!(
        std::env::var_os("OPS_TEST_REQUIRE_TOOLS").is_none(),
        "promtool is required"
    );
    let skipped = "skipped: no promtool at .tools/prometheus (cargo xtask setup)";
    let _ = writeln!(std::io::stdout(), "{skipped}");
    None
}

/// Returns the output of `promtool check metrics` for an exposition, line by line.
pub(crate) fn check_metrics(exposition: &str) -> Option<Vec<String>> {
    let mut child = Command::new(promtool()?)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || {
            // promtool stops reading at the first line it cannot parse
            let _ = stdin.write_all(exposition.as_bytes());
        });
        child.wait_with_output().unwrap()
    });
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    Some(said.lines().map(str::to_owned).collect())
}
