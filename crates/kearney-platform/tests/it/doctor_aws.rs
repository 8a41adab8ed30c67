//! `doctor` queries AWS, and its output contains no value from AWS. Runs with `OPS_TEST_FULL=1`: moto takes seconds to
//! start.

use std::process::Stdio;

use serde_json::Value;

use crate::faults::{CANARY, assert_no_canary};
use crate::mapbox_stand_in::{Behavior, StandIn};
use crate::moto::{Moto, aws};
use crate::served::Home;

const AREA: &str = "/api/isochrone?lat=37.6&lon=-122.4&minutes=10";

fn doctor(home: &Home, arguments: &[&str]) -> (Option<i32>, String) {
    let mut program = home.program(&["doctor"]);
    let output = program
        .args(arguments)
        .stdout(Stdio::piped())
        .output()
        .unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
    )
}

#[test]
fn doctor_asks_each_service_and_a_value_of_aws_is_in_nothing_that_it_says() {
    if std::env::var_os("OPS_TEST_FULL").is_none_or(|on| on != "1") {
        return;
    }
    let Some(moto) = Moto::start() else { return };
    let mapbox = StandIn::start();
    let mut home = Home::new();
    moto.use_in(&mut home);
    home.set("KEARNEY_MAPBOX_URL", mapbox.url.clone().leak());
    home.set("OTEL_TRACES_EXPORTER", "none");
    let (token, key) = (format!("{CANARY}-token"), format!("{CANARY}-key"));
    let name = "/kearney-platform/prod/mapbox_token";
    let put = [
        "ssm",
        "put-parameter",
        "--type",
        "SecureString",
        "--name",
        name,
        "--value",
        &token,
    ];
    if aws(&home, &put).is_none() {
        return;
    }
    let name = "kearney-platform/prod/registry_api_key";
    let put = [
        "secretsmanager",
        "create-secret",
        "--name",
        name,
        "--secret-string",
        &key,
    ];
    aws(&home, &put);

    let served = home.serve();
    // both secrets are in use: writers need one, and the other is sent to the provider, which rejects it
    let model = r#"{"name": "m", "version": "1"}"#;
    let accepted = served.post("/api/registry/models", &[("X-API-Key", &key)], model);
    assert_eq!(accepted.status, 201, "{}", accepted.body);
    for behavior in [Behavior::Sound, Behavior::Broken, Behavior::Nonsense] {
        mapbox.behave(behavior);
        let answer = served.get(AREA);
        assert_eq!(answer.status, 502, "{}", answer.body);
        assert!(!answer.body.contains(CANARY), "{}", answer.body);
    }
    served.get(&format!("/api/flights/summary?origin={key}"));
    served.get_with("/api/airports?near=37.6,-122.4", &[("x-api-key", &token)]);

    let bundle = home.path("bundle.tar.gz");
    let file = bundle.to_str().unwrap();
    let (_, text) = doctor(&home, &["--json", "--bundle", file]);
    let diagnosis: Value = serde_json::from_str(&text).unwrap();
    let tried = diagnosis["tried"].as_array().unwrap();
    let answer = |question: &str| {
        let asked = tried
            .iter()
            .find(|one| one["tried"].as_str().unwrap().contains(question));
        let asked = asked.unwrap_or_else(|| panic!("{question} is not in {text}"));
        asked["answer"].as_str().unwrap().to_owned()
    };
    let who = answer("sts get-caller-identity");
    assert!(who.starts_with("arn:aws:sts::123456789012:"), "{who}");
    let secrets = answer("mapbox_token, registry_api_key");
    assert!(
        secrets.contains("all required secrets are available (2 requests to AWS)"),
        "{secrets}"
    );
    let state = served.state().to_string();
    for source in ["aws_ssm", "aws_secrets_manager"] {
        assert!(state.contains(source), "{source} is not in {state}");
    }
    let (_, shown) = doctor(&home, &[]);
    let log = std::fs::read_to_string(home.path("logs/app.log")).unwrap();
    for printed in [&text, &shown, &state, &log, &served.get("/metrics").body] {
        assert!(!printed.contains(CANARY), "{printed}");
    }
    assert_no_canary(
        &bundle,
        &["state.json", "log.jsonl", "secrets.json", "settings.txt"],
    );

    // both AWS and the process are gone
    drop(moto);
    drop(served);
    let (code, text) = doctor(&home, &["--json", "--bundle", file]);
    assert_eq!(code, Some(4));
    assert!(
        text.contains("aws_unreachable")
            && text.contains("cannot get the caller identity from AWS"),
        "{text}"
    );
    assert!(!text.contains(CANARY), "{text}");
    assert_no_canary(&bundle, &["log.jsonl", "findings.txt"]);
}
