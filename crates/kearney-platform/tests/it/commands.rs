use std::net::TcpListener;
use std::process::{Output, Stdio};

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
    let told = refusal(&home, &["serve", "--port", &port]);
    assert!(told.contains("--port") && told.contains(&port), "{told}");
    let told = refusal(&home, &["serve", "--port", "0", "--admin-port", &port]);
    assert!(told.contains("--admin-port"), "{told}");
    let told = refusal(&home, &["serve", "--config-dir", "nowhere"]);
    assert!(told.contains("--config-dir nowhere"), "{told}");
    let told = refusal(&home, &["serve", "--datasets", "nowhere"]);
    assert!(told.contains("--datasets nowhere"), "{told}");
    std::fs::write(home.path("file"), "").unwrap();
    let told = refusal(
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
    assert!(told.contains("--data-dir file"), "{told}");
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
        let told = refusal(&home, &["serve", "--port", "0", "--admin-port", "0"]);
        assert!(parts.iter().all(|part| told.contains(part)), "{told}");
        assert!(told.contains("line"), "{told}");
        std::fs::remove_file(home.path("configs").join(file)).unwrap();
    }
}

#[test]
fn the_source_of_a_secret_is_told_and_never_its_value() {
    let home = Home::new();
    let asked = run(&home, &["secrets", "source", "registry_api_key"]);
    assert_eq!(
        String::from_utf8(asked.stdout).unwrap(),
        "registry_api_key: default\n"
    );
    std::fs::write(home.path(".env"), "REGISTRY_API_KEY=planted-value-1\n").unwrap();
    let asked = run(&home, &["secrets", "source", "REGISTRY_API_KEY"]);
    let told = String::from_utf8(asked.stdout).unwrap();
    assert!(told.contains("dotenv") || told.contains(".env"), "{told}");
    let report = run(&home, &["secrets", "report"]);
    assert!(report.status.success());
    let told = String::from_utf8([report.stdout, report.stderr].concat()).unwrap();
    assert!(told.contains("registry_api_key"), "{told}");
    assert!(!told.contains("planted-value-1"), "{told}");
}
