//! Values of secrets and log lines: whatever ops-secrets treats as a secret, ops-log does not write.

use std::sync::{Arc, Mutex};

use ops_layer::secrets::{Secrets, get_secret};
use ops_layer::{Config, log, secrets};

#[test]
fn listeners_are_notified_of_every_name_that_the_log_denies() {
    let names = log::DENIED_KEYS.iter().map(|key| key.to_uppercase());
    let names: Vec<_> = names.map(|key| format!("SHOP_{key}")).collect();
    let variables = names.iter().map(|name| (name, format!("value of {name}")));
    let config = secrets::Config::default()
        .catalog_text("secrets: {}")
        .dotenv("/nonexistent/.env")
        .environment(variables.map(|(name, value)| (name.clone(), value)));
    let secrets = Secrets::new(config).unwrap();
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let into = Arc::clone(&heard);
    secrets.on_resolved(move |resolved| into.lock().unwrap().push(resolved.name.clone()));
    for name in &names {
        secrets.get(name).blocking().unwrap();
    }
    assert_eq!(*heard.lock().unwrap(), names);
}

#[test]
fn the_last_values_of_a_secret_that_was_rotated_stay_out_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rotated");
    let settings = secrets::Config::default()
        .catalog_text("secrets: {rotated: {}}")
        .dotenv("/nonexistent/.env")
        .secrets_folder(folder.path());
    let config = Config::new("redaction")
        .log_file(folder.path().join("app.log"))
        .cache_dir(folder.path().join("cache"))
        .secrets(settings);
    let _ops = ops_layer::init(config).unwrap();
    let value = |number: usize| format!("password-number-{number}-of-many");
    let rotate = |number: usize| {
        std::fs::write(&file, value(number)).unwrap();
        let secret = get_secret("rotated").blocking().unwrap();
        assert_eq!(secret.expose(), value(number));
    };
    let is_written = |number: usize| {
        let line = format!("connected with {}", value(number));
        log::redacted(&line).is_none()
    };
    rotate(0);
    rotate(1);
    assert!(!is_written(0) && !is_written(1));
    // back to the first value, which is then no longer a replaced one
    rotate(0);
    for number in 2..80 {
        rotate(number);
    }
    assert!(!is_written(79) && !is_written(78) && !is_written(40));
    assert!(is_written(2), "not for ever: the list has an end");
}
