use std::process::Command;

/// Runs the example `environment`, whose configuration is the environment's.
fn run(variables: &[(&str, &str)]) -> (bool, String, String) {
    let mut command = Command::new(crate::output::example("environment"));
    for name in [
        "OPS_LOG_FORMAT",
        "OPS_LOG_LEVEL",
        "OPS_ENV",
        "RUST_LOG",
        "NO_COLOR",
        "FORCE_COLOR",
    ] {
        command.env_remove(name);
    }
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.success(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn without_anything_lines_are_for_people_from_info_on_and_without_colour_in_a_pipe() {
    let (ok, out, _) = run(&[]);
    assert!(ok);
    let lines: Vec<_> = out.lines().map(|line| &line[20..]).collect();
    assert_eq!(
        lines,
        ["[info     ] started  port=8000", "[warning  ] slow  rows=3"]
    );
}

#[test]
fn production_writes_json_and_the_level_is_obeyed() {
    let (_, out, _) = run(&[("OPS_ENV", "production"), ("OPS_LOG_LEVEL", "debug")]);
    let events: Vec<serde_json::Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let events: Vec<_> = events
        .iter()
        .map(|line| line["event"].as_str().unwrap())
        .collect();
    assert_eq!(events, ["started", "details", "slow"]);
}

#[test]
fn rust_log_holds_for_targets_and_what_it_says_wrongly_is_a_line() {
    let (ok, out, _) = run(&[
        ("RUST_LOG", "error,environment=debug,x[y]=info"),
        ("OPS_LOG_FORMAT", "json"),
    ]);
    assert!(ok);
    assert!(out.contains("\"event\":\"details\""), "{out}");
    let (ok, out, _) = run(&[("RUST_LOG", "info,x[y]=info"), ("OPS_LOG_FORMAT", "json")]);
    assert!(ok);
    assert!(out.contains(r#""event":"log_filter_refused","variable":"RUST_LOG","error":"unknown directive \"x[y]=info\" in the log filter: expected a level"#), "{out}");
}

#[test]
fn colour_is_forced_and_refused_by_the_environment() {
    let (_, out, _) = run(&[("FORCE_COLOR", "1")]);
    assert!(out.contains("\x1b[32m\x1b[1minfo     \x1b[0m"), "{out:?}");
    let (_, out, _) = run(&[("FORCE_COLOR", "1"), ("NO_COLOR", "1")]);
    assert!(!out.contains('\x1b'), "{out:?}");
}

#[test]
fn what_nobody_understands_is_an_error_that_says_what_is_accepted() {
    let (ok, _, err) = run(&[("OPS_LOG_FORMAT", "xml")]);
    assert!(
        !ok && err
            .contains(r#"OPS_LOG_FORMAT: unknown log format "xml": expected json or console"#),
        "{err}"
    );
    let (ok, _, err) = run(&[("OPS_LOG_LEVEL", "loud")]);
    assert!(
        !ok && err.contains(r#"OPS_LOG_LEVEL: unknown log level "loud": expected trace"#),
        "{err}"
    );
}
