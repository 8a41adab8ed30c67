use std::sync::{Mutex, PoisonError};

use ops_log::{Config, Pipeline, set_line_tap};

static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The only test of the tap, which is global.
#[test]
fn the_tap_sees_lines_of_the_process_without_secrets_and_what_it_does_harms_none() {
    crate::bridges::init();
    set_line_tap(|at, json| {
        let text = String::from_utf8(json.to_vec()).unwrap();
        if !text.contains("tapped") {
            return;
        }
        assert!(at.elapsed().unwrap().as_secs() < 60);
        ops_log::info!("tapped by the tap");
        SEEN.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(text);
        panic!("a tap that fails");
    });
    ops_log::redact("canary-0d3b77");
    ops_log::info!(
        "tapped",
        value = "is canary-0d3b77 here",
        password = "hunter2-hunter2",
        url = "https://me:hunter2-hunter2@example.com/?token=hunter2-hunter2"
    );
    let own = Pipeline::new(Config::new().stdout(false)).unwrap();
    ops_log::info!(own.root(), "tapped elsewhere");
    ops_log::info!("tapped twice");
    let seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(seen.len(), 2, "{seen:#?}");
    assert!(
        seen[0].starts_with('{') && seen[0].ends_with('}'),
        "{}",
        seen[0]
    );
    assert!(
        !seen[0].contains("canary-0d3b77") && !seen[0].contains("hunter2"),
        "{}",
        seen[0]
    );
    assert!(seen[1].contains("tapped twice"));
}
