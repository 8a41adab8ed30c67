use std::process::Command;

use ops_log::{Config, LateLines, Pipeline};

/// Runs the example `environment`, which is configured by the environment.
fn run<V: AsRef<std::ffi::OsStr>>(variables: &[(&str, V)]) -> (bool, String, String) {
    let mut command = Command::new(crate::output::example("environment"));
    for name in [
        "OPS_LOG_FORMAT",
        "OPS_LOG_LEVEL",
        "OPS_LOG_ROTATION",
        "OPS_ENV",
        "RUST_LOG",
        "NO_COLOR",
        "FORCE_COLOR",
    ] {
        command.env_remove(name);
    }
    command.envs(variables.iter().map(|(name, value)| (*name, value)));
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.success(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn without_anything_lines_are_for_people_from_info_on_and_without_color_in_a_pipe() {
    let (ok, out, _) = run::<&str>(&[]);
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
fn an_unknown_ops_env_is_logged_if_it_decides_the_format() {
    for unknown in ["prod", "Production", "staging"] {
        let (ok, out, err) = run(&[("OPS_ENV", unknown)]);
        assert!(ok && out.contains("environment_unknown"), "{out} {err}");
        assert!(out.contains(&format!("value={unknown}")), "{out}");
        let (ok, out, err) = run(&[("OPS_ENV", unknown), ("OPS_LOG_FORMAT", "json")]);
        assert!(ok && out.contains("\"event\":\"started\""), "{out} {err}");
        assert!(!out.contains("environment_unknown"), "{out}");
    }
    let (ok, out, err) = run(&[("OPS_ENV", "development")]);
    assert!(ok && out.contains("started  port=8000"), "{out} {err}");
    assert!(!out.contains("environment_unknown"), "{out}");
}

#[test]
fn rust_log_sets_levels_of_targets_and_invalid_directives_are_logged() {
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
fn color_is_forced_and_refused_by_the_environment() {
    let (_, out, _) = run(&[("FORCE_COLOR", "1")]);
    assert!(out.contains("\x1b[32m\x1b[1minfo     \x1b[0m"), "{out:?}");
    let (_, out, _) = run(&[("FORCE_COLOR", "1"), ("NO_COLOR", "1")]);
    assert!(!out.contains('\x1b'), "{out:?}");
}

#[test]
fn invalid_settings_fail_and_list_accepted_values() {
    let (ok, _, err) = run(&[("OPS_LOG_FORMAT", "xml")]);
    assert!(
        !ok && err
            .contains(r#"OPS_LOG_FORMAT: unknown log format "xml": expected json, ecs, gcp, datadog or console"#),
        "{err}"
    );
    let (ok, _, err) = run(&[("OPS_LOG_LEVEL", "loud")]);
    assert!(
        !ok && err.contains(r#"OPS_LOG_LEVEL: unknown log level "loud": expected trace"#),
        "{err}"
    );
}

#[test]
fn a_value_that_is_not_utf8_is_wrong_and_not_unset() {
    let (ok, _, err) = run(&[("OPS_LOG_LEVEL", broken("debug"))]);
    assert!(
        !ok && err.contains("OPS_LOG_LEVEL: unknown log level \"debug\u{fffd}\": expected"),
        "{err}"
    );
    for name in ["OPS_LOG_FORMAT", "OPS_LOG_ROTATION", "OPS_LOG_RATE_LIMIT"] {
        let (ok, _, err) = run(&[(name, broken("off"))]);
        assert!(!ok && err.starts_with(name), "{name}: {err}");
    }
    for value in ["debug", "info,environment=debug", "info,environment"] {
        let (ok, out, _) = run(&[("RUST_LOG", broken(value))]);
        assert!(
            ok && out.contains("log_filter_refused") && out.contains("not UTF-8"),
            "{value}: {out}"
        );
        assert!(!out.contains("details"), "{value}: {out}");
    }
}

/// Returns the text followed by a byte that is not UTF-8.
fn broken(text: &str) -> std::ffi::OsString {
    use std::os::unix::ffi::OsStringExt;

    std::ffi::OsString::from_vec([text.as_bytes(), b"\xff"].concat())
}

#[test]
fn a_file_sets_the_same_as_the_builder() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    let file = format!(
        "service_name: api\nstdout: false\nformat: json\nfilter: warn,db=debug\nfile: {}\nfields: {{region: eu, shard: 3}}\ndenied_keys: [pin]\nrecent_lines: 5",
        path.display()
    );
    let config: Config = serde_yaml::from_str(&file).unwrap();
    let pipeline = Pipeline::new(config).unwrap();
    ops_log::info!(pipeline.root(), "quiet");
    ops_log::debug!(
        pipeline.logger("db"),
        "message",
        pin = 1234,
        password = "shown"
    );
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(
        written.ends_with("\"logger\":\"db\",\"event\":\"message\",\"region\":\"eu\",\"shard\":3,\"pin\":\"[REDACTED]\",\"password\":\"shown\"}\n"),
        "{written}"
    );
    assert_eq!(written.lines().count(), 1);
}

#[test]
fn a_file_that_is_wrong_is_refused_with_what_is_accepted() {
    for (file, expected) in [
        (
            "levle: info",
            "unknown field `levle`, expected one of `service_name`, `format`",
        ),
        ("service_name: api\nlevel: loud", "line 2"),
        (
            "level: loud",
            "unknown log level \"loud\": expected trace, debug",
        ),
        (
            "format: xml",
            "expected one of `json`, `ecs`, `gcp`, `datadog`, `console`",
        ),
        (
            "fields: {a: [1]}",
            "expected a string, a number or a boolean",
        ),
        ("recent_lines: -1", "recent_lines"),
        ("filter: 'db=loud'", "loud"),
        ("filter: 'info,my_crate::*=debug'", "my_crate::*"),
        ("late_lines: verbose", "did you mean debug?"),
    ] {
        let error = serde_yaml::from_str::<Config>(file)
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{file}: {error}");
    }
}

#[test]
fn white_space_and_case_around_a_setting_are_no_error() {
    let (ok, out, err) = run(&[("OPS_LOG_LEVEL", " Debug "), ("OPS_LOG_FORMAT", " JSON\n")]);
    assert!(ok && out.contains("\"event\":\"details\""), "{out} {err}");
    let (ok, out, _) = run(&[("OPS_LOG_LEVEL", "  "), ("OPS_LOG_FORMAT", " ")]);
    assert!(ok && out.contains("started  port=8000"), "{out}");
}

#[test]
fn none_in_place_of_late_lines_is_off() {
    for none in ["none", " None "] {
        assert_eq!(none.parse::<LateLines>().unwrap(), LateLines::off());
        let (ok, out, err) = run(&[("OPS_LOG_LATE_LINES", none)]);
        assert!(ok && out.contains("started"), "{out} {err}");
    }
    let (ok, _, err) = run(&[("OPS_LOG_LATE_LINES", "all")]);
    assert!(!ok && err.contains("did you mean trace?"), "{err}");
}

#[test]
fn a_typo_in_rust_log_is_logged_and_is_not_a_target() {
    for wrong in ["5", "debg", "warn/foo"] {
        let (ok, out, _) = run(&[("RUST_LOG", wrong), ("OPS_LOG_FORMAT", "json")]);
        assert!(ok);
        assert_eq!(
            out.matches("log_filter_refused").count(),
            1,
            "{wrong}: {out}"
        );
    }
}

#[test]
fn a_word_that_switches_something_on_or_off_is_no_target() {
    for on in ["true", "yes", "on", "Enabled", "info,true"] {
        let (ok, out, err) = run(&[("OPS_LOG_LATE_LINES", on)]);
        assert!(
            !ok && err.contains("did you mean debug?"),
            "{on}: {out} {err}"
        );
        let (ok, out, _) = run(&[("RUST_LOG", on)]);
        assert!(ok && out.contains("did you mean debug?"), "{on}: {out}");
    }
    for off in ["false", "no"] {
        let (ok, out, err) = run(&[("OPS_LOG_LATE_LINES", off)]);
        assert!(
            !ok && err.contains("did you mean off?"),
            "{off}: {out} {err}"
        );
    }
    // `debug >` is missing before it
    let (ok, out, err) = run(&[("OPS_LOG_LATE_LINES", "500ms")]);
    assert!(!ok && err.contains("as in debug > 500ms"), "{out} {err}");
    let (ok, out, _) = run(&[("RUST_LOG", "no::module=debug,on_call=debug,tokio")]);
    assert!(ok && !out.contains("log_filter_refused"), "{out}");
}

#[test]
fn a_rotation_of_the_environment_is_checked() {
    let (ok, _, err) = run(&[("OPS_LOG_ROTATION", "64")]);
    assert!(
        !ok && err.contains("OPS_LOG_ROTATION: invalid rotation \"64\": expected a size"),
        "{err}"
    );
    let (ok, _, err) = run(&[("OPS_LOG_ROTATION", "1MiB x 2")]);
    assert!(ok, "{err}");
}

#[test]
fn a_file_says_how_a_log_file_is_limited_and_which_keys_are_exceptions() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    let file = format!(
        "stdout: false\nfile: {}\nrotation: 300B x 2\nallowed_keys: [my_token]",
        path.display()
    );
    let pipeline = Pipeline::new(serde_yaml::from_str(&file).unwrap()).unwrap();
    for n in 0..9 {
        ops_log::info!(pipeline.root(), "limited", n = n, my_token = "shown");
    }
    assert!(dir.path().join("app.log.1").exists());
    assert!(std::fs::metadata(&path).unwrap().len() <= 300);
    assert!(pipeline.recent(1)[0].contains("\"my_token\":\"shown\""));
}

#[test]
fn a_main_that_returns_the_error_ends_with_a_line_for_people() {
    let folder = tempfile::tempdir().unwrap();
    let error = Pipeline::new(Config::new().file(folder.path())).unwrap_err();
    let expected = format!(
        "cannot append to the log file {}: Is a dir",
        folder.path().display()
    );
    assert!(format!("{error:?}").starts_with(&expected), "{error:?}");
    let error = Pipeline::new(Config::new().sample_traces(2.0)).unwrap_err();
    assert_eq!(format!("{error:?}"), error.to_string());
}
