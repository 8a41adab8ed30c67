use ops_log::{
    Config, Output, Pipeline, bind_context, clear_context, info, redact, redacted, unredact,
};

use crate::{json, pipeline, rest};

#[test]
fn a_registered_value_is_in_no_line_however_it_is_escaped() {
    redact("hunter2-\"quoted\"\n");
    for is_json in [true, false] {
        let (pipeline, written) = pipeline(|config| config.console_context(true), is_json);
        bind_context!(bound = "a hunter2-\"quoted\"\n b");
        info!(
            pipeline.root(),
            "say hunter2-\"quoted\"\n!",
            field = "x hunter2-\"quoted\"\n y",
            shown = %"hunter2-\"quoted\"\n"
        );
        clear_context();
        let line = written.last();
        assert!(!line.contains("hunter2"), "{line}");
        assert!(line.matches("[REDACTED]").count() >= 3, "{line}");
        if is_json {
            assert_eq!(
                rest(&line.replace("say ", "")),
                r#" !","bound":"a [REDACTED] b","field":"x [REDACTED] y","shown":"[REDACTED]"}"#
                    .trim_start_matches(" !\"")
            );
        }
        assert!(!pipeline.recent(1)[0].contains("hunter2"));
    }
}

#[test]
fn the_secrets_within_a_value_are_in_no_line_and_what_stands_beside_them_is() {
    let document = r#"{"username": "app-of-the-parts", "engine": "postgres-of-parts",
        "password": "pass\"word-of-parts", "nested": [{"api_key": ["first-of-the-keys", 7531864209]}],
        "url": "https://app:inner%40of-parts@host-of-parts/x", "token": "short"}"#;
    let url = "postgres://user-of-parts:outer-of-parts@db-of-parts:5432/name?sslmode=require";
    let text = r#"as app-of-the-parts to postgres-of-parts and host-of-parts: "pass\"word-of-parts",
        pass"word-of-parts, inner@of-parts, inner%40of-parts, first-of-the-keys, 7531864209, short;
        user-of-parts at db-of-parts with outer-of-parts"#;
    let shown = |text: &str| redacted(text).unwrap_or_else(|| text.to_owned());
    redact(document);
    redact(url);
    let scrubbed = shown(text);
    for gone in [
        "word-of-parts",
        "of-parts,",
        "first-of",
        "753186",
        "outer-of",
    ] {
        assert!(!scrubbed.contains(gone), "{gone}: {scrubbed}");
    }
    let names = ["app-of-the-parts", "postgres-of-parts", "host-of-parts"];
    for name in names
        .into_iter()
        .chain(["short", "user-of-parts", "db-of-parts"])
    {
        assert!(scrubbed.contains(name), "{name}: {scrubbed}");
    }
    unredact(document);
    unredact(url);
    assert_eq!(shown(text), text);
}

#[test]
fn a_separate_text_is_redacted_like_a_line() {
    for (text, shown) in [
        (
            r#"no login: Login { user: "ada", password: "correct-horse" }"#,
            r#"no login: Login { user: "ada", password: "[REDACTED]" }"#,
        ),
        (
            r#"{"user":"ada","password":"correct-horse"}"#,
            r#"{"user":"ada","password":"[REDACTED]"}"#,
        ),
        (
            r#"refused: "{\"api_key\": \"correct-horse\"}""#,
            r#"refused: "{\"api_key\": \"[REDACTED]\"}""#,
        ),
    ] {
        assert_eq!(redacted(text).as_deref(), Some(shown));
    }
    for harmless in [
        r#"Login { user: "ada", tokens: 5 }"#,
        r#"the password: "correct-horse""#,
        r#"{"user":"ada","page":"2"}"#,
    ] {
        assert_eq!(redacted(harmless), None);
    }
}

#[test]
fn a_part_that_also_occurs_unprotected_in_the_value_is_not_secret() {
    let url = "postgres://part-in-the-clear:part-in-the-clear@db/app";
    let document =
        r#"{"credentials": {"kind": "kind-of-the-account", "password": "word-of-the-account"}}"#;
    redact(url);
    redact(document);
    let text = "part-in-the-clear kind-of-the-account";
    assert_eq!(redacted(text), None);
    let scrubbed = redacted(&format!("{url} word-of-the-account"));
    assert_eq!(scrubbed.as_deref(), Some("[REDACTED] [REDACTED]"));
    unredact(url);
    unredact(document);
}

#[test]
fn a_value_of_digits_leaves_valid_json() {
    redact("8642097531");
    let (pipeline, written) = json();
    info!(
        pipeline.root(),
        "digits",
        n = 8_642_097_531_u64,
        text = "id 8642097531",
        nested = slog::Serde(vec![8_642_097_531_u64])
    );
    assert_eq!(
        rest(&written.last()),
        r#","n":"[REDACTED]","text":"id [REDACTED]","nested":["[REDACTED]"]}"#
    );
}

#[test]
fn matches_across_escapes_or_json_structure_are_ignored() {
    redact("nabcdefgh123");
    redact("\",\"k\":\"zzz");
    let (pipeline, written) = json();
    info!(pipeline.root(), "across", text = "\nabcdefgh123", k = "zzz");
    let parsed: serde_json::Value = serde_json::from_str(&written.last()).unwrap();
    assert_eq!(parsed["text"], "\nabcdefgh123");
    assert_eq!(parsed["k"], "zzz");
}

#[test]
fn short_values_are_not_registered_and_retired_ones_come_back() {
    redact("short");
    assert_eq!(redacted("a short text"), None);
    redact("retired-value-1");
    redact("retired-value-1-longer");
    assert_eq!(
        redacted("x retired-value-1-longer retired-value-1 y").unwrap(),
        "x [REDACTED] [REDACTED] y"
    );
    unredact("retired-value-1");
    assert_eq!(redacted("retired-value-1 y"), None);
    unredact("retired-value-1-longer");
    assert_eq!(redacted("retired-value-1-longer y"), None);
}

#[test]
fn a_line_of_an_output_that_logs_while_it_writes_is_scrubbed_too() {
    struct LogsWhileWriting(ops_log::Logger);

    impl std::io::Write for LogsWhileWriting {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            info!(self.0, "wrote", with = "talkative-secret-1");
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    redact("talkative-secret-1");
    let (other, _) = json();
    let output = Output::writer(LogsWhileWriting(other.root()));
    let pipeline = Pipeline::new(Config::new().stdout(false).output(output)).unwrap();
    info!(pipeline.root(), "sent");
    let lines = other.recent(1);
    assert!(lines[0].contains(r#""with":"[REDACTED]""#), "{lines:?}");
}

#[test]
fn each_form_that_escaping_gives_a_value_is_found() {
    let secret = "forms-\"quoted\"\\back\nnew\té🦀";
    redact(secret);
    let debug = format!("{secret:?}");
    let json = serde_json::to_string(secret).unwrap();
    let ascii = r#""forms-\"quoted\"\\back\nnew\t\u00e9\ud83e\udd80""#;
    let forms = [
        secret.to_owned(),
        debug.clone(),
        format!("{debug:?}"),
        format!("{:?}", format!("{debug:?}")),
        json.clone(),
        serde_json::to_string(&json).unwrap(),
        ascii.to_owned(),
        format!("{ascii:?}"),
        secret.escape_default().to_string(),
        "forms-%22quoted%22%5Cback%0Anew%09%C3%A9%F0%9F%A6%80".to_owned(),
        "forms-%22quoted%22%5cback%0anew%09%c3%a9%f0%9f%a6%80".to_owned(),
        // a parameter of a URL that is itself a parameter, and JSON in a parameter
        "forms-%2522quoted%2522%255Cback%250Anew%2509%25C3%25A9%25F0%259F%25A6%2580".to_owned(),
        "forms-%5C%22quoted%5C%22%5C%5Cback%5Cnnew%5Ct%C3%A9%F0%9F%A6%80".to_owned(),
        "forms-&quot;quoted&#34;\\back\nnew\té🦀".to_owned(),
        "forms-&amp;quot;quoted&amp;#x22;\\back\nnew\té🦀".to_owned(),
    ];
    for is_json in [true, false] {
        let (pipeline, written) = pipeline(|config| config, is_json);
        for form in &forms {
            info!(pipeline.root(), "form", text = %format!("<{form}>"));
            let line = written.last();
            assert!(line.contains("[REDACTED]"), "{form}: {line}");
            assert!(
                !line.contains("back") && !line.contains("quoted"),
                "{form}: {line}"
            );
            if is_json {
                assert!(
                    serde_json::from_str::<serde_json::Value>(&line).is_ok(),
                    "{line}"
                );
            }
        }
    }
    unredact(secret);
}

#[test]
fn a_value_is_found_in_html_that_is_encoded_in_a_url_or_in_json() {
    for secret in ["html-of-a<b>&\"c'd", "<&\"'html-of-signs"] {
        redact(secret);
        let html = secret
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        let html = html.replace('"', "&quot;").replace('\'', "&#39;");
        let url = html
            .replace('&', "%26")
            .replace(';', "%3B")
            .replace('#', "%23");
        let json = html.replace('&', "\\u0026");
        for form in [url.clone(), url.replace("%3B", "%3b"), json] {
            let scrubbed = redacted(&format!("got {form}."));
            assert_eq!(scrubbed.as_deref(), Some("got [REDACTED]."), "{form}");
        }
        unredact(secret);
    }
}

#[test]
fn a_value_is_found_where_each_sign_of_it_is_percent_encoded() {
    let encoded = |text: &str, mark: &str, is_upper: bool| -> String {
        let code = |c: char| match (c.is_ascii_alphanumeric(), is_upper) {
            (true, _) => c.to_string(),
            (false, true) => format!("{mark}{:02X}", c as u32),
            (false, false) => format!("{mark}{:02x}", c as u32),
        };
        text.chars().map(code).collect()
    };
    for secret in [
        "sk_live_each-sign-1",
        "sk-each-sign-2",
        "a.each.sign~3",
        "-_.~each-sign-4",
        "__--..~~__--",
        "each!sign-5",
        "eachsigns-6",
    ] {
        redact(secret);
        for mark in ["%", "%25", "%2525"] {
            for is_upper in [true, false] {
                let form = encoded(secret, mark, is_upper);
                let text = redacted(&format!("at /{form}?x"));
                assert_eq!(text.as_deref(), Some("at /[REDACTED]?x"), "{form}");
            }
        }
        unredact(secret);
    }
}

#[test]
fn a_long_value_is_found_where_only_its_end_is_encoded() {
    let long = "plainly3".repeat(40);
    for length in [60, 120, 128, 192, 320] {
        let value = format!("{}==<end>", &long[..length]);
        redact(&value);
        for encoded in [
            value.replace('=', "%3D"),
            value.replace('=', "%25253D"),
            value.replace('<', "&lt;"),
            value.replace('<', "&amp;lt;"),
        ] {
            // a mark without a code changes nothing
            for before in ["x ", "100%&"] {
                let scrubbed = redacted(&format!("{before}{encoded} y"));
                let expected = format!("{before}[REDACTED] y");
                assert_eq!(scrubbed.as_deref(), Some(&*expected), "{length}: {encoded}");
            }
        }
        unredact(&value);
    }
}

#[test]
fn a_value_is_found_in_base64_whatever_stands_around_it() {
    let secret = "in-base64\u{7ff}?>-1";
    // after nothing, `a:`, `ad:` and `ada:`, and before nothing, or `!` in the URL-safe alphabet
    let forms = [
        ("", "aW4tYmFzZTY0378\\/Pi0x"),
        ("", "aW4tYmFzZTY0378_Pi0xIQ=="),
        ("", "aW4tYmFzZTY0378%2FPi0x"),
        ("YTp", "YTppbi1iYXNlNjTfvz8%2BLTE="),
        ("YTp", "YTppbi1iYXNlNjTfvz8-LTEh"),
        ("YWQ6", "YWQ6aW4tYmFzZTY0378/Pi0x"),
        ("YWRhO", "YWRhOmluLWJhc2U2NN-_Pz4tMSE="),
    ];
    redact(secret);
    for (before, form) in forms {
        let text = redacted(&format!("Basic {form}.")).unwrap_or_default();
        let rest = text.strip_prefix(&format!("Basic {before}"));
        let rest = rest.and_then(|rest| rest.split_once("[REDACTED]"));
        let (first, last) = rest.unwrap_or_else(|| panic!("{form}: {text}"));
        assert!(first.len() <= 1 && last.len() <= 5, "{form}: {text}");
    }
    unredact(secret);
    assert_eq!(redacted("aW4tYmFzZTY0378/Pi0x"), None);
    // every start of its base64 contains `/`
    let secret = "ab?cd?ef?gh?ij?kl?mnopqrstuvw";
    redact(secret);
    for form in [
        "YWI/Y2Q/ZWY/Z2g/aWo/a2w/bW5vcHFyc3R1dnc=",
        "YWI%2FY2Q%2FZWY%2FZ2g%2FaWo%2Fa2w%2FbW5vcHFyc3R1dnc%3D",
    ] {
        let text = redacted(form).unwrap_or_default();
        let rest = text.split_once("[REDACTED]");
        let (first, last) = rest.unwrap_or_else(|| panic!("{form}: {text}"));
        assert!(first.len() <= 3 && last.len() <= 5, "{form}: {text}");
    }
    unredact(secret);
    // a user's name and a password; only the password is secret
    redact("https://app:word-in-base64@host");
    let text = redacted("Basic YXBwOndvcmQtaW4tYmFzZTY0").unwrap_or_default();
    assert_eq!(text, "Basic YXBwOn[REDACTED]");
    unredact("https://app:word-in-base64@host");
}

#[test]
fn a_value_that_begins_with_a_character_of_several_bytes_is_found() {
    for secret in [
        "éVjIYNuHdfde",
        "🦀crab-of-steel",
        "\u{202e}desrever-si-siht",
    ] {
        redact(secret);
        let first = secret.chars().next().unwrap();
        let rest = &secret[first.len_utf8()..];
        let first: String = first
            .encode_utf16(&mut [0; 2])
            .iter()
            .map(|unit| format!("\\u{unit:04X}"))
            .collect();
        for form in [
            secret.as_bytes().escape_ascii().to_string(),
            format!("{first}{rest}"),
            format!("{:?}", format!("{first}{rest}")),
        ] {
            let text = redacted(&form).unwrap_or(form);
            assert!(!text.contains(&rest[2..]), "{text}");
        }
        unredact(secret);
    }
}

#[test]
fn each_line_of_a_value_is_scrubbed_but_the_frame_of_a_pem_file_is_not() {
    let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIHfXhOC7\nq8mYt3uX5fZ2aG9v\n-----END PRIVATE KEY-----\n";
    redact(pem);
    let (pipeline, written) = json();
    for line in pem.lines() {
        info!(pipeline.root(), "line", text = line);
    }
    let texts: Vec<_> = written
        .lines()
        .iter()
        .map(|line| rest(line).to_owned())
        .collect();
    assert_eq!(
        texts,
        [
            r#","text":"-----BEGIN PRIVATE KEY-----"}"#,
            r#","text":"[REDACTED]"}"#,
            r#","text":"[REDACTED]"}"#,
            r#","text":"-----END PRIVATE KEY-----"}"#
        ]
    );
    info!(pipeline.root(), "whole", text = pem, shown = ?pem);
    assert_eq!(
        rest(&written.last()),
        r#","text":"[REDACTED]","shown":"\"[REDACTED]\""}"#
    );
    unredact(pem);
}

#[test]
fn the_lines_of_a_file_that_a_variable_holds_in_one_line_are_scrubbed() {
    let variable =
        r"-----BEGIN KEY-----\nMC4CAQAwBQYDK2VwBCIEIHfXhOC8\nq9mYt3uX5fZ2aG9v\n-----END KEY-----\n";
    redact(variable);
    assert_eq!(
        redacted("<MC4CAQAwBQYDK2VwBCIEIHfXhOC8>\n<q9mYt3uX5fZ2aG9v>").unwrap(),
        "<[REDACTED]>\n<[REDACTED]>"
    );
    // base64 of the file
    let file = concat!(
        "LS0tLS1CRUdJTiBLRVktLS0tLQpNQzRDQVFBd0JRWURLMlZ3QkNJRUlIZlho",
        "T0M4CnE5bVl0M3VYNWZaMmFHOXYKLS0tLS1FTkQgS0VZLS0tLS0K"
    );
    let text = redacted(file).unwrap_or_default();
    assert!(text.starts_with("[REDACTED]") && text.len() < 15, "{text}");
    unredact(variable);
}

#[test]
fn values_that_overlap_leave_no_rest() {
    redact("overlap-one-two");
    redact("two-three-overlap");
    redact("one-two-three");
    assert_eq!(
        redacted("<overlap-one-two-three-overlap>").unwrap(),
        "<[REDACTED]>"
    );
    assert_eq!(
        redacted("<overlap-one-twotwo-three-overlap>").unwrap(),
        "<[REDACTED]>"
    );
    assert_eq!(
        redacted("<overlap-one-two two-three-overlap>").unwrap(),
        "<[REDACTED] [REDACTED]>"
    );
    for value in ["overlap-one-two", "two-three-overlap", "one-two-three"] {
        unredact(value);
    }
}

#[test]
fn a_value_that_is_cut_leaves_no_rest() {
    let secret = "cut-here-0123456789-abcdefghijklmnopqrstuvwxyz-\"\"\"\"\"\"";
    redact(secret);
    let (pipeline, written) = json();
    for before in (16 * 1024 - 60..16 * 1024 + 2).step_by(3) {
        let text = format!("{}{secret} and more", ".".repeat(before));
        info!(pipeline.root(), "cut", text = &text);
        info!(pipeline.root(), "cut", text = %text);
        info!(pipeline.root(), "cut", text = ?text);
        info!(pipeline.root(), text);
    }
    let key = format!("{}{secret}", "k".repeat(240));
    pipeline
        .root()
        .log(ops_log::Level::Info, "key", &[(&key, 1.into())]);
    info!(pipeline.logger(&key), "logger");
    for line in written.lines() {
        assert!(!line.contains("cut-here"), "{}", &line[line.len() - 200..]);
        assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok());
    }
    unredact(secret);
}

#[test]
fn keys_that_only_differ_in_a_value_stay_different_keys() {
    redact("key-secret-one");
    redact("key-secret-two");
    let (pipeline, written) = json();
    let fields = [("key-secret-one", 1.into()), ("key-secret-two", 2.into())];
    pipeline.root().log(ops_log::Level::Info, "keys", &fields);
    assert_eq!(
        rest(&written.last()),
        r#","[REDACTED]":1,"[REDACTED]_2":2}"#
    );
    unredact("key-secret-one");
    unredact("key-secret-two");
}

#[test]
fn many_values_are_registered_in_no_time() {
    let values: Vec<String> = (0..10_000)
        .map(|n| format!("many-values-{n:08x}-end"))
        .collect();
    let started = std::time::Instant::now();
    for value in &values {
        redact(value);
    }
    assert_eq!(
        redacted("x many-values-00001234-end y").unwrap(),
        "x [REDACTED] y"
    );
    for value in &values {
        unredact(value);
    }
    assert_eq!(redacted("x many-values-00001234-end y"), None);
    assert!(
        started.elapsed() < std::time::Duration::from_secs(60),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn credentials_in_urls_are_hidden_and_nothing_else_is() {
    for (text, expected) in [
        (
            "postgres://app:hunter2@db:5432/x",
            "postgres://app:[REDACTED]@db:5432/x",
        ),
        ("redis://:hunter2@cache", "redis://:[REDACTED]@cache"),
        (
            "see https://ghp_123@github.com/a.git now",
            "see https://[REDACTED]@github.com/a.git now",
        ),
        ("amqp://u:p@ss:w@host/v", "amqp://u:[REDACTED]@host/v"),
        (
            "postgres://app:hun/ter2@db/x",
            "postgres://app:[REDACTED]@db/x",
        ),
        (
            "https://[x]y:pa#hunter2@host/x",
            "https://[x]y:[REDACTED]@host/x",
        ),
        (
            "redis://[REDACTED]:pa/hunter2@host",
            "redis://[REDACTED]:[REDACTED]@host",
        ),
        (
            "a://u:1@h b://v:2@h",
            "a://u:[REDACTED]@h b://v:[REDACTED]@h",
        ),
        (
            "https://h/p?user=ada&api_key=k1&x=1#access_token=t2",
            "https://h/p?user=ada&api_key=[REDACTED]&x=1#access_token=[REDACTED]",
        ),
        (
            "/callback?state=s&password=p",
            "/callback?state=s&password=[REDACTED]",
        ),
        (
            "https://b.s3.amazonaws.com/k?X-Amz-Credential=c&X-Amz-Signature=s&X-Amz-Date=d",
            "https://b.s3.amazonaws.com/k?X-Amz-Credential=[REDACTED]&X-Amz-Signature=[REDACTED]&X-Amz-Date=d",
        ),
        (
            "HTTPS://ghp_123@github.com/a.git",
            "HTTPS://[REDACTED]@github.com/a.git",
        ),
        ("/cb#access_token=t2", "/cb#access_token=[REDACTED]"),
        ("#token=t2", "#token=[REDACTED]"),
        (
            "postgres://app:it's-s3cret@db/x",
            "postgres://app:[REDACTED]@db/x",
        ),
        (
            "https://h/p?password=a'bcdef&x=1",
            "https://h/p?password=[REDACTED]&x=1",
        ),
        (
            "{'url': 'https://h/p?password=a', 'b': 1}",
            "{'url': 'https://h/p?password=[REDACTED]', 'b': 1}",
        ),
        (
            "https://h/cb#access_token=t2&x=1",
            "https://h/cb#access_token=[REDACTED]&x=1",
        ),
        (
            "https://shop/cart;jsessionid=8A2F;v=1/items;token=t2?x=1;y=2 now",
            "https://shop/cart;jsessionid=[REDACTED];v=1/items;token=[REDACTED]?x=1;y=2 now",
        ),
        (
            "jdbc:sqlserver://db:1433;user=sa;password=a/b?c#d;encrypt=true",
            "jdbc:sqlserver://db:1433;user=sa;password=[REDACTED];encrypt=true",
        ),
        (
            "jdbc:sqlserver://db;password={a;b};user=sa",
            "jdbc:sqlserver://db;password=[REDACTED];user=sa",
        ),
        (
            "jdbc:sqlserver://db;password={a}}b;c};user=sa",
            "jdbc:sqlserver://db;password=[REDACTED];user=sa",
        ),
        (
            "jdbc:sqlserver://db;password={a;user=sa",
            "jdbc:sqlserver://db;password=[REDACTED];user=sa",
        ),
        (
            "jdbc:sqlserver://db;user=sa;password=p@ss",
            "jdbc:sqlserver://db;user=sa;password=[REDACTED]",
        ),
        (
            "/cart;jsessionid=8A2F;v=1/items;token=t2 now",
            "/cart;jsessionid=[REDACTED];v=1/items;token=[REDACTED] now",
        ),
        (
            "/login?next=/reset?token=t2&x=1?y=2",
            "/login?next=/reset?token=[REDACTED]&x=1?y=2",
        ),
        (
            "/login?password=a?b=c&x=1",
            "/login?password=[REDACTED]&x=1",
        ),
        (
            "/login?next=%2Freset%3Ftoken%3Dt2&x=1",
            "/login?next=[REDACTED]&x=1",
        ),
        (
            "https://h/?to=https%253A%252F%252Fu%253At2%2540h%252F#x=1",
            "https://h/?to=[REDACTED]#x=1",
        ),
        (
            "/p?pass%77ord=p&auth[token]=t&keys%5Bapi_key%5D=k&sort%5B%5D=a",
            "/p?pass%77ord=[REDACTED]&auth[token]=[REDACTED]&keys%5Bapi_key%5D=[REDACTED]&sort%5B%5D=a",
        ),
    ] {
        assert_eq!(redacted(text).as_deref(), Some(expected));
        for is_json in [true, false] {
            let (pipeline, written) = pipeline(|config| config, is_json);
            info!(
                pipeline.root(),
                "url",
                url = text,
                nested = slog::Serde(vec![text])
            );
            let line = written.last();
            assert!(line.contains(expected), "{line}");
            assert!(
                !line.contains("hunter2") && !line.contains("ghp_123"),
                "{line}"
            );
        }
    }
    for harmless in [
        "https://host:8080/path@2x.png?size=3",
        "ssh://git@github.com/a.git",
        "http://[::1]:80/",
        "http://[fe80::1%25eth0]:8080/@2x",
        "what? a token=none of this",
        "https://h/?next_page_token=abc",
        "mailto:a@b",
        "https://shop/cart;v=1;page_token=2/password=x",
        "/cart;v=1;page_token=2/password=x; token=none",
        "a/b;token=none of this",
        "/login?next=%2Freset%3Fpage%3D2%26q%3Da%3Ab&x=1?y=2",
        "jdbc:sqlserver://db:1433;user=sa;encrypt=true",
    ] {
        assert_eq!(redacted(harmless), None, "{harmless}");
    }
}

#[test]
fn passwords_in_connection_strings_and_cookies_are_hidden() {
    for (text, expected) in [
        (
            "Server=tcp:db,1433;User ID=app;Password=hunter2 & more;Encrypt=True",
            "Server=tcp:db,1433;User ID=app;Password=[REDACTED];Encrypt=True",
        ),
        (
            "Driver={SQL Server};Server=db; Pwd = {a;hunter2}}b} ;Uid=app",
            "Driver={SQL Server};Server=db; Pwd = {[REDACTED]} ;Uid=app",
        ),
        (
            r#"Data Source=db;Password="a;hunter2";User ID=app;Token='b;''hunter2'"#,
            r#"Data Source=db;Password="[REDACTED]";User ID=app;Token='[REDACTED]'"#,
        ),
        (
            "AccountEndpoint=https://acct.documents.azure.com:443/;AccountKey=ab/hunter2+c/d==;",
            "AccountEndpoint=https://acct.documents.azure.com:443/;AccountKey=[REDACTED];",
        ),
        (
            "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=hunter2/x==;EndpointSuffix=core.windows.net",
            "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=[REDACTED];EndpointSuffix=core.windows.net",
        ),
        (
            "no connection (Server=db;Uid=app;Pwd=hunter2 after 3 tries, retry=1",
            "no connection (Server=db;Uid=app;Pwd=[REDACTED] after 3 tries, retry=1",
        ),
        (
            "Server=db;Uid=app;Password=hunter2 to the end",
            "Server=db;Uid=app;Password=[REDACTED]",
        ),
        (
            r#"metadata=res://*;provider connection string="Server=db;Password=hunter2;Uid=a";x=1"#,
            r#"metadata=res://*;provider connection string="[REDACTED]";x=1"#,
        ),
        (
            r#"x=1;to="Server=db;Password=hunter2;Uid=a";y=2"#,
            r#"x=1;to="Server=db;Password=[REDACTED];Uid=a";y=2"#,
        ),
        (
            "Cookie: theme=dark; JSESSIONID=hunter2; lang=en",
            "Cookie: theme=dark; JSESSIONID=[REDACTED]; lang=en",
        ),
        (
            "no connection; 2==3: Server=db;Uid=app;Password=hunter2 after 3 tries",
            "no connection; 2==3: Server=db;Uid=app;Password=[REDACTED] after 3 tries",
        ),
        ("a=b;;Password=hunter2;x=1", "a=b;;Password=[REDACTED];x=1"),
        (
            r#"{"why":"lost; Server=db;Password=hunter2;Pwd=","next":1}"#,
            r#"{"why":"lost; Server=db;Password=[REDACTED];Pwd=","next":1}"#,
        ),
        (
            "BlobEndpoint=https://a.blob.core.windows.net/;SharedAccessSignature=sv=1&sig=hunter2%2Fx&spr=https",
            "BlobEndpoint=https://a.blob.core.windows.net/;SharedAccessSignature=[REDACTED]",
        ),
        (
            "CloudFront-Policy=p; CloudFront-Signature=hunter2; CloudFront-Key-Pair-Id=K",
            "CloudFront-Policy=p; CloudFront-Signature=[REDACTED]; CloudFront-Key-Pair-Id=K",
        ),
        (
            "session_id=hunter2; HttpOnly; Path=/; refresh_token=hunter2",
            "session_id=[REDACTED]; HttpOnly; Path=/; refresh_token=[REDACTED]",
        ),
        (
            r#"{"conn":"Server=db;Password=hunter2","next":1}"#,
            r#"{"conn":"Server=db;Password=[REDACTED]","next":1}"#,
        ),
        (
            r#"{"conn":"Server=db;Password=\"a;hunter2\";Uid=a"}"#,
            r#"{"conn":"Server=db;Password=\"[REDACTED]\";Uid=a"}"#,
        ),
        (
            r#"{"conn":"Server=db\u003bPassword\u003dhunter2\u003bUid=a"}"#,
            r#"{"conn":"Server=db\u003bPassword\u003d[REDACTED]\u003bUid=a"}"#,
        ),
    ] {
        assert_eq!(redacted(text).as_deref(), Some(expected));
        for is_json in [true, false] {
            let (pipeline, written) = pipeline(|config| config, is_json);
            info!(pipeline.root(), "connected", to = text);
            pipeline.root().log(ops_log::Level::Info, text, &[]);
            slog::info!(pipeline.root().slog(), "connected"; "to" => ?text);
            bind_context!(to = text);
            info!(pipeline.root(), "connected");
            clear_context();
            for line in written.lines() {
                // console lines omit the context
                assert!(line.contains("[REDACTED]") || !is_json, "{line}");
                assert!(!line.contains("hunter2"), "{line}");
            }
        }
    }
    for harmless in [
        "Server=db;Uid=app;Trusted_Connection=True;Password=",
        "text/html; charset=utf-8",
        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "a=1; next_page_token=abc; b=2",
        "retry later; token=none of this",
        "SELECT * FROM t WHERE a=1; SELECT token FROM t",
        "let x=1; if token == 2 { y }",
        "token=none of this",
        "background: url(x.png?a=1;b=2); color: red; token=3",
        "at bar (x.js:1); token=5, next",
    ] {
        assert_eq!(redacted(harmless), None, "{harmless}");
    }
    // only the password of a registered connection string
    let registered = "Server=db-of-pairs;Uid=user-of-pairs;Password=word%41of;Encrypt=yes";
    redact(registered);
    let scrubbed = redacted("user-of-pairs at db-of-pairs with word%41of").unwrap();
    unredact(registered);
    assert_eq!(scrubbed, "user-of-pairs at db-of-pairs with [REDACTED]");
}

#[test]
fn values_under_denied_keys_of_json_that_is_text_are_hidden() {
    let nested = serde_json::json!({"Message": r#"{"pwd":"hunter2","page_token":"t"}"#});
    for (text, expected) in [
        (
            r#"{"user":"ada","password":"hun\"ter2","list":[{"apiKey" : "hunter2"}]}"#.to_owned(),
            r#"{"user":"ada","password":"[REDACTED]","list":[{"apiKey" : "[REDACTED]"}]}"#.to_owned(),
        ),
        (
            "[\n  {\"token\":\t17,\"secret\":{\"a\":[\"hunter2\"]},\"jwt\":[\"}hunter2\"], \"n\":1}\n]".to_owned(),
            "[\n  {\"token\":\t\"[REDACTED]\",\"secret\":\"[REDACTED]\",\"jwt\":\"[REDACTED]\", \"n\":1}\n]".to_owned(),
        ),
        (
            r#"{"pass\u0077ord":"hunter2","ü":"é"}"#.to_owned(),
            r#"{"pass\u0077ord":"[REDACTED]","ü":"é"}"#.to_owned(),
        ),
        (
            nested.to_string(),
            r#"{"Message":"{\"pwd\":\"[REDACTED]\",\"page_token\":\"t\"}"}"#.to_owned(),
        ),
        (
            r#"{"a":1,"password":"hunter2 that was c"#.to_owned(),
            r#"{"a":1,"password":"[REDACTED]""#.to_owned(),
        ),
        (
            r#"[cut] {"password":["hunter2","#.to_owned(),
            r#"[cut] {"password":"[REDACTED]""#.to_owned(),
        ),
    ] {
        let pipeline_for_people = || pipeline(|config| config, false);
        let shown = |log: &dyn Fn(&Pipeline)| {
            let (pipeline, written) = json();
            log(&pipeline);
            let line = written.last();
            let (for_people, shown) = pipeline_for_people();
            log(&for_people);
            for line in [&line, &shown.last()] {
                assert!(!line.contains("hunter2"), "{line}");
            }
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            [&line["event"], &line["body"], &line["body"][0]]
                .into_iter()
                .any(|shown| *shown == expected)
        };
        assert!(shown(&|p| info!(p.root(), "asked", body = text.as_str())), "{text}");
        assert!(shown(&|p| info!(p.root(), "asked", body = %text)));
        assert!(shown(&|p| info!(p.root(), "asked", body = slog::Serde(vec![text.clone()]))));
        assert!(shown(&|p| info!(p.root().bind("body", text.as_str()), "asked")));
        assert!(shown(&|p| p.root().log(ops_log::Level::Info, "asked", &[("body", text.as_str().into())])));
        assert!(shown(&|p| p.root().log(ops_log::Level::Info, &text, &[])));
        assert!(shown(&|p| slog::info!(p.root().slog(), "{}", text)));
        assert!(shown(&|p| slog::info!(p.root().slog(), "asked"; "body" => &text)));
    }
    // cut documents within a cut document
    let mut cut = serde_json::json!({"rest": "\u{1f600}".repeat(12 * 1024)}).to_string();
    cut = cut.replace('\u{1f600}', r"\ud83d\ude00");
    for _ in 0..3 {
        cut = serde_json::json!({"pwd": "hunter2", "then": cut}).to_string();
    }
    for before in ["", "x", "xxx", "xxxxxxx"] {
        let (pipeline, written) = json();
        let body = format!(r#"{{"a":"{before}","then":{}}}"#, serde_json::json!(cut));
        info!(pipeline.root(), "asked", body = body.as_str());
        assert!(!written.last().contains("hunter2"), "{}", written.last());
        assert!(written.last().contains("[REDACTED]"));
    }
    let (pipeline, written) = json();
    info!(
        pipeline.root(),
        "asked",
        body = " \r\n{\"password\":\"hunter2\"}"
    );
    assert!(!written.last().contains("hunter2"), "{}", written.last());
    for shown in [
        r#"{"password":"","token":null,"is_secret":"x","next_token":"t","secrets":["a"]}"#,
        r#"{"text":"password","list":["token","hunter"]}"#,
        "[worker] password: none",
    ] {
        let (pipeline, written) = json();
        info!(pipeline.root(), "asked", body = shown);
        let line: serde_json::Value = serde_json::from_str(&written.last()).unwrap();
        assert_eq!(line["body"], shown);
    }
    // a document that is registered as a whole is hidden as a whole
    let registered = r#"{"user":"user-of-a-document","password":"word-of-a-document"}"#;
    redact(registered);
    let (pipeline, written) = json();
    info!(pipeline.root(), "asked", body = registered);
    unredact(registered);
    assert!(
        written.last().contains(r#""body":"[REDACTED]""#),
        "{}",
        written.last()
    );
}

#[test]
fn credentials_in_json_that_is_text_are_hidden_however_it_is_escaped() {
    for (text, expected) in [
        (
            r#"{"url":"https:\/\/app:hunter2@host\/x","at":"C:\/a"}"#,
            r#"{"url":"https:\/\/app:[REDACTED]@host\/x","at":"C:\/a"}"#,
        ),
        (
            r#"{"url":"redis:\\\/\\\/:hunter2@cache\\\/0"}"#,
            r#"{"url":"redis:\\\/\\\/:[REDACTED]@cache\\\/0"}"#,
        ),
        (
            r#"{"next":"/cb?state=s\u0026access_token\u003dt2\u0026x=1"}"#,
            r#"{"next":"/cb?state=s\u0026access_token\u003d[REDACTED]\u0026x=1"}"#,
        ),
        (
            r#"{"url":"https:\u002f\u002Fapp:hunter2@host\u002fx"}"#,
            r#"{"url":"https:\u002f\u002Fapp:[REDACTED]@host\u002fx"}"#,
        ),
        (
            r#"{"next":"/cb\u003Faccess_token\u003Dhunter2"}"#,
            r#"{"next":"/cb\u003Faccess_token\u003D[REDACTED]"}"#,
        ),
        (
            r#"{"url":"redis://:xx\u002Bhunter2@host"}"#,
            r#"{"url":"redis://:[REDACTED]@host"}"#,
        ),
        (
            r#"{"url":"https://app:p\u00e4ss\ud83d\ude00hunter2@host"}"#,
            r#"{"url":"https://app:[REDACTED]@host"}"#,
        ),
        (
            r#"{"url":"https://app:xx\u0027hunter2\u0040host"}"#,
            r#"{"url":"https://app:[REDACTED]\u0040host"}"#,
        ),
        (
            r#"{"url":"https:\/\/app:p\u2019hunter2@host"}"#,
            r#"{"url":"https:\/\/app:[REDACTED]@host"}"#,
        ),
        (
            r#"{"next":"/cb?access_token=abc\u002Bhunter2\u0022"}"#,
            r#"{"next":"/cb?access_token=[REDACTED]\u0022"}"#,
        ),
    ] {
        assert_eq!(redacted(text).as_deref(), Some(expected));
        for is_json in [true, false] {
            let (pipeline, written) = pipeline(|config| config, is_json);
            info!(pipeline.root(), "asked", body = text);
            let line = written.last();
            assert!(line.contains("[REDACTED]"), "{line}");
            assert!(!line.contains("hunter2") && !line.contains("t2"), "{line}");
        }
    }
    for harmless in [
        r#"{"url":"https:\/\/host:8080\/path@2x.png","at":"C:\/a@b"}"#,
        r#"{"url":"https:\/\/app:p\u1680a@b"}"#,
        r#"{"next":"/cb?state=s\u0026page=2","text":"a\u003db"}"#,
        r#"{"url":"https:\u002f\u002fhost\u002fx","mail":"app\u0040host"}"#,
    ] {
        assert_eq!(redacted(harmless), None, "{harmless}");
    }
    let long = format!("/?a{}b", "\\".repeat(1 << 20));
    assert_eq!(redacted(&long), None);
}

#[test]
fn a_url_is_found_wherever_it_stands_in_a_line() {
    let none = || None::<String>;
    let written_with = |log: &dyn Fn(&Pipeline)| {
        let (pipeline, written) = json();
        log(&pipeline);
        (written.last(), pipeline.recent(1)[0].clone())
    };
    let hidden = |place: &str, log: &dyn Fn(&Pipeline)| {
        let (line, recent) = written_with(log);
        for line in [line, recent] {
            assert!(!line.contains("t0ps"), "{place}: {line}");
            assert_eq!(line.matches("[REDACTED]").count(), 1, "{place}: {line}");
        }
    };
    // each length is copied in a different way, and each position within it is checked
    for url in ["?pwd=t0ps", "a://:t0ps@h"] {
        for (before, after) in (0..40).flat_map(|before| [0, 3, 30].map(|after| (before, after))) {
            let text = format!("{} {url} {}", "x".repeat(before), "y".repeat(after));
            let text = text.trim();
            hidden("field", &|p| info!(p.root(), "e", a = 1, field = text));
            hidden("event", &|p| p.root().log(ops_log::Level::Info, text, &[]));
        }
        let text = format!("go to {url}");
        let long = format!("{url} {}", "z".repeat(ops_log::MAX_VALUE_BYTES));
        hidden("long field", &|p| info!(p.root(), "e", field = long));
        hidden("long event", &|p| {
            p.root().log(ops_log::Level::Info, &long, &[])
        });
        hidden("event that is formatted", &|p| {
            slog::info!(p.root().slog(), "{}", text)
        });
        hidden("long event that is formatted", &|p| {
            slog::info!(p.root().slog(), "{}", long)
        });
        hidden("display", &|p| info!(p.root(), "e", field = %text));
        hidden("debug", &|p| info!(p.root(), "e", field = ?Some(&text)));
        hidden("nested", &|p| {
            info!(p.root(), "e", field = slog::Serde(vec![text.clone()]))
        });
        hidden("optional", &|p| {
            info!(p.root(), "e", a = none(), field = Some(text.clone()))
        });
        hidden(
            "slog",
            &|p| slog::info!(p.root().slog(), "e"; "a" => 1, "field" => &text, "b" => 2),
        );
        hidden("at run time", &|p| {
            let fields = [("a", 1.into()), ("field", text.as_str().into())];
            p.root().log(ops_log::Level::Info, "e", &fields);
        });
        hidden("bound", &|p| {
            info!(
                p.root().bind("a", 1).bind("field", text.as_str()),
                "e",
                b = 1
            )
        });
        hidden("context", &|p| {
            bind_context!(field = text.as_str());
            info!(p.root().bind("a", 1), "e", b = 1);
            clear_context();
        });
        hidden("logger", &|p| info!(p.logger(&text), "e"));
        hidden("overridden", &|p| {
            info!(p.root().bind("field", 1), "e", field = text, b = 1)
        });
        for configured in [
            Config::new().service_name(text.as_str()),
            Config::new().field("field", text.as_str()),
        ] {
            let pipeline = Pipeline::new(configured.stdout(false)).unwrap();
            info!(pipeline.root(), "e", b = 1);
            let line = pipeline.recent(1)[0].clone();
            assert!(!line.contains("t0ps"), "{line}");
        }
    }
    hidden("key", &|p| info!(p.root(), "e", "?pwd=t0ps" = 1));
    hidden("key of text", &|p| {
        info!(p.root(), "e", "a://:t0ps@h" = "text")
    });
}
