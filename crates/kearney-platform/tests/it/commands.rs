use std::net::TcpListener;
use std::process::{Output, Stdio};

use crate::faults::read_request;
use crate::served::Home;

fn run(home: &Home, arguments: &[&str]) -> Output {
    let mut program = home.program(arguments);
    program.stdout(Stdio::piped()).output().unwrap()
}

fn refusal(home: &Home, arguments: &[&str]) -> String {
    let output = run(home, arguments);
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_start_that_cannot_be_says_which_option_is_at_fault() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let printed = refusal(&home, &["serve", "--port", &port]);
    assert!(
        printed.contains("--port") && printed.contains(&port),
        "{printed}"
    );
    let printed = refusal(&home, &["serve", "--port", "0", "--admin-port", &port]);
    assert!(printed.contains("--admin-port"), "{printed}");
    let printed = refusal(&home, &["serve", "--config-dir", "nowhere"]);
    assert!(printed.contains("--config-dir nowhere"), "{printed}");
    let printed = refusal(&home, &["serve", "--datasets", "nowhere"]);
    assert!(printed.contains("--datasets nowhere"), "{printed}");
    std::fs::write(home.path("file"), "").unwrap();
    let printed = refusal(
        &home,
        &[
            "serve",
            "--port",
            "0",
            "--admin-port",
            "0",
            "--data-dir",
            "file",
        ],
    );
    assert!(printed.contains("--data-dir file"), "{printed}");
}

#[test]
fn a_configuration_file_that_is_a_link_to_nowhere_is_not_taken_for_a_missing_one() {
    let home = Home::new();
    let configs = home.path("configs");
    std::fs::create_dir(&configs).unwrap();
    for file in ["cache.yaml", "secrets.yaml"] {
        std::os::unix::fs::symlink(home.path("nowhere"), configs.join(file)).unwrap();
        let printed = refusal(&home, &["secrets", "report"]);
        assert!(
            printed.contains(&format!("cannot read configs/{file}")),
            "{printed}"
        );
        std::fs::remove_file(configs.join(file)).unwrap();
    }
}

#[test]
fn a_key_that_the_registry_does_not_have_is_refused_and_kept() {
    let home = Home::new();
    std::fs::create_dir(home.path("data")).unwrap();
    let registry = home.path("data/registry.json");
    let dataset = r#"{"name": "acme/delays", "rows": 1, "source": "x", "owner": "acme"}"#;
    for (text, key, place) in [
        (
            "{\n\"model\": [], \"models\": [], \"datasets\": []}".to_owned(),
            "`model`, expected `models` or `datasets`",
            "line 2 column 7",
        ),
        (
            format!("{{\"models\": [],\n\"datasets\": [{dataset}]}}"),
            "`owner`, expected one of `name`, `rows`, `source`, `file`",
            "line 2",
        ),
    ] {
        std::fs::write(&registry, &text).unwrap();
        let printed = refusal(&home, &["serve", "--port", "0", "--admin-port", "0"]);
        for part in ["cannot read data/registry.json", key, place] {
            assert!(printed.contains(part), "{printed}");
        }
        assert_eq!(std::fs::read_to_string(&registry).unwrap(), text);
    }
}

#[test]
fn times_without_a_moment_between_them_are_refused() {
    let home = Home::new();
    for line in [
        "logs - --since 1h --until 2h",
        "sql --dir . --since 2026-11-02 --until 2026-11-01 --name runs",
        "history export copy --dir . --since 2026-11-02 --until 2026-11-02",
    ] {
        let output = run(&home, &line.split(' ').collect::<Vec<_>>());
        let printed = String::from_utf8(output.stderr).unwrap();
        let why = "--until must be later than --since";
        assert!(
            output.status.code() == Some(2) && printed.contains(why),
            "{line}: {printed}"
        );
    }
}

#[test]
fn an_invalid_run_id_is_rejected_with_an_example() {
    let home = Home::new();
    for id in ["failed", "../runs", "01a228ee"] {
        let output = run(&home, &["runs", id]);
        let printed = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.status.code() == Some(2) && printed.contains("expected a run id such as"),
            "{id}: {printed}"
        );
    }
}

#[test]
fn an_invalid_duration_is_rejected_with_examples() {
    let home = Home::new();
    let (sql, prune) = (
        ["sql", "--dir", "h", "SELECT 1"],
        ["history", "prune", "--dir", "h"],
    );
    for (command, option, value) in [
        (&["black-box", "box"][..], "--last", "abc"),
        (&sql, "--timeout", "30"),
        (&prune, "--older-than", "2027-01-01"),
    ] {
        let output = run(&home, &[command, &[option, value]].concat());
        let printed = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{printed}");
        let expected = "expected a duration with its unit, such as 30s, 5m or 24h";
        assert!(
            printed.contains(value) && printed.contains(expected),
            "{printed}"
        );
    }
}

#[test]
fn a_wrong_configuration_file_is_named_with_line_and_key() {
    let home = Home::new();
    std::fs::create_dir(home.path("configs")).unwrap();
    for (file, text, parts) in [
        (
            "cache.yaml",
            "query_cache:\n  max_size: 5\n",
            ["cache.yaml", "max_size"],
        ),
        (
            "secrets.yaml",
            "secrets:\n  a:\n    envvar: A\n",
            ["secrets.yaml", "envvar"],
        ),
    ] {
        std::fs::write(home.path("configs").join(file), text).unwrap();
        let printed = refusal(&home, &["serve", "--port", "0", "--admin-port", "0"]);
        assert!(parts.iter().all(|part| printed.contains(part)), "{printed}");
        assert!(printed.contains("line"), "{printed}");
        std::fs::remove_file(home.path("configs").join(file)).unwrap();
    }
}

#[test]
fn the_source_of_a_secret_is_reported_and_never_its_value() {
    let home = Home::new();
    let asked = run(&home, &["secrets", "source", "registry_api_key"]);
    assert_eq!(
        String::from_utf8(asked.stdout).unwrap(),
        "registry_api_key: default\n"
    );
    std::fs::write(home.path(".env"), "REGISTRY_API_KEY=planted-value-1\n").unwrap();
    let asked = run(&home, &["secrets", "source", "REGISTRY_API_KEY"]);
    let printed = String::from_utf8(asked.stdout).unwrap();
    assert!(
        printed.contains("dotenv") || printed.contains(".env"),
        "{printed}"
    );
    let report = run(&home, &["secrets", "report"]);
    assert!(report.status.success());
    let printed = String::from_utf8([report.stdout, report.stderr].concat()).unwrap();
    assert!(printed.contains("registry_api_key"), "{printed}");
    assert!(!printed.contains("planted-value-1"), "{printed}");
}

#[test]
fn a_secret_that_no_source_has_fails_and_json_has_what_each_said() {
    let home = Home::new();
    for json in [false, true] {
        let mut arguments = vec!["secrets", "source", "nosuch"];
        arguments.extend(json.then_some("--json"));
        let output = run(&home, &arguments);
        assert_eq!(output.status.code(), Some(1));
        let printed = String::from_utf8(output.stdout).unwrap();
        if json {
            let printed: serde_json::Value = serde_json::from_str(&printed).unwrap();
            assert_eq!(
                (&printed["name"], &printed["source"]),
                (&"nosuch".into(), &"missing".into())
            );
            assert!(!printed["tried"].as_array().unwrap().is_empty());
        } else {
            assert!(printed.starts_with("nosuch: missing\n"), "{printed}");
        }
    }
    let known = run(&home, &["secrets", "source", "registry_api_key", "--json"]);
    let printed: serde_json::Value = serde_json::from_slice(&known.stdout).unwrap();
    assert_eq!(printed["source"], "default");
}

#[test]
fn a_secret_that_aws_refuses_is_a_document_too() {
    use std::io::Write;
    let home = Home::new();
    // stands in for AWS: denies every request
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let body = r#"{"__type":"AccessDeniedException","message":"not authorized"}"#;
            let head = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: application/x-amz-json-1.1";
            let _ = read_request(&stream);
            let _ = write!(
                stream,
                "{head}\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
        }
    });
    for json in [true, false] {
        let mut arguments = vec!["secrets", "source", "mapbox_token"];
        arguments.extend(json.then_some("--json"));
        let mut program = home.program(&arguments);
        program
            .env("OPS_SECRETS_AWS", "on")
            .env("AWS_ENDPOINT_URL", &url);
        program
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test");
        program
            .env("AWS_REGION", "us-east-1")
            .stdout(Stdio::piped());
        let output = program.output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{printed}");
        if json {
            let printed: serde_json::Value = serde_json::from_str(&printed).unwrap();
            assert_eq!(
                (&printed["name"], &printed["source"]),
                (&"mapbox_token".into(), &"unknown".into())
            );
            assert_eq!(printed["error"]["kind"], "access_denied");
            assert!(
                printed["tried"].to_string().contains("aws_ssm"),
                "{printed}"
            );
        } else {
            assert!(printed.starts_with("mapbox_token: unknown\n"), "{printed}");
            let aws = printed.lines().find(|line| line.starts_with("  aws_ssm: "));
            assert!(aws.unwrap().contains("AccessDeniedException"), "{printed}");
        }
    }
}

#[test]
fn a_stable_endpoint_that_is_a_pattern_is_refused_at_the_start() {
    let home = Home::new();
    std::fs::create_dir(home.path("configs")).unwrap();
    let text = "http_cache:\n  stable_endpoints:\n    - path: /api/registry/*\n      max_age: 60\n";
    std::fs::write(home.path("configs/cache.yaml"), text).unwrap();
    let printed = refusal(&home, &["serve", "--port", "0", "--admin-port", "0"]);
    assert!(
        printed.contains("cache.yaml") && printed.contains("not a pattern"),
        "{printed}"
    );
}

#[test]
fn a_cache_that_is_off_is_said_so() {
    let home = Home::new();
    std::fs::create_dir(home.path("configs")).unwrap();
    let text = "query_cache: {enabled: false}\n";
    std::fs::write(home.path("configs/cache.yaml"), text).unwrap();
    let served = home.serve();
    for _ in 0..2 {
        let answer = served.get("/api/flights/summary?origin=SFO");
        assert_eq!((answer.status, answer.header("x-cache")), (200, "off"));
    }
    let metrics = served.get("/metrics").body;
    assert!(
        metrics.contains("\ncache_misses_total{cache_type=\"query\"} 0\n"),
        "{metrics}"
    );
}

#[test]
fn a_reader_that_left_is_no_failure_of_a_command_and_a_full_disk_is() {
    let home = Home::new();
    for arguments in [["secrets", "report"], ["secrets", "source"]] {
        let mut arguments = arguments.to_vec();
        if arguments[1] == "source" {
            arguments.push("registry_api_key");
        }
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = home.program(&arguments).stdout(writer).output().unwrap();
        assert!(output.status.success(), "{output:?}");

        let full = std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let output = home.program(&arguments).stdout(full).output().unwrap();
        let printed = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{printed}");
        assert!(printed.contains("cannot write to stdout"), "{printed}");
    }
}

#[test]
fn a_required_secret_that_is_missing_is_reported_at_the_start() {
    let home = Home::new();
    std::fs::create_dir(home.path("configs")).unwrap();
    let catalog =
        "secrets:\n  registry_api_key:\n    env_var: NOT_SET_ANYWHERE\n    required: true\n";
    std::fs::write(home.path("configs/secrets.yaml"), catalog).unwrap();
    let served = home.serve();
    assert!(served.stop().success());
    let lines = home.log_lines();
    let printed = |event: &str| lines.iter().find(|line| line["event"] == event).cloned();
    let missing = printed("required_secrets_missing").unwrap();
    assert!(
        missing["error"]
            .as_str()
            .unwrap()
            .contains("NOT_SET_ANYWHERE"),
        "{missing}"
    );
    assert!(
        printed("ready").is_some() && printed("stopping").is_some(),
        "{lines:?}"
    );
}

#[test]
fn a_cause_is_reported_once() {
    let home = Home::new();
    std::fs::write(home.path("file"), "").unwrap();
    let serve = [
        "serve",
        "--port",
        "0",
        "--admin-port",
        "0",
        "--log-file",
        "file/app.log",
    ];
    let printed = refusal(&home, &serve);
    assert_eq!(printed.matches("os error").count(), 1, "{printed}");
    assert!(printed.contains("file/app.log"), "{printed}");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let printed = refusal(&home, &["serve", "--port", &port]);
    assert_eq!(printed.matches("os error").count(), 1, "{printed}");
}

#[test]
fn a_variable_that_is_at_fault_is_named_and_no_option_is() {
    for (variable, value) in [
        ("OPS_SHUTDOWN_SECONDS", "soon"),
        ("OPS_ADMIN_TOKEN_FILE", "nowhere"),
    ] {
        let mut home = Home::new();
        home.set(variable, value);
        let printed = refusal(&home, &["serve", "--port", "0", "--admin-port", "0"]);
        assert!(
            printed.contains(variable) && printed.contains(value),
            "{printed}"
        );
        assert!(!printed.contains("--"), "{printed}");
    }
}

#[test]
fn a_number_that_is_refused_is_reported_with_its_variable_and_what_is_accepted() {
    let home = Home::new();
    let printed = |arguments: &[&str], variable: &str, value: &str| {
        let mut program = home.program(arguments);
        program.env(variable, value).stderr(Stdio::piped());
        let output = program.output().unwrap();
        let printed = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{printed}");
        printed.lines().next().unwrap().to_owned()
    };
    let port = "expected a whole number from 0 to 65535";
    for (command, variable, value, option, accepted) in [
        ("serve", "PORT", "80000", "--port <PORT>", port),
        ("serve", "PORT", "http", "--port <PORT>", port),
        ("healthcheck", "PORT", "http", "--port <PORT>", port),
        (
            "serve",
            "KEARNEY_ADMIN_PORT",
            "-1",
            "--admin-port <ADMIN_PORT>",
            port,
        ),
        (
            "serve",
            "OPS_GRACE_SECONDS",
            "1.5",
            "--grace-seconds <SECONDS>",
            "expected a whole number from 0 to 20",
        ),
        (
            "serve",
            "HOST",
            "example.com",
            "--host <HOST>",
            "expected an IP address of this machine, or localhost",
        ),
    ] {
        assert_eq!(
            printed(&[command], variable, value),
            format!("error: invalid value '{value}' for '{variable} ({option})': {accepted}")
        );
    }
    // the variable is not at fault
    assert_eq!(
        printed(&["serve", "--port", "http"], "PORT", "http"),
        format!("error: invalid value 'http' for '--port <PORT>': {port}")
    );
}

#[test]
fn options_come_from_the_environment_too_and_the_log_file_can_be_off() {
    let mut home = Home::new();
    home.set("KEARNEY_LOG_FILE", "NONE");
    home.set("KEARNEY_DATA_DIR", "elsewhere");
    let served = home.serve();
    assert_eq!(served.get("/readyz").status, 200);
    assert!(served.stop().success());
    assert!(home.path("elsewhere/registry.json").exists());
    let names = ["logs", "none", "NONE"];
    assert!(!names.iter().any(|name| home.path(name).exists()));
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let mut home = Home::new();
    for name in [
        "HOST",
        "PORT",
        "KEARNEY_ADMIN_PORT",
        "KEARNEY_CONFIG_DIR",
        "KEARNEY_DATA_DIR",
        "KEARNEY_DATASETS",
        "KEARNEY_LOG_FILE",
        "OPS_ADMIN_ADDR",
        "OPS_CONFIG",
        "OPS_GRACE_SECONDS",
        "OPS_SHUTDOWN_SECONDS",
    ] {
        home.set(name, "");
    }
    let served = home.serve();
    assert!(
        served.api.starts_with("http://127.0.0.1:"),
        "{}",
        served.api
    );
    assert!(served.stop().success());
    assert!(home.path("data/registry.json").exists());
    assert!(home.path("logs/app.log").exists());
    let output = run(&home, &["cache", "stats"]);
    assert!(output.status.success());
}

#[test]
fn a_load_that_fails_ends_the_platform_without_a_grace_period() {
    let mut home = Home::new();
    home.set("OPS_GRACE_SECONDS", "20");
    let datasets = home.path("datasets");
    std::fs::create_dir(&datasets).unwrap();
    for file in ["flights-3m.parquet", "airports.csv", "zipcodes.csv"] {
        std::fs::write(datasets.join(file), "no data\n").unwrap();
    }
    let printed = refusal(
        &home,
        &[
            "serve",
            "--port",
            "0",
            "--admin-port",
            "0",
            "--datasets",
            "datasets",
        ],
    );
    assert!(printed.contains("flights-3m.parquet"), "{printed}");
    let lines = home.log_lines();
    let stopping = lines.iter().find(|line| line["event"] == "stopping");
    assert_eq!(stopping.unwrap()["grace_seconds"], 0.0, "{lines:#?}");
}

#[test]
fn a_running_platform_is_healthy_and_a_missing_one_is_not() {
    let home = Home::new();
    let served = home.serve();
    let (_, port) = served.api.rsplit_once(':').unwrap();
    let port = port.to_owned();
    for host in ["127.0.0.1", "0.0.0.0"] {
        let output = run(&home, &["healthcheck", "--host", host, "--port", &port]);
        assert!(output.status.success(), "{output:?}");
        assert!(output.stdout.is_empty() && output.stderr.is_empty());
    }
    assert!(served.stop().success());
    let printed = refusal(&home, &["healthcheck", "--port", &port]);
    assert!(printed.contains("/livez does not respond"), "{printed}");
}

/// Answers each connection with these bytes, then sends a header every 100 ms or closes.
fn answers(bytes: &'static [u8], drips: bool) -> String {
    use std::io::Write;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = read_request(&stream);
            let _ = stream.write_all(bytes);
            while drips && stream.write_all(b"x: y\r\n").is_ok() {
                std::thread::park_timeout(std::time::Duration::from_millis(100));
            }
        }
    });
    port
}

#[test]
fn only_the_answer_of_the_platform_is_healthy_and_a_slow_one_has_a_limit() {
    let home = Home::new();
    for (bytes, printed) in [
        (&b"SSH-2.0 200 OK\r\n\r\nok\n"[..], "SSH-2.0 200 OK"),
        (
            b"HTTP/1.1 200 OK\r\n\r\n<html>",
            "the body is not this platform's",
        ),
        (
            b"HTTP/1.1 200 OK\r\n\r\n",
            "the body is not this platform's",
        ),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\nok\n", "503"),
        (b"", "/livez"),
    ] {
        let port = answers(bytes, false);
        let refused = refusal(&home, &["healthcheck", "--port", &port]);
        assert!(refused.contains(printed), "{refused}");
    }
    let port = answers(b"HTTP/1.1 200 OK\r\n", true);
    let refused = refusal(&home, &["healthcheck", "--port", &port]);
    assert!(
        refused.contains("no complete response within 4 s"),
        "{refused}"
    );
}

#[cfg(unix)]
#[test]
fn a_bundle_replaces_nothing_but_a_regular_file() {
    use std::os::unix::fs::FileTypeExt;
    let home = Home::new();
    let fifo = home.path("fifo");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    std::fs::write(home.path("target"), "kept").unwrap();
    std::os::unix::fs::symlink("target", home.path("link")).unwrap();
    std::fs::create_dir(home.path("folder")).unwrap();
    for name in ["fifo", "link", "folder"] {
        let output = run(&home, &["doctor", "--bundle", name]);
        assert_eq!(output.status.code(), Some(1), "{name}: {output:?}");
        let printed = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            printed.contains(name) && printed.contains("not a regular file"),
            "{printed}"
        );
    }
    assert!(
        std::fs::symlink_metadata(&fifo)
            .unwrap()
            .file_type()
            .is_fifo()
    );
    assert!(
        std::fs::symlink_metadata(home.path("link"))
            .unwrap()
            .is_symlink()
    );
    assert_eq!(
        std::fs::read_to_string(home.path("target")).unwrap(),
        "kept"
    );
}

#[test]
fn a_shell_learns_the_commands_and_options() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        let output = run(&home, &["completions", shell]);
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{shell}");
        assert!(
            script.contains("grace-seconds") && script.contains("invalidate"),
            "{shell}: {script}"
        );
    }
    assert!(refusal(&home, &["completions", "dos"]).contains("bash"));
}

#[test]
fn a_second_signal_ends_it_at_once_with_128_and_its_number() {
    let mut home = Home::new();
    home.set("OPS_GRACE_SECONDS", "20");
    let served = home.serve();
    // a service that was never ready has no grace period
    while served.get("/readyz").status != 200 {
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
    served.terminate();
    while served.get("/readyz").status == 200 {
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
    assert_eq!(served.stop().code(), Some(143));
}

#[test]
fn a_history_that_is_off_is_no_directory() {
    let mut home = Home::new();
    for off in ["off", "Off", "off\r", " "] {
        home.set("OPS_HISTORY_DIR", off);
        for arguments in [&["history", "stats"][..], &["sql", "SELECT 1"]] {
            let output = run(&home, arguments);
            let printed = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{printed}");
            assert!(printed.contains("--dir"), "{printed}");
        }
    }
    home.set("OPS_BLACK_BOX", "OFF");
    let served = home.serve();
    assert_eq!(served.state()["history"], serde_json::Value::Null);
    assert!(served.stop().success());
    assert!(!home.path("Off").exists() && !home.path("OFF").exists());
}

#[test]
fn the_disk_below_a_log_file_without_a_folder_is_looked_at() {
    let home = Home::new();
    let output = run(&home, &["doctor", "--json", "--log-file", "app.log"]);
    let diagnosis: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let tried = diagnosis["tried"].as_array().unwrap();
    assert!(
        tried
            .iter()
            .any(|tried| tried["tried"] == "free space of ."),
        "{diagnosis:#}"
    );
}

#[test]
fn a_missing_directory_and_a_lock_that_cannot_be_opened_are_no_successes() {
    let home = Home::new();
    std::fs::create_dir(home.path("fresh")).unwrap();
    std::fs::create_dir(home.path("odd")).unwrap();
    std::os::unix::fs::symlink(".lock", home.path("odd/.lock")).unwrap();
    for (dir, written, locked) in [
        ("nowhere", false, false),
        ("fresh", true, true),
        ("odd", true, false),
    ] {
        let output = run(&home, &["doctor", "--json", "--data-dir", dir]);
        let diagnosis: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let is_ok = |check: &str| {
            let mut tried = diagnosis["tried"].as_array().unwrap().iter();
            let tried = tried.find(|tried| tried["tried"] == check).unwrap();
            tried["ok"].as_bool().unwrap()
        };
        let (write, lock) = (
            format!("write a file in {dir}"),
            format!("lock {dir}/.lock"),
        );
        assert_eq!(
            (is_ok(&write), is_ok(&lock)),
            (written, locked),
            "{diagnosis:#}"
        );
    }
}

#[test]
fn a_briefly_held_lock_does_not_prevent_a_start() {
    // on a busy machine, a brief lock may last longer than the second for which the start waits
    assert!((0..5).any(|_| starts_despite_a_held_lock()));
}

/// Returns `false` if the start failed.
fn starts_despite_a_held_lock() -> bool {
    let home = Home::new();
    std::fs::create_dir(home.path("data")).unwrap();
    let lock = std::fs::File::create(home.path("data/.lock")).unwrap();
    lock.lock_shared().unwrap();
    let mut program = home.launch();
    // the lock file is open, so the program is waiting for it
    let files = format!("/proc/{}/fd", program.id());
    let waits = || {
        let files = std::fs::read_dir(&files).unwrap();
        let mut files = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
        files.any(|file| file.ends_with("data/.lock"))
    };
    while !waits() {
        if program.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
    lock.unlock().unwrap();
    while !home.path("data/addresses.json").exists() {
        if program.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
    program.kill().unwrap();
    program.wait().unwrap();
    true
}

#[test]
fn the_page_has_the_origin_of_each_setting() {
    let mut home = Home::new();
    home.set("HOST", "localhost");
    home.set("OPS_GRACE_SECONDS", "1");
    home.set("OPS_CACHE_DIR", "elsewhere");
    let state = home.serve().state();
    let settings = state["configuration"].as_array().unwrap();
    let source = |name: &str| {
        let named = settings.iter().find(|setting| setting["name"] == name);
        named.unwrap_or_else(|| panic!("{name}: {state:#}"))["source"].clone()
    };
    assert_eq!(source("grace period"), "environment: OPS_GRACE_SECONDS");
    assert_eq!(source("api address"), "host environment: HOST, port code");
    // the cache is in the data directory
    assert_eq!(source("OPS_CACHE_DIR"), "environment, overridden by code");
}
