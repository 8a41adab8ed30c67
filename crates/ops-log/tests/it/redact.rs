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
fn a_part_that_the_value_has_in_the_clear_too_is_no_secret() {
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
fn a_path_made_to_be_taken_apart_for_long_costs_no_more_than_a_long_one() {
    let least = |text: &str| {
        let once = || {
            let started = std::time::Instant::now();
            std::hint::black_box(redacted(text));
            started.elapsed()
        };
        (0..5).map(|_| once()).min().unwrap()
    };
    let usual = least(&"/api/flights?year=2026&month=11;day=28".repeat(430));
    for piece in ["://;", "://a;token=x;", ";x={", "://;x={}}", "a://;"] {
        let text = format!("a://h{}", piece.repeat(16 * 1024 / piece.len()));
        let took = least(&text);
        assert!(took < usual * 50, "{piece}: {took:?}, usually {usual:?}");
    }
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
fn what_looks_like_a_value_across_an_escape_or_the_lines_structure_is_none() {
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
    struct Talks(ops_log::Logger);

    impl std::io::Write for Talks {
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
    let output = Output::writer(Talks(other.root()));
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
        // a parameter of an address that is a parameter, and JSON in one
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
    redact(
        r"-----BEGIN KEY-----\nMC4CAQAwBQYDK2VwBCIEIHfXhOC8\nq9mYt3uX5fZ2aG9v\n-----END KEY-----\n",
    );
    assert_eq!(
        redacted("<MC4CAQAwBQYDK2VwBCIEIHfXhOC8>\n<q9mYt3uX5fZ2aG9v>").unwrap(),
        "<[REDACTED]>\n<[REDACTED]>"
    );
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
        started.elapsed() < std::time::Duration::from_secs(20),
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
        "what? a token=none of this",
        "https://h/?next_page_token=abc",
        "mailto:a@b",
        "https://shop/cart;v=1;page_token=2/password=x",
        "jdbc:sqlserver://db:1433;user=sa;encrypt=true",
    ] {
        assert_eq!(redacted(harmless), None, "{harmless}");
    }
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
    // each length is copied in another way, and each place within it is looked at
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
