//! JSON within text: cut, in `Debug` output, and within other JSON.

use std::collections::BTreeMap;

use ops_log::{
    Level, MAX_VALUE_BYTES, Pipeline, Value, bind_context, clear_context, info, redacted,
};

use crate::{bridges, json, pipeline};

/// Logs a text in every way, one line each.
fn logged(pipeline: &Pipeline, text: &str) {
    let log = pipeline.root();
    info!(log, "macro", body = text);
    info!(log, "display", body = %text);
    info!(log, "debug", body = ?text);
    info!(log.bind("body", text), "bound");
    log.log(Level::Info, "at run time", &[("body", text.into())]);
    log.log(Level::Info, text, &[]);
    slog::info!(log.slog(), "{}", text);
    slog::info!(log.slog(), "slog"; "body" => text);
    bind_context!(body = text);
    info!(log, "context");
    clear_context();
}

#[test]
fn a_document_that_is_cut_shows_no_part_of_what_the_cut_went_through() {
    let registered = "hunter2-registered-of-cut-documents";
    ops_log::redact(registered);
    // other tests may have registered a longer value, which extends the checked part
    for secret in ["postgres://app:hunter2hunter2@db/x", registered] {
        for hidden in [0, 100, 3000, 8000, 15_000] {
            for before in (0..secret.len() + 4).step_by(5) {
                // wherever the cut is, it splits a secret
                let log = format!(
                    "{}{}",
                    "y".repeat(before),
                    format!("{secret} zz ").repeat(900)
                );
                let password = "p".repeat(hidden);
                let text = format!(r#"{{"password":"{password}","then":"{log}","end":"the-end"}}"#);
                let (pipeline, written) = json();
                logged(&pipeline, &text);
                for line in written.lines() {
                    let end = &line[line.len() - 120..];
                    assert!(!line.contains("hunter2"), "{hidden} {before}: …{end}");
                    assert!(!line.contains("app:h"), "{hidden} {before}: …{end}");
                    let is_reported = line.contains("…[truncated ") || line.contains("the-end");
                    assert!(is_reported, "{hidden} {before}: …{end}");
                    assert!(serde_json::from_str::<Value>(&line).is_ok(), "{end}");
                }
            }
        }
    }
    ops_log::unredact(registered);
}

#[test]
fn a_document_that_is_cut_within_a_hidden_value_shows_what_is_before_it() {
    let (pipeline, written) = json();
    for long in [18_000, 20_000, 100_000] {
        let text = format!(
            r#"{{"user":"ada","password":"{}","end":"the-end"}}"#,
            "p".repeat(long)
        );
        info!(pipeline.root(), "asked", body = text.as_str(), again = %text);
        let line: serde_json::Value = serde_json::from_str(&written.last()).unwrap();
        for key in ["body", "again"] {
            let shown = line[key].as_str().unwrap();
            let cut = r#"{"user":"ada","password":"[REDACTED]"…[truncated "#;
            assert!(shown.starts_with(cut), "{shown}");
        }
    }
    // if the whole text was checked and is short after redaction, nothing is missing
    let text = format!(
        r#"{{"password":"{}","end":"the-end"}}"#,
        "p".repeat(MAX_VALUE_BYTES)
    );
    let truncated = pipeline.stats().truncated;
    info!(pipeline.root(), "asked", body = text.as_str());
    let line: serde_json::Value = serde_json::from_str(&written.last()).unwrap();
    assert_eq!(line["body"], r#"{"password":"[REDACTED]","end":"the-end"}"#);
    assert_eq!(pipeline.stats().truncated, truncated);
}

#[derive(Debug)]
#[expect(dead_code, reason = "shown by Debug")]
struct Request<'a> {
    body: &'a str,
    number: u8,
}

#[test]
fn a_document_in_debug_output_is_read_like_a_plain_one() {
    let documents = [
        r#"{"user":"ada","password":"hunter2"}"#.to_owned(),
        "\n {\"user\":\"ada\",\"password\":\"hunter2\"}".to_owned(),
        // characters that `Debug` escapes differently from JSON
        "{\"user\":\"it's a\u{a0}\0\u{200b}\u{7}\",\"password\":\"hunter2\"}".to_owned(),
        serde_json::json!({"Message": r#"{"password":"hunter2"}"#}).to_string(),
        format!(
            r#"{{"password":"hunter2","long":"{}"}}"#,
            "\u{a0}".repeat(MAX_VALUE_BYTES)
        ),
    ];
    bridges::init();
    for text in &documents {
        for is_json in [true, false] {
            let (pipeline, written) = pipeline(|config| config.console_context(true), is_json);
            let log = pipeline.root();
            let request = Request {
                body: text,
                number: 1,
            };
            info!(log, "asked", body = ?text);
            info!(log, "asked", body = ?Some(text));
            info!(log, "asked", body = ?request);
            info!(log, "asked", body = ?format!("{request:?}"));
            info!(log, "asked", body = %format!("no answer to {text:?}: {request:?}"));
            info!(log, format!("asked {request:?}"));
            info!(log.bind("body", format!("{request:?}")), "asked");
            slog::info!(log.slog(), "asked"; "body" => ?request);
            slog::info!(log.slog(), "asked {:?}", text);
            log.log(
                Level::Info,
                "asked",
                &[("body", format!("{request:?}").into())],
            );
            let lines = written.lines();
            assert_eq!(lines.len(), 10);
            for line in lines {
                assert!(!line.contains("hunter2"), "{line}");
                assert!(line.contains("[REDACTED]"), "{line}");
            }
        }
        let lines = ops_log::capture_logs(|| {
            tracing::info!(body = ?text, "asked");
            tracing::info!("asked {text:?}");
            let _span = tracing::info_span!("span", body = ?text).entered();
            tracing::info!("in_span");
        });
        assert_eq!(lines.len(), 3);
        for line in lines {
            assert!(!line.json.contains("hunter2"), "{}", line.json);
        }
    }
    let (pipeline, written) = json();
    let bytes = b"{\"user\":\"\xc3\xa9\",\"password\":\"hunter2\"}";
    info!(pipeline.root(), "asked", body = %format!("b\"{}\"", bytes.escape_ascii()));
    let line: serde_json::Value = serde_json::from_str(&written.last()).unwrap();
    let shown = r#"b"{\"user\":\"é\",\"password\":\"[REDACTED]\"}""#;
    assert_eq!(line["body"], shown);
    // text without secrets is unchanged
    for shown in [
        "say \"{\\u{a0}\\'}\" and \"[REDACTED]\"",
        r#"a 5" pipe, "[x" and "{\"page_token\":\"t\"}""#,
        r#"Some("{\"password\":\"\"}")"#,
    ] {
        info!(pipeline.root(), "asked", body = %shown, again = shown);
        let line: serde_json::Value = serde_json::from_str(&written.last()).unwrap();
        assert_eq!(line["body"], shown);
        assert_eq!(line["again"], shown);
    }
}

#[test]
fn documents_within_json_are_read_whatever_stands_before_them() {
    for within in [
        r#"{"pwd":"hunter2"}"#,
        " {\"pwd\":\"hunter2\"}",
        "\n{\"pwd\":\"hunter2\"}",
        "\r\n\t [{\"pwd\":\"hunter2\"}]",
        "why: \"{\\\"pwd\\\":\\\"hunter2\\\"}\"",
    ] {
        let object = serde_json::json!({"Message": within});
        let deeper = serde_json::json!({"Message": object.to_string()});
        for object in [object, deeper] {
            let value: Value = serde_json::from_str(&object.to_string()).unwrap();
            assert!(matches!(value, Value::Json(_)));
            for is_json in [true, false] {
                let (pipeline, written) = pipeline(|config| config.console_context(true), is_json);
                let log = pipeline.root();
                info!(log.bind("request", value.clone()), "bound");
                log.log(Level::Info, "at run time", &[("request", value.clone())]);
                info!(log, "nested", request = slog::Serde(object.clone()));
                info!(log, "in a list", request = slog::Serde(vec![within]));
                info!(log, "text", request = object.to_string());
                bind_context!(request = value.clone());
                info!(log, "context");
                clear_context();
                let lines = written.lines();
                assert_eq!(lines.len(), 6);
                for line in lines {
                    assert!(!line.contains("hunter2"), "{line}");
                    assert!(line.contains("[REDACTED]"), "{line}");
                }
            }
        }
    }
}

#[test]
fn documents_that_are_deep_within_others_are_hidden_as_a_whole_and_stay_short() {
    // escapes that grow by a few bytes per document, and that each line doubles
    for depth in [3, 5, 6, 7, 8, 20, 30] {
        let mut text = r#"{"password":"hunter2","user":"ada"}"#.to_owned();
        for _ in 0..depth {
            let within = text.replace('\\', r"\u005c").replace('"', r"\u0022");
            text = format!("{{\"in\":\"{within}\"}}");
        }
        let value: Value = serde_json::from_str(&text).unwrap();
        for is_json in [true, false] {
            let (pipeline, written) = pipeline(|config| config.console_context(true), is_json);
            logged(&pipeline, &text);
            info!(pipeline.root().bind("body", value.clone()), "bound");
            for line in written.lines() {
                assert!(!line.contains("hunter2"), "{depth}: {line}");
                assert!(line.contains("[REDACTED]"), "{depth}: {line}");
                assert!(line.len() < 64 * 1024, "{depth}: {}", line.len());
                assert!(depth > 4 || line.contains("ada"), "{depth}: {line}");
            }
        }
    }
}

#[derive(Debug)]
#[expect(dead_code, reason = "shown by `Debug`")]
struct Login {
    user: &'static str,
    db_password: &'static str,
    api_key: Option<Wrapped>,
    empty_token: &'static str,
    headers: BTreeMap<&'static str, &'static str>,
}

/// Bytes formatted as by the crate `bytes`.
struct Bytes(&'static [u8]);

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

#[derive(Debug)]
#[expect(dead_code, reason = "shown by `Debug`")]
struct Wrapped(&'static str);

#[test]
fn values_of_denied_fields_are_hidden_in_what_debug_shows_of_structs_and_maps() {
    let login = || Login {
        user: "ada",
        db_password: "hunter2 \"hunter2\", x",
        api_key: Some(Wrapped("hunter2\\")),
        empty_token: "",
        headers: [("x-api-key", "hunter2"), ("accept", "*/*")].into(),
    };
    let expected = r#"Login { user: "ada", db_password: "[REDACTED]", api_key: Some(Wrapped("[REDACTED]")), empty_token: "", headers: {"accept": "*/*", "x-api-key": "[REDACTED]"} }"#;
    let map = r#"Request { uri: /, headers: {"host": "a", "x-api-key": "hunter2"}, body: () }"#;
    for (text, expected) in [
        (format!("{:?}", login()), expected.to_owned()),
        (
            format!("cannot log in: {:?}", vec![Some(login())]),
            format!("cannot log in: [Some({expected})]"),
        ),
        (map.to_owned(), map.replace("hunter2", "[REDACTED]")),
        (
            r#"got {"n":1,"token":"hunter2","password": Some("hunter2")} twice"#.to_owned(),
            r#"got {"n":1,"token":"[REDACTED]","password": Some("[REDACTED]")} twice"#.to_owned(),
        ),
    ] {
        let (pipeline, written) = json();
        logged(&pipeline, &text);
        for line in written.lines() {
            assert!(!line.contains("hunter2"), "{line}");
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            let shown = [&line["body"], &line["event"]];
            let shown = shown.map(|text| text.as_str().unwrap_or_default().to_owned());
            let again = format!("{expected:?}");
            assert!(
                shown.contains(&expected) || shown.contains(&again),
                "{shown:?}"
            );
        }
    }
    for is_json in [true, false] {
        let (pipeline, written) = pipeline(|config| config, is_json);
        let document =
            serde_json::json!({ "n": [format!("{:?}", login()), format!("was: {map}")] });
        info!(pipeline.root(), "shown", pretty = %format_args!("{:#?}", login()), again = ?format!("{:#?}", login()));
        info!(
            pipeline.root(),
            "within",
            text = document.to_string(),
            serde = slog::Serde(document)
        );
        for line in written.lines() {
            assert!(!line.contains("hunter2"), "{line}");
            assert!(line.contains("ada") && line.contains("*/*"), "{line}");
        }
    }
}

#[test]
fn bytes_lists_and_pairs_are_hidden_in_what_debug_shows() {
    for (shown, expected) in [
        (
            format!("{:?}", BTreeMap::from([("token", Bytes(b"hunter2\"\xff"))])),
            r#"{"token": b"[REDACTED]"}"#,
        ),
        (
            format!(
                "{:?}",
                Keys {
                    api_keys: vec![None, Some(""), Some("hunter2"), None, Some("hunter2")],
                    ids: vec!["a", "b"]
                }
            ),
            r#"Keys { api_keys: [None, Some(""), Some("[REDACTED]"), None, Some("[REDACTED]")], ids: ["a", "b"] }"#,
        ),
        (
            format!(
                "{:#?}",
                Keys {
                    api_keys: vec![None, Some("hunter2"), Some("hunter2")],
                    ids: vec!["a", "b"]
                }
            ),
            "Keys {\n    api_keys: [\n        None,\n        Some(\n            \"[REDACTED]\",\n        ),\n        Some(\n            \"[REDACTED]\",\n        ),\n    ],\n    ids: [\n        \"a\",\n        \"b\",\n    ],\n}",
        ),
        (
            format!(
                "{:?}",
                BTreeMap::from([
                    ("a", [("x", "y")]),
                    ("token", [("hunter2", "hunter2")]),
                    ("z", [("x", "y")])
                ])
            ),
            r#"{"a": [("x", "y")], "token": [("[REDACTED]", "[REDACTED]")], "z": [("x", "y")]}"#,
        ),
        (
            format!(
                "{:?}",
                [("host", "a"), ("x-api-key", "hunter2"), ("accept", "*/*")]
            ),
            r#"[("host", "a"), ("x-api-key", "[REDACTED]"), ("accept", "*/*")]"#,
        ),
        (
            format!(
                "{:?}",
                BTreeMap::from([
                    ("token", std::cell::RefCell::new(Some("hunter2"))),
                    ("user", std::cell::RefCell::new(Some("ada")))
                ])
            ),
            r#"{"token": RefCell { value: Some("[REDACTED]") }, "user": RefCell { value: Some("ada") }}"#,
        ),
        (
            format!(
                "{:#?}",
                BTreeMap::from([
                    ("token", std::sync::Mutex::new("hunter2")),
                    ("user", std::sync::Mutex::new("ada"))
                ])
            ),
            "{\n    \"token\": Mutex {\n        data: \"[REDACTED]\",\n        poisoned: false,\n        ..\n    },\n    \"user\": Mutex {\n        data: \"ada\",\n        poisoned: false,\n        ..\n    },\n}",
        ),
        (
            format!("{:?}", ("password", "hunter2")),
            r#"("password", "[REDACTED]")"#,
        ),
        (
            format!(
                "{:#?}",
                [("password", Some(Bytes(b"hunter2"))), ("user", None)]
            ),
            "[\n    (\n        \"password\",\n        Some(\n            b\"[REDACTED]\",\n        ),\n    ),\n    (\n        \"user\",\n        None,\n    ),\n]",
        ),
    ] {
        for is_json in [true, false] {
            let (pipeline, written) = pipeline(|config| config.console_context(true), is_json);
            let text = redacted(&format!("got {shown}"));
            assert_eq!(text.as_deref(), Some(&*format!("got {expected}")));
            for before in ["cannot send ", "Request { id: 1, parts: "] {
                logged(&pipeline, &format!("{before}{shown}"));
            }
            for line in written.lines() {
                assert!(!line.contains("hunter2"), "{line}");
                assert!(line.contains("[REDACTED]"), "{line}");
                if is_json {
                    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
                    let again = format!("{expected:?}");
                    let again = again.trim_matches('"');
                    let is_shown = |key| {
                        let text = line[key].as_str().unwrap_or_default();
                        text.contains(expected) || text.contains(again)
                    };
                    assert!(is_shown("body") || is_shown("event"), "{line}");
                }
            }
        }
    }
}

#[test]
fn maps_of_denied_fields_and_variables_of_commands_are_hidden_in_what_debug_shows() {
    #[derive(Debug)]
    #[expect(dead_code, reason = "shown by `Debug`")]
    struct Jar {
        cookies: BTreeMap<&'static str, &'static str>,
        api_keys: Option<std::collections::BTreeSet<&'static str>>,
        sizes: BTreeMap<&'static str, u8>,
    }
    let jar = Jar {
        cookies: [("sid", "hunter2"), ("theme", "hunter2\"}")].into(),
        api_keys: Some(["hunter2"].into()),
        sizes: [("a", 1)].into(),
    };
    let mut command = std::process::Command::new("psql");
    command
        .env("PGPASSWORD", "hunter2\" x")
        .env("PGUSER", "ada");
    let expected =
        r#"Jar { cookies: "[REDACTED]", api_keys: Some("[REDACTED]"), sizes: {"a": 1} }"#;
    for (text, expected) in [
        (format!("{jar:?}"), expected),
        (
            format!("{command:?}"),
            r#"PGPASSWORD="[REDACTED]" PGUSER="ada" "psql""#,
        ),
    ] {
        assert_eq!(redacted(&text).as_deref(), Some(expected));
        let (pipeline, written) = json();
        logged(&pipeline, &text);
        logged(&pipeline, &format!("{text:#?}"));
        info!(
            pipeline.root(),
            "within",
            list = slog::Serde(vec![text.clone()])
        );
        for line in written.lines() {
            assert!(!line.contains("hunter2"), "{line}");
            assert!(line.contains("[REDACTED]"), "{line}");
        }
    }
    let pretty = redacted(&format!("{jar:#?}")).unwrap();
    assert!(
        !pretty.contains("hunter2") && pretty.contains("sizes"),
        "{pretty}"
    );
}

#[test]
fn pairs_in_documents_are_hidden_like_those_in_values() {
    for (text, expected) in [
        (
            r#"{"env":[{"name":"A","value":"b"},{"Name":"DB_PASSWORD","Kind":{"value":"x"},"Value":"hunter2"}]}"#,
            r#"{"env":[{"name":"A","value":"b"},{"Name":"DB_PASSWORD","Kind":{"value":"x"},"Value":"[REDACTED]"}]}"#,
        ),
        (
            r#"refused (400): [{"key": "token", "value": "hunter2"}, {"key": "a", "value": "b"}]"#,
            r#"refused (400): [{"key": "token", "value": "[REDACTED]"}, {"key": "a", "value": "b"}]"#,
        ),
        (
            r#"{"headers":[["accept","*/*"],["x-api-key","hunter2"]]}"#,
            r#"{"headers":[["accept","*/*"],["x-api-key","[REDACTED]"]]}"#,
        ),
    ] {
        assert_eq!(redacted(text).as_deref(), Some(expected));
        let (pipeline, written) = json();
        logged(&pipeline, text);
        info!(pipeline.root(), "within", list = slog::Serde(vec![text]));
        for line in written.lines() {
            assert!(!line.contains("hunter2"), "{line}");
            assert!(line.contains("[REDACTED]"), "{line}");
        }
    }
    for harmless in [
        r#"{"name":"password","type":"string","nested":{"value":"x"}}"#,
        r#"{"name":"DB_PASSWORD","valueFrom":{"secretKeyRef":{"name":"db","key":"x"}}}"#,
        r#"{"kinds":["token","session"],"names":[["a","token"],["b","c"]]}"#,
        r#"{"rows":[["password","age","city"],["token", "a", 1]]}"#,
        r#"{"value":"x","name":"token"}"#,
    ] {
        assert_eq!(redacted(harmless), None, "{harmless}");
    }
}

#[derive(Debug)]
#[expect(dead_code, reason = "shown by `Debug`")]
struct Keys {
    api_keys: Vec<Option<&'static str>>,
    ids: Vec<&'static str>,
}

#[test]
fn a_text_is_redacted_as_a_field_is() {
    for (text, expected) in [
        (
            r#"{"user":"ada","password":"hunter2","n":[{"token":12}]}"#,
            r#"{"user":"ada","password":"[REDACTED]","n":[{"token":"[REDACTED]"}]}"#,
        ),
        (
            r#"sent "{\"password\":\"hunter2\"}" to https://a:hunter2@b"#,
            r#"sent "{\"password\":\"[REDACTED]\"}" to https://a:[REDACTED]@b"#,
        ),
        (
            r#"Login { user: "ada", password: Some("hunter2") }"#,
            r#"Login { user: "ada", password: Some("[REDACTED]") }"#,
        ),
    ] {
        assert_eq!(redacted(text).as_deref(), Some(expected));
        let (pipeline, written) = json();
        info!(pipeline.root(), "event", text = text);
        let line: serde_json::Value = serde_json::from_str(&written.last()).unwrap();
        assert_eq!(line["text"], expected);
    }
}

#[test]
fn texts_that_are_no_fields_of_structs_stay() {
    for text in [
        r#"Login { token: Kind { value: "jwt" }, data: Mutex { data: "x" } }"#,
        r#"expect("token", "a"), [("token", "a", "b")], (("token"), "a")"#,
        r#"Header("password", "a"), ["token", "a"], ("a", "token"), ("b", "c")"#,
        r#"INSERT INTO "users" ("password", "email") VALUES ($1, $2)"#,
        r#"insert into users ("password", "email") values ($1, $2)"#,
        r#"CREATE TABLE t ("id" int, UNIQUE ("token", "user_id"), PRIMARY KEY ("secret", "id"))"#,
        r#"create index i on t using btree ("token", "user_id")"#,
        r#"INSERT INTO t VALUES ($1) ON CONFLICT ("token", "user_id") DO NOTHING"#,
        r#"SELECT DISTINCT ON ("token", "id") * FROM t GROUP BY ("token", "id")"#,
        r#"SELECT 1 FROM a JOIN b USING ("token", "id") WHERE ("token", "id") > ($1, $2)"#,
        r#"COPY users ("password", "email") FROM STDIN"#,
        r#"Login { password: "", user: ["ada"] }, ("a", "b"), ["c"]"#,
        r#"{"token": "", "user": "ada", "names": ["ada", "bob"]} "a", "b""#,
        r#"unexpected token: "}""#,
        r#"password: "must be longer""#,
        r#"unknown field "password", expected one of "user", "name""#,
        r#"missing field "token": expected a string at line 3"#,
        r#"User { name: "token", kind: "password", page_token: "abc" }"#,
        r#"Error { kind: "secret", token_kind: "a", has_password: "yes" }"#,
        r#"Query { password_len: "8", secret_name: "db", tokens_used: "12" }"#,
        r#"Login { password: None, token: Secret, api_key: ***, pass: "" }"#,
        r#"{ "a" } says: "b", "c""#,
        r#"secret "db" not found, pod "api": "crash""#,
        r#"invalid value for "password": {unclosed .. request 17 status 400"#,
        r#"column "token": 5 rows updated, field "password": "must be longer""#,
        r#"counts: {"token": 12, "pass": [1]}, schema: {"password": {"type": "text"}}"#,
    ] {
        let (pipeline, written) = json();
        logged(&pipeline, text);
        assert_eq!(redacted(text), None);
        for line in written.lines() {
            assert!(!line.contains("REDACTED"), "{line}");
        }
    }
}

#[test]
fn long_texts_of_what_is_nearly_a_denied_field_are_read_once() {
    let (pipeline, written) = json();
    for piece in [
        "\"",
        "\\\"",
        "(\"",
        "{ password: \"",
        ", password: ((((\"",
        "\"password\":",
        "a: Some(   \"x",
        "\n \n\"",
        "{ token: \"a\", \"b\", ",
        "[[None, \"",
        "(\"token\", \"",
    ] {
        let begin = std::time::Instant::now();
        info!(
            pipeline.root(),
            "long",
            text = piece.repeat(16_000 / piece.len())
        );
        assert!(
            begin.elapsed() < std::time::Duration::from_secs(20),
            "{piece}"
        );
        assert!(serde_json::from_str::<serde_json::Value>(&written.last()).is_ok());
    }
}
