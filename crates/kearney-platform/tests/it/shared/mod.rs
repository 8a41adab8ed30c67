//! Platforms that share results through a bucket.

#[cfg(feature = "shared")]
mod load;
#[cfg(feature = "shared")]
mod replicas;
#[cfg(feature = "shared")]
mod rolling;

#[cfg(feature = "shared")]
pub(crate) use replicas::{BUCKET, replica, snapshot, summary};

use std::process::Stdio;

use crate::served::Home;

/// Returns the error output of a failed start.
fn refusal(home: &Home) -> String {
    let mut program = home.program(&["serve", "--port", "0", "--admin-port", "0"]);
    let output = program.stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn with_cache_yaml(text: &str) -> Home {
    let home = Home::new();
    std::fs::create_dir(home.path("configs")).unwrap();
    std::fs::write(home.path("configs/cache.yaml"), text).unwrap();
    home
}

#[test]
fn a_snapshot_that_is_not_there_is_refused() {
    let mut home = Home::new();
    home.set("KEARNEY_SNAPSHOT", "nowhere.duckdb");
    let printed = refusal(&home);
    assert!(
        printed.contains("--snapshot nowhere.duckdb: no such file"),
        "{printed}"
    );
}

#[test]
fn a_bucket_that_cannot_be_asked_is_refused_with_what_is_missing() {
    let home = with_cache_yaml("shared: {bucket: results, key_secret: KEARNEY_SHARED_KEY}\n");
    let printed = refusal(&home);
    let missing = match cfg!(feature = "shared") {
        true => "KEARNEY_SHARED_KEY",
        false => "configs/cache.yaml: shared: this program was built without the feature `shared`",
    };
    assert!(printed.contains(missing), "{printed}");
    let home = with_cache_yaml("shared:\n  bucket: results\n  key: hush\n");
    let printed = refusal(&home);
    let parts = [
        "configs/cache.yaml",
        "unknown field `key`",
        "`key_secret`",
        "line 3",
    ];
    assert!(parts.iter().all(|part| printed.contains(part)), "{printed}");
}
