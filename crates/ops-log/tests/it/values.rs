use std::fmt;

use ops_log::{Level, MAX_FIELDS, MAX_VALUE_BYTES, Value, info};
use serde::Serialize;

use crate::{json, pipeline, rest};

struct Panics;

impl fmt::Display for Panics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("half")?;
        panic!("in Display");
    }
}

struct Fails;

impl fmt::Display for Fails {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Err(fmt::Error)
    }
}

#[test]
fn numbers_are_json_numbers_and_non_finite_ones_are_null() {
    let (pipeline, written) = json();
    info!(
        pipeline.root(),
        "numbers",
        a = i128::MIN,
        b = u64::MAX,
        c = 1.0,
        d = 1e20,
        e = 1e-7,
        f = -0.0,
        g = 5e-324,
        h = f64::NAN,
        i = f64::INFINITY,
        j = 0.1_f32,
        k = 'x',
        l = (),
        m = Option::<u8>::None,
        n = Some(3_u8),
        o = -1_isize
    );
    let line = written.last();
    let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert!(
        line.contains(
            r#""a":-170141183460469231731687303715884105728,"b":18446744073709551615,"c":1.0,"#
        ),
        "{line}"
    );
    for (key, value) in [("d", 1e20), ("e", 1e-7), ("g", 5e-324), ("j", 0.1)] {
        assert_eq!(parsed[key], value, "{line}");
    }
    for key in ["h", "i", "l", "m"] {
        assert!(parsed[key].is_null(), "{line}");
    }
    assert!(
        line.contains(r#""f":-0.0"#)
            && line.contains(r#""k":"x""#)
            && line.contains(r#""n":3,"o":-1"#),
        "{line}"
    );
}

#[test]
fn numbers_of_every_length_print_like_rusts() {
    let (pipeline, _) = json();
    let log = pipeline.root();
    let powers = (0..20).map(|digits| 10_u64.pow(digits));
    for number in powers.flat_map(|power| [power - 1, power, power + 7, power / 4 * 3]) {
        info!(
            log,
            "integers",
            a = number,
            b = -(number as i64),
            c = number as u16
        );
        assert_eq!(
            rest(&pipeline.recent(1)[0]),
            format!(
                r#","a":{number},"b":{},"c":{}}}"#,
                -(number as i64),
                number as u16
            )
        );
    }
    for thousandths in (0..3_000_u32).chain(99_990_000..100_010_000).step_by(7) {
        for divisor in [1.0, 7.0, 10.0, 1000.0] {
            let (wide, narrow) = (f64::from(thousandths) / divisor, thousandths as f32 / 8.0);
            info!(log, "floats", a = wide, b = -wide, c = narrow);
            assert_eq!(
                rest(&pipeline.recent(1)[0]),
                format!(r#","a":{wide:?},"b":{:?},"c":{narrow:?}}}"#, -wide)
            );
        }
    }
}

#[test]
fn text_of_every_length_is_what_serde_makes_of_it() {
    let (pipeline, _) = json();
    let log = pipeline.root();
    for length in 0..70 {
        for special in ['x', '"', '\\', '\n', 'é', '\u{1}'] {
            for at in 0..=length {
                let text: String = (0..length)
                    .map(|position| if position == at { special } else { 'a' })
                    .collect();
                info!(log, "text", text = text);
                let expected = serde_json::to_string(&text).unwrap();
                assert_eq!(
                    rest(&pipeline.recent(1)[0]),
                    format!(r#","text":{expected}}}"#)
                );
            }
        }
    }
}

#[test]
fn values_of_every_kind_may_stand_in_a_macro() {
    struct Own;

    impl slog::Value for Own {
        fn serialize(
            &self,
            _: &slog::Record<'_>,
            key: slog::Key,
            serializer: &mut dyn slog::Serializer,
        ) -> slog::Result {
            serializer.emit_u8(key, 7)
        }
    }

    fn generic<T: slog::Value>(log: &ops_log::Logger, value: T) {
        info!(log, "generic", value = value);
    }

    let (pipeline, written) = json();
    let log = pipeline.root();
    let owned = String::from("owned");
    info!(
        log,
        "kinds",
        a = Own,
        b = &&1_u8,
        c = owned,
        d = *owned,
        e = Some("x"),
        f = Value::from(2),
        g = std::borrow::Cow::Borrowed("cow"),
        h = std::sync::Arc::new(5_u8),
        i = 1_u128,
    );
    assert_eq!(
        rest(&written.last()),
        r#","a":7,"b":1,"c":"owned","d":"owned","e":"x","f":2,"g":"cow","h":5,"i":1}"#
    );
    generic(&log, 3_u8);
    assert_eq!(rest(&written.last()), r#","value":3}"#);
    generic(&log, Own);
    assert_eq!(rest(&written.last()), r#","value":7}"#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_value_may_be_awaited_in_a_task() {
    async fn answer() -> u8 {
        tokio::task::yield_now().await;
        42
    }

    let (pipeline, written) = json();
    let log = pipeline.root();
    let task = tokio::spawn(async move { info!(log, "awaited", answer = answer().await) });
    task.await.unwrap();
    assert_eq!(rest(&written.last()), r#","answer":42}"#);
}

#[test]
fn a_value_that_panics_or_fails_costs_itself_only() {
    let (pipeline, written) = json();
    info!(pipeline.root(), "panics", before = 1, bad = %Panics, worse = %Fails, after = 2);
    info!(pipeline.root(), "goes_on", n = 1);
    let lines = written.lines();
    assert_eq!(
        rest(&lines[0]),
        r#","before":1,"bad":"<panic in fmt>","worse":"<error in fmt>","after":2}"#
    );
    assert_eq!(rest(&lines[1]), r#","n":1}"#);
    assert_eq!(pipeline.stats().value_errors, 2);
}

#[test]
fn a_lazy_value_that_panics_leaves_a_valid_line() {
    let (pipeline, written) = json();
    let lazy = slog::FnValue(|_: &slog::Record<'_>| -> u8 { panic!("in FnValue") });
    info!(pipeline.root(), "lazy", before = 1, bad = lazy, after = 2);
    let parsed: serde_json::Value = serde_json::from_str(&written.last()).unwrap();
    assert_eq!(parsed["before"], 1);
    assert!(parsed["log_error"].is_string(), "{parsed}");
}

#[test]
fn a_value_that_logs_while_it_is_formatted_does_not_disturb_its_line() {
    struct Logs(ops_log::Logger, u8);

    impl fmt::Display for Logs {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            if self.1 > 0 {
                info!(self.0, "inner", depth = self.1, deeper = %Logs(self.0.clone(), self.1 - 1));
            }
            ops_log::bind_context!(bound_meanwhile = 1);
            f.write_str("done")
        }
    }

    let (pipeline, written) = json();
    info!(pipeline.root(), "outer", a = 1, value = %Logs(pipeline.root(), 3), b = 2);
    ops_log::clear_context();
    let lines = written.lines();
    assert_eq!(
        rest(lines.last().unwrap()),
        r#","a":1,"value":"done","b":2}"#
    );
    assert_eq!(
        lines.len(),
        2,
        "one line within a line is written, deeper ones are not"
    );
    let stats = pipeline.stats();
    assert_eq!((stats.written, stats.dropped), (2, 1));
}

#[test]
fn long_values_are_cut_between_characters_and_say_so() {
    let (pipeline, written) = json();
    let long = "é".repeat(MAX_VALUE_BYTES);
    info!(pipeline.root(), "long", text = &long, shown = %long, odd = %format!("x{long}"), after = 1);
    let parsed: serde_json::Value = serde_json::from_str(&written.last()).unwrap();
    for (key, missing) in [
        ("text", MAX_VALUE_BYTES),
        ("shown", MAX_VALUE_BYTES),
        ("odd", MAX_VALUE_BYTES + 2),
    ] {
        let text = parsed[key].as_str().unwrap();
        let end = format!("…[truncated {missing}]");
        assert!(
            text.ends_with(&end),
            "{key}: {:?}",
            &text[text.len() - 40..]
        );
        assert_eq!(
            text.trim_end_matches(&end).len() + missing,
            long.len() + usize::from(key == "odd")
        );
    }
    assert_eq!(parsed["after"], 1);
    assert_eq!(pipeline.stats().truncated, 3);
}

#[test]
fn too_many_fields_and_too_long_lines_lose_fields_and_count_them() {
    let (pipeline, written) = json();
    let keys: Vec<String> = (0..10_000).map(|n| format!("k{n}")).collect();
    let many: Vec<(&str, Value)> = keys
        .iter()
        .map(|key| (key.as_str(), Value::from(1)))
        .collect();
    pipeline.root().log(Level::Info, "many", &many);
    let parsed: serde_json::Value = serde_json::from_str(&written.last()).unwrap();
    assert_eq!(parsed["fields_dropped"], 10_000 - MAX_FIELDS);

    let text = "\u{1}".repeat(MAX_VALUE_BYTES);
    let long: Vec<(&str, Value)> = keys[..20]
        .iter()
        .map(|key| (key.as_str(), Value::from(&text)))
        .collect();
    pipeline.root().log(Level::Info, "long", &long);
    let line = written.last();
    assert!(line.len() <= ops_log::MAX_LINE_BYTES, "{}", line.len());
    let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert!(parsed["fields_dropped"].as_u64().unwrap() > 0);
}

#[test]
fn odd_keys_become_usable_ones() {
    let (pipeline, written) = json();
    let long = "k".repeat(1000);
    pipeline.root().log(
        Level::Info,
        "odd",
        &[
            ("", 1.into()),
            (&long, 2.into()),
            ("http.method", "GET".into()),
        ],
    );
    info!(pipeline.root(), "literal", "http.status" = 200, "b c" = %1);
    let lines = written.lines();
    let parsed: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(parsed["_"], 1);
    assert_eq!(parsed["k".repeat(256)], 2);
    assert_eq!(rest(&lines[1]), r#","http.status":200,"b c":"1"}"#);
}

#[derive(Clone, Serialize)]
struct Order {
    id: u64,
    note: &'static str,
    api_token: &'static str,
    lines: Vec<(u8, f64)>,
}

#[test]
fn nested_values_are_json_and_keep_the_order_of_their_fields() {
    let (pipeline, written) = json();
    let order = Order {
        id: 7,
        note: "a\u{2028}\n\u{7f}\"\\/b",
        api_token: "hidden",
        lines: vec![(1, 0.5), (2, f64::NAN)],
    };
    info!(
        pipeline.root(),
        "nested",
        order = slog::Serde(order),
        after = 1
    );
    assert_eq!(
        rest(&written.last()),
        r#","order":{"id":7,"note":"a\u2028\n\u007f\"\\/b","api_token":"[REDACTED]","lines":[[1,0.5],[2,null]]},"after":1}"#
    );
}

#[test]
fn a_nested_value_that_fails_or_is_too_long_leaves_a_text() {
    #[derive(Clone)]
    struct Broken;

    impl Serialize for Broken {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            use serde::ser::SerializeMap;
            let mut map = serializer.serialize_map(None)?;
            map.serialize_entry("a", &1)?;
            Err(serde::ser::Error::custom("no \"luck\""))
        }
    }

    let (pipeline, written) = json();
    let long = vec!["x".repeat(1000); 100];
    info!(
        pipeline.root(),
        "broken",
        a = slog::Serde(Broken),
        b = slog::Serde(long),
        c = 3
    );
    assert_eq!(
        rest(&written.last()),
        r#","a":"<error: no \"luck\">","b":"[over 16384 bytes]","c":3}"#
    );
}

#[test]
fn bytes_and_paths_that_are_not_utf8_are_written_without_loss() {
    use std::os::unix::ffi::OsStrExt;
    let (pipeline, written) = json();
    let bytes: &[u8] = b"ok\xff\xfeend";
    let path = std::path::Path::new(std::ffi::OsStr::from_bytes(bytes));
    info!(pipeline.root(), "bytes", raw = bytes, path = ?path, shown = path.display());
    assert_eq!(
        rest(&written.last()),
        "\",\"raw\":\"ok\\\\xff\\\\xfeend\",\"path\":\"\\\"ok\\\\xFF\\\\xFEend\\\"\",\"shown\":\"ok\u{fffd}\u{fffd}end\"}".trim_start_matches('"')
    );
}

#[test]
fn errors_print_their_causes() {
    let (pipeline, written) = json();
    let error = std::io::Error::other("disk gone");
    info!(pipeline.root(), "failed", error = error);
    assert_eq!(rest(&written.last()), r#","error":"disk gone"}"#);
}

#[test]
fn denied_keys_have_no_value_wherever_they_are_bound() {
    let (pipeline, written) = json();
    let log = pipeline.root().bind("db_password", "p1");
    let _scope = ops_log::context_scope!(token = "p2", user = "ada");
    info!(
        log,
        "denied",
        "X-API-Key" = "p3",
        refreshToken = "p4",
        tokens = 5,
        password = 6
    );
    assert_eq!(
        rest(&written.last()),
        r#","token":"[REDACTED]","user":"ada","db_password":"[REDACTED]","X-API-Key":"[REDACTED]","refreshToken":"[REDACTED]","tokens":5,"password":"[REDACTED]"}"#
    );
}

fn raw(json: &str) -> slog::Serde<Box<serde_json::value::RawValue>> {
    slog::Serde(serde_json::value::RawValue::from_string(json.to_owned()).unwrap())
}

#[test]
fn raw_json_is_read_and_written_as_every_other_value_is() {
    let (pipeline, written) = json();
    let whole = "9".repeat(400);
    for (text, expected) in [
        (
            "{\n \"b\": 1,\r\n \"a\" : [ 1 , 2.50, true, null ]\n}",
            r#"{"b":1,"a":[1,2.50,true,null]}"#,
        ),
        (
            r#"{"password": "p1", "in": {"api_key": ["p2"]}}"#,
            r#"{"password":"[REDACTED]","in":{"api_key":"[REDACTED]"}}"#,
        ),
        (
            "{\"pass\\u0077ord\": \"p\"}",
            r#"{"password":"[REDACTED]"}"#,
        ),
        ("\"a\\u2028b\\/\u{202e}\"", r#""a\u2028b/\u202e""#),
        (
            "123456789012345678901234567890",
            "123456789012345678901234567890",
        ),
        (" [ ] ", "[]"),
        // numbers out of range for all types, which JSON readers refuse
        (
            r#"{"big": 1e400, "a": [-1E+999]}"#,
            r#"{"big":"1e400","a":["-1E+999"]}"#,
        ),
        ("-1e400", r#""-1e400""#),
        (&whole, &format!("\"{whole}\"")),
    ] {
        info!(pipeline.root(), "raw", value = raw(text));
        assert!(serde_json::from_str::<serde_json::Value>(&written.last()).is_ok());
        assert_eq!(
            rest(&written.last()),
            format!(",\"value\":{expected}}}"),
            "{text}"
        );
        // within another value, and as a captured value
        info!(
            pipeline.root(),
            "raw",
            value = slog::Serde(vec![
                serde_json::value::RawValue::from_string(text.trim().to_owned()).unwrap()
            ])
        );
        assert_eq!(
            rest(&written.last()),
            format!(",\"value\":[{expected}]}}"),
            "{text}"
        );
        let value: Value = serde_json::from_str(text).unwrap();
        if !matches!(value, Value::Text(_)) {
            pipeline
                .root()
                .log(ops_log::Level::Info, "raw", &[("value", value)]);
            assert_eq!(
                rest(&written.last()),
                format!(",\"value\":{expected}}}"),
                "{text}"
            );
        }
    }
}

#[test]
fn raw_json_that_is_nested_too_deeply_is_an_error_in_its_place() {
    let (pipeline, written) = json();
    let deep = format!("{}{}", "[".repeat(7_000), "]".repeat(7_000));
    let value = slog::Serde(serde_json::value::RawValue::from_string(deep).unwrap());
    info!(pipeline.root(), "raw", value = value, after = 1);
    let line = written.last();
    assert!(
        line.contains("<error: ") && line.ends_with("\"after\":1}\n"),
        "{line}"
    );
    assert_eq!(pipeline.stats().value_errors, 1);
}

/// List of itself, or object with itself under a key, without end.
#[derive(Clone)]
struct Endless(Option<&'static str>);

impl serde::Serialize for Endless {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            None => serializer.collect_seq([self]),
            Some(key) => serializer.collect_map([(key, self)]),
        }
    }
}

#[test]
fn a_value_that_is_nested_deeper_than_readers_go_is_an_error_in_its_place() {
    let (pipeline, written) = json();
    let last = || serde_json::from_str::<serde_json::Value>(&written.last()).unwrap();
    for levels in (90..140).chain([1000]) {
        let nested = (0..levels).fold(serde_json::json!([]), |inner, level| match level % 2 {
            0 => serde_json::json!([inner]),
            _ => serde_json::json!({"within": inner}),
        });
        let raw = format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        let raw = serde_json::value::RawValue::from_string(raw).unwrap();
        info!(
            pipeline.root(),
            "nested",
            value = slog::Serde(nested),
            after = 1
        );
        assert_eq!(last()["after"], 1);
        assert_eq!(last()["value"].is_string(), levels >= 120, "{levels}");
        info!(
            pipeline.root(),
            "nested",
            value = slog::Serde(vec![vec![raw]]),
            after = 1
        );
        assert_eq!(last()["after"], 1);
    }
    for key in [None, Some("within"), Some("password")] {
        let value = slog::Serde(Endless(key));
        info!(pipeline.root(), "endless", value = value, after = 1);
        let line = last();
        assert!(
            line["value"].as_str().unwrap().starts_with("<error: "),
            "{line}"
        );
        assert_eq!(line["after"], 1);
    }
}

#[test]
fn keys_are_denied_by_path_and_allowed_as_exceptions() {
    let (pipeline, written) = pipeline(
        |config| {
            config
                .denied_keys(["token", "user.email", "http.headers.x-id"])
                .allowed_keys(["next_page_token", "page.token"])
        },
        true,
    );
    let value = serde_json::json!({
        "user": {"email": "e", "name": "n"},
        "email": "shown",
        "token": "t",
        "next_page_token": "shown",
        "page": {"token": "shown"},
        "list": [{"user": {"email": "e"}}],
    });
    info!(
        pipeline.root(),
        "paths",
        body = slog::Serde(value),
        "user.email" = "e",
        email = "shown",
        next_page_token = "shown",
        api_token = "t"
    );
    assert_eq!(
        rest(&written.last()),
        concat!(
            r#","body":{"email":"shown","list":[{"user":{"email":"[REDACTED]"}}],"next_page_token":"shown","page":{"token":"shown"},"token":"[REDACTED]","user":{"email":"[REDACTED]","name":"n"}}"#,
            r#","user.email":"[REDACTED]","email":"shown","next_page_token":"shown","api_token":"[REDACTED]"}"#
        )
    );
    // a path starts with the key of the field
    info!(
        pipeline.root(),
        "paths",
        user = slog::Serde(serde_json::json!({"email": "e"}))
    );
    assert_eq!(rest(&written.last()), r#","user":{"email":"[REDACTED]"}}"#);
    let headers = serde_json::json!({"headers": {"X-Id": "i", "Host": "h"}});
    info!(pipeline.root(), "paths", http = slog::Serde(headers));
    assert_eq!(
        rest(&written.last()),
        r#","http":{"headers":{"Host":"h","X-Id":"[REDACTED]"}}}"#
    );
}

#[test]
fn the_default_list_knows_the_usual_names_and_the_usual_exceptions() {
    let (pipeline, written) = json();
    for key in [
        "pwd",
        "db_pwd",
        "pass",
        "userPass",
        "passwd",
        "jwt",
        "id_jwt",
        "bearer",
        "session_id",
        "dsn",
        "connection_string",
        "Authorization",
        "Set-Cookie",
        "client_secret",
        "aws.secret_access_key",
        "privateKey",
        "sessionId",
        "connectionString",
        "API KEY",
        "cookies",
        "passwords",
        "password1",
        "password_2",
        "passwordConfirmation",
        "SecretString",
        "AccountKey",
        "api_keys",
        "password:",
        "token[]",
        "auth[token]",
    ] {
        pipeline
            .root()
            .log(ops_log::Level::Info, "denied", &[(key, "v".into())]);
        assert_eq!(
            rest(&written.last()),
            format!(",\"{key}\":\"[REDACTED]\"}}")
        );
    }
    for key in [
        "next_page_token",
        "nextPageToken",
        "is_secret",
        "has_password",
        "tokens",
        "max_tokens",
        "token_count",
        "nextPageToken2",
        "passed",
        "secretary",
        "bypass",
        "session",
    ] {
        pipeline
            .root()
            .log(ops_log::Level::Info, "allowed", &[(key, "v".into())]);
        assert_eq!(rest(&written.last()), format!(",\"{key}\":\"v\"}}"));
    }
}

#[test]
fn pairs_of_key_and_value_are_denied_by_their_key() {
    let (pipeline, written) = json();
    let headers = vec![
        ("accept", "*/*"),
        ("authorization", "Bearer abc"),
        ("cookie", "c"),
    ];
    info!(pipeline.root(), "pairs", headers = slog::Serde(headers));
    assert_eq!(
        rest(&written.last()),
        r#","headers":[["accept","*/*"],["authorization","[REDACTED]"],["cookie","[REDACTED]"]]}"#
    );
    info!(
        pipeline.root(),
        "names",
        missing = slog::Serde(vec!["password", "user"])
    );
    assert_eq!(rest(&written.last()), r#","missing":["password","user"]}"#);
}

#[test]
fn the_list_that_decides_is_that_of_the_pipeline_that_writes() {
    let (strict, strictly) = pipeline(
        |config| config.denied_keys(["nickname"]).field("nickname", "n"),
        true,
    );
    let (lax, laxly) = pipeline(|config| config.denied_keys(["else"]), true);
    // bound by the global list, before or after it was configured
    let _scope = ops_log::context_scope!(nickname = "n", password = "p");
    for _ in 0..2 {
        info!(strict.root().bind("my_nickname", "m"), "bound");
        assert_eq!(
            rest(&strictly.last()),
            r#","nickname":"[REDACTED]","password":"p","my_nickname":"[REDACTED]"}"#
        );
        info!(lax.root().bind("my_nickname", "m"), "bound");
        assert_eq!(
            rest(&laxly.last()),
            r#","nickname":"n","password":"p","my_nickname":"m"}"#
        );
    }
    lax.configure(
        ops_log::Config::new()
            .stdout(false)
            .denied_keys(["nickname"]),
    )
    .unwrap();
    info!(lax.root(), "later");
    assert!(
        lax.recent(1)[0].contains(r#""nickname":"[REDACTED]","password":"p""#),
        "{:?}",
        lax.recent(1)
    );
}

#[test]
fn a_key_that_is_cut_is_denied_by_its_end() {
    let (pipeline, written) = json();
    let key = format!("{}_password", "k".repeat(300));
    pipeline
        .root()
        .log(ops_log::Level::Info, "long", &[(&key, "hidden".into())]);
    assert_eq!(
        rest(&written.last()),
        format!(",\"{}\":\"[REDACTED]\"}}", "k".repeat(256))
    );
    let log = pipeline.root().bind(key, "hidden");
    info!(log, "bound");
    assert!(!written.last().contains("hidden"), "{}", written.last());
}

#[test]
fn denied_words_may_be_short() {
    for (word, keys) in [("p", ["p", "P", "-p"]), ("pw", ["pw", "P_W", "db-pw"])] {
        let (pipeline, written) = pipeline(|config| config.denied_keys([word]), true);
        for key in keys {
            let log = pipeline.root();
            log.log(ops_log::Level::Info, "e", &[(key, "t0ps".into())]);
            assert_eq!(rest(&written.last()), format!(r#","{key}":"[REDACTED]"}}"#));
        }
        info!(
            pipeline.root(),
            "e",
            p = "t0ps",
            db_pw = "t0ps",
            x = 1,
            ok = 2
        );
        let expected = if word == "p" {
            r#","p":"[REDACTED]","db_pw":"t0ps","x":1,"ok":2}"#
        } else {
            r#","p":"t0ps","db_pw":"[REDACTED]","x":1,"ok":2}"#
        };
        assert_eq!(rest(&written.last()), expected);
    }
}

/// Error with a cause that it does not print.
#[derive(Debug)]
struct Outer(std::num::ParseIntError);

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot read the port")
    }
}

impl std::error::Error for Outer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[test]
fn an_error_is_written_with_its_causes() {
    let (pipeline, written) = json();
    let error = Outer("eighty".parse::<u16>().unwrap_err());
    let expected = "\"cannot read the port: invalid digit found in string\"";
    info!(pipeline.root(), "start_failed", error = &error);
    assert!(rest(&written.last()).ends_with(&format!("\"error\":{expected}}}")));
    info!(pipeline.root(), "start_failed", error = error);
    assert!(rest(&written.last()).ends_with(&format!("\"error\":{expected}}}")));
    let boxed: Box<dyn std::error::Error + Send + Sync> = Box::new(error);
    info!(pipeline.root(), "start_failed", error = &*boxed, port = 80);
    assert!(rest(&written.last()).ends_with(&format!("\"error\":{expected},\"port\":80}}")));
}

#[test]
fn a_bound_number_of_32_bits_has_its_own_digits() {
    for number in [0.1_f32, -3.4e38, f32::MIN_POSITIVE, 16_777_216.0] {
        let (pipeline, written) = json();
        let log = pipeline.root().bind("r", number);
        info!(log, "x", f = number);
        let line: serde_json::Value = serde_json::from_str(&written.last()).unwrap();
        assert_eq!(line["r"], line["f"], "{}", written.last());
    }
    assert_eq!(
        Value::from(f32::NAN).to_string(),
        Value::from(f64::NAN).to_string()
    );
}

#[test]
fn bound_fields_that_are_too_many_are_counted() {
    let (pipeline, written) = json();
    let names: Vec<String> = (0..MAX_FIELDS + 44).map(|n| format!("f{n}")).collect();
    let log = names
        .into_iter()
        .fold(pipeline.root(), |log, name| log.bind(name, 1));
    info!(log, "x");
    let line: serde_json::Value = serde_json::from_str(&written.last()).unwrap();
    assert_eq!(line["fields_dropped"], 44);
}

#[test]
fn a_value_beside_its_denied_name_is_hidden() {
    let (pipeline, written) = json();
    let environment = r#"[{"name":"DB_PASSWORD","value":"p1"},{"Key":"api-key","Value":{"a":["p2"]},"to":1},
        {"name":"HOME","value":"/root"},{"name":["password"],"value":1},{"value":2,"name":"token"},
        {"name":"next_page_token","value":3},{"name":"pwd","of":{"value":4}}]"#;
    info!(pipeline.root(), "pairs", env = raw(environment));
    assert_eq!(
        rest(&written.last()),
        concat!(
            r#","env":[{"name":"DB_PASSWORD","value":"[REDACTED]"},{"Key":"api-key","Value":"[REDACTED]","to":1},"#,
            r#"{"name":"HOME","value":"/root"},{"name":["password"],"value":1},{"value":2,"name":"token"},"#,
            r#"{"name":"next_page_token","value":3},{"name":"pwd","of":{"value":4}}]}"#
        )
    );
    #[derive(Serialize)]
    struct Variable {
        name: &'static str,
        value: u32,
    }
    let variable = Variable {
        name: "session_id",
        value: 7,
    };
    info!(
        pipeline.root(),
        "pair",
        one = slog::Serde(serde_json::to_value(variable).unwrap())
    );
    assert_eq!(
        rest(&written.last()),
        r#","one":{"name":"session_id","value":"[REDACTED]"}}"#
    );
}

/// Error that is its own cause.
#[derive(Debug)]
struct OwnCause;

impl fmt::Display for OwnCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("caused by itself")
    }
}

impl std::error::Error for OwnCause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self)
    }
}

#[test]
fn causes_without_end_end_somewhere() {
    let (pipeline, written) = json();
    let error: &(dyn std::error::Error + 'static) = &OwnCause;
    slog::info!(pipeline.root().slog(), "slogs_own"; "error" => slog::ErrorValue(OwnCause));
    info!(pipeline.root(), "failed", error = error);
    for line in written.lines() {
        let start = "\"error\":\"caused by itself: caused by itself: ";
        assert!(line.contains(start) && line.ends_with(": …\"}\n"), "{line}");
    }
}
