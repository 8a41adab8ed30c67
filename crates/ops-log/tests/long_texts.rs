//! Texts made to take long. Values registered by other tests take time too, so this test has its own process.

use std::time::Instant;

use ops_log::{Config, Output, Pipeline, info, redact, redacted, unredact};

#[test]
fn a_path_made_to_be_taken_apart_for_long_costs_no_more_than_a_long_one() {
    let least = |text: &str| {
        let once = || {
            let started = Instant::now();
            std::hint::black_box(redacted(text));
            started.elapsed()
        };
        (0..5).map(|_| once()).min().unwrap()
    };
    let usual = least(&"/api/flights?year=2026&month=11;day=28".repeat(430));
    for piece in [
        "://;",
        "://a;token=x;",
        ";x={",
        "://;x={}}",
        "a://;",
        "'?",
        "'#",
        "'://",
        r"'\u003f",
        "://a:b?",
        "a={;",
        "a=';",
        "a='';",
        "a=\";",
        "a=;pwd=x;",
        ";a",
        "a;=",
        "a==",
        "a={;x!=",
        "a;b='x';c!=",
        "a='x'b;",
        "a=\"\"\"",
        "<a=b>",
        ">a=b",
        "`a=;",
        "/a; b=",
    ] {
        let text = format!("a://h{}", piece.repeat(16 * 1024 / piece.len()));
        let took = least(&text);
        assert!(took < usual * 50, "{piece}: {took:?}, usually {usual:?}");
    }
    // starts like a value whose start is well known
    let pem = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n".repeat(25);
    redact(&pem);
    for piece in ["-----%41", "-----%2541", "-----&amp;"] {
        let took = least(&piece.repeat(16 * 1024 / piece.len()));
        assert!(took < usual * 2000, "{piece}: {took:?}, usually {usual:?}");
    }
    unredact(&pem);
    let config = Config::new().stdout(false);
    let config = config.output(Output::writer(std::io::sink()).json(true));
    let pipeline = Pipeline::new(config).unwrap();
    let blanks = format!("[{}", " ".repeat(15 * 1024));
    let log = |text: &str| {
        let once = || {
            let started = Instant::now();
            info!(pipeline.root(), "asked", body = text);
            started.elapsed()
        };
        (0..5).map(|_| once()).min().unwrap()
    };
    let took = log(&blanks);
    assert!(took < usual * 10, "blanks: {took:?}, usually {usual:?}");
    // as many nested documents as fit, the innermost one with a secret
    let (mut nested, mut depth) = (r#"{"password":"hunter2"}"#.to_owned(), 0);
    loop {
        let escaped = nested.replace('\\', r"\u005c").replace('"', r"\u0022");
        let next = format!("[\"{escaped}");
        if next.len() > 16 * 1024 {
            break;
        }
        (nested, depth) = (next, depth + 1);
    }
    let took = log(&nested);
    assert!(depth > 40, "{depth}");
    assert!(
        took < usual * 500,
        "{depth} documents: {took:?}, usually {usual:?}"
    );
}
