//! Known methods, by default and from the variable, which is read once per process.

use std::process::Command;

use http::Method;
use ops_http::{known_method, refused_methods};

const VARIABLE: &str = "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS";
const EXPECTED: &str = "EXPECTED_METHODS";

/// Runs in its own process, with `name=known name` pairs and the refused entries.
#[test]
fn methods_of_this_process_are_as_expected() {
    let Ok(expected) = std::env::var(EXPECTED) else {
        return; // not started by the other test
    };
    let (known, refused) = expected.split_once('|').unwrap();
    for pair in known.split_whitespace() {
        let (method, name) = pair.split_once('=').unwrap();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        assert_eq!(known_method(&method).unwrap_or("_OTHER"), name);
    }
    let refused: Vec<&str> = refused.split_whitespace().collect();
    assert_eq!(refused_methods(), refused);
    println!("checked {expected}");
}

#[test]
fn query_is_known_by_default_and_the_variable_replaces_the_whole_list() {
    let default = "GET=GET HEAD=HEAD POST=POST PUT=PUT DELETE=DELETE CONNECT=CONNECT OPTIONS=OPTIONS TRACE=TRACE \
                   PATCH=PATCH QUERY=QUERY get=_OTHER query=_OTHER PROPFIND=_OTHER|";
    let long = "X".repeat(33);
    let many: Vec<String> = (0..65).map(|n| format!("M{n}")).collect();
    let table = [
        (None, default.to_owned()),
        (Some(String::new()), default.to_owned()),
        (Some(" , ,".to_owned()), default.to_owned()),
        (
            Some("GET, PROPFIND ,patch,GET".to_owned()),
            "GET=GET PROPFIND=PROPFIND patch=patch PATCH=_OTHER QUERY=_OTHER POST=_OTHER|"
                .to_owned(),
        ),
        (
            Some(format!("GET,P(ST,{long}")),
            format!("GET=GET POST=_OTHER|P(ST {long}"),
        ),
        (
            Some(many.join(",")),
            "M0=M0 M63=M63 M64=_OTHER|M64".to_owned(),
        ),
    ];
    for (value, expected) in table {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args([
            "methods::methods_of_this_process_are_as_expected",
            "--exact",
            "--nocapture",
        ]);
        child.env_remove(VARIABLE).env(EXPECTED, &expected);
        if let Some(value) = &value {
            child.env(VARIABLE, value);
        }
        let output = child.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{value:?}: {text}");
        assert!(
            text.contains(&format!("checked {expected}")),
            "{value:?}: {text}"
        );
    }
}
