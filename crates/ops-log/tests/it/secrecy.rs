//! Random secrets in every kind of value: no eight consecutive bytes of one are written.

use std::collections::HashSet;
use std::fmt;

use ops_log::{Config, Json, Level, Output, Pipeline, Value, capture_logs, info, redact, unredact};

use crate::property::Random;
use crate::{Written, bridges, pipeline, sample_time};

/// Number of consecutive bytes that must not be visible.
const WINDOW: usize = 8;

fn rounds() -> u64 {
    if std::env::var_os("OPS_TEST_FULL").is_some_and(|value| value == "1") {
        100_000
    } else {
        150
    }
}

impl Random {
    /// Returns a secret with at least 64 random bits, 8 to 4096 bytes;
    /// some with letters only, some with characters that need escaping.
    fn secret(&mut self) -> String {
        const ODD: [char; 16] = [
            '"', '\\', '\n', '\r', '\t', '\'', '\u{1b}', '\0', 'é', '日', '🦀', '\u{202e}', ' ',
            '%', '@', '/',
        ];
        let odd = self.below(4);
        let bytes = match self.below(10) {
            0 => 1000 + self.below(3096),
            1 => 100 + self.below(900),
            _ => 16 + self.below(60),
        };
        let mut secret = String::new();
        while secret.len() < bytes as usize {
            let c = if odd > 0 && self.below(8) < odd {
                ODD[self.below(16) as usize]
            } else {
                let letters =
                    b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~!$&*+=";
                letters[self.below(letters.len() as u64) as usize] as char
            };
            secret.push(c);
        }
        secret.trim().to_owned()
    }
}

fn percent_encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes()
        .map(|byte| match byte {
            byte if plain(byte) => (byte as char).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

fn in_html(text: &str) -> String {
    let entity = |c: char| match c {
        '&' => "&amp;".to_owned(),
        '"' => "&quot;".to_owned(),
        '\'' => "&#39;".to_owned(),
        c => c.to_string(),
    };
    text.chars().map(entity).collect()
}

#[derive(Clone, Debug, serde::Serialize)]
struct Inner {
    text: String,
    list: Vec<String>,
    maybe: Option<String>,
}

#[derive(Clone, Debug, serde::Serialize)]
struct Outer {
    inner: Inner,
    number: u8,
}

#[derive(Debug)]
struct Failure(String, Option<Box<Failure>>);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot use {}", self.0)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.1
            .as_ref()
            .map(|cause| &**cause as &(dyn std::error::Error + 'static))
    }
}

fn outer(text: &str) -> Outer {
    Outer {
        inner: Inner {
            text: text.to_owned(),
            list: vec!["first".to_owned(), text.to_owned()],
            maybe: Some(format!("<{text}>")),
        },
        number: 7,
    }
}

const KINDS: u64 = 26;

/// Logs the text as one kind of value.
fn log(kind: u64, text: &str, pipeline: &Pipeline) {
    let log = pipeline.root();
    match kind {
        0 => info!(log, "displayed", value = %text),
        1 => info!(log, "debugged", value = ?text),
        2 => info!(log, "nested_debug", value = ?outer(text)),
        3 => info!(log, "pretty_debug", value = %format!("{:#?}", outer(text))),
        4 => info!(log, "debug_of_debug", value = ?format!("{:?}", outer(text))),
        5 => info!(log, "serialized", value = slog::Serde(outer(text))),
        6 => {
            let pretty = serde_json::to_string_pretty(&outer(text)).unwrap();
            let raw = serde_json::value::RawValue::from_string(pretty).unwrap();
            info!(log, "raw", value = slog::Serde(raw));
        }
        7 => info!(log, "json_in_text", value = %serde_json::to_string(&outer(text)).unwrap()),
        8 => {
            let json = serde_json::to_string(&outer(text)).unwrap();
            info!(log, "json_in_json", value = %serde_json::json!({ "body": json }));
        }
        9 => {
            info!(log, "url", value = %format!("https://user:{0}@host/path?q={0}#f", percent_encoded(text)))
        }
        10 => log.log(Level::Info, "key", &[(text, 1.into()), ("other", 2.into())]),
        11 => info!(log, format!("event {text}")),
        12 => log.log(Level::Info, "text", &[("value", Value::from(text))]),
        13 => info!(log.bind("bound", text), "bound", value = %text),
        14 => {
            let value: Value =
                serde_json::from_str(&serde_json::to_string(&outer(text)).unwrap()).unwrap();
            assert!(matches!(&value, Value::Json(json) if !Json::as_str(json).is_empty()));
            log.log(Level::Info, "json_value", &[("value", value)]);
        }
        15 => {
            let error = Failure(
                text.to_owned(),
                Some(Box::new(Failure(format!("[{text}]"), None))),
            );
            tracing::info!(error = &error as &dyn std::error::Error, "error_chain");
        }
        16 => {
            let _span = tracing::info_span!("span", value = %text, shown = ?text).entered();
            tracing::info!("in_span");
        }
        17 => log::info!(value = text; "a log record"),
        18 => slog::info!(log.slog(), "slog {}", text; "value" => format!("{text:?}")),
        19 => {
            let error = Failure(
                format!("{text:?}"),
                Some(Box::new(Failure(text.to_owned(), None))),
            );
            info!(log, "error_of_macro", error = &error);
        }
        20 => {
            let text = text.to_owned();
            let _ = std::panic::catch_unwind(move || panic!("deliberate: {text} {text:?}"));
        }
        21 => {
            let json = serde_json::to_string(text).unwrap();
            info!(log, "json_in_url", value = %format!("/p?q={}", percent_encoded(&json)));
        }
        22 => {
            let url = format!("https://host/p?q={}", percent_encoded(text));
            info!(log, "url_in_url", value = %format!("/login?next={}", percent_encoded(&url)));
        }
        23 => info!(log, "page", value = %format!("<p title=\"{}\">", in_html(text))),
        24 => {
            info!(log, "path", value = ?std::path::Path::new(text), bytes = %text.as_bytes().escape_ascii())
        }
        25 => {
            // as written by encoders whose JSON goes into an HTML page
            let json = serde_json::to_string(text).unwrap();
            let json = json
                .replace('&', "\\u0026")
                .replace('+', "\\u002B")
                .replace('=', "\\u003d");
            info!(log, "careful_json", value = %json, again = ?json);
        }
        _ => panic!("no such kind"),
    }
}

/// All windows of a secret.
struct Windows<'a> {
    all: HashSet<&'a [u8]>,
    /// Set for the first two bytes of each window, to skip most positions of a line.
    beginnings: Vec<bool>,
}

fn beginning(window: &[u8]) -> usize {
    usize::from(window[0]) << 8 | usize::from(window[1])
}

impl<'a> Windows<'a> {
    fn of(secret: &'a str) -> Self {
        let all: HashSet<&[u8]> = secret.as_bytes().windows(WINDOW).collect();
        let mut beginnings = vec![false; 1 << 16];
        for window in &all {
            beginnings[beginning(window)] = true;
        }
        Self { all, beginnings }
    }

    fn first_in(&self, line: &str) -> Option<String> {
        let mut windows = line.as_bytes().windows(WINDOW);
        windows
            .find(|window| self.beginnings[beginning(window)] && self.all.contains(window))
            .map(|window| String::from_utf8_lossy(window).into_owned())
    }
}

/// Returns all texts in a JSON line, unescaped.
fn decoded(line: &str) -> String {
    fn collect(value: &serde_json::Value, out: &mut String) {
        match value {
            serde_json::Value::String(text) => out.push_str(text),
            serde_json::Value::Array(values) => values.iter().for_each(|value| collect(value, out)),
            serde_json::Value::Object(entries) => {
                for (key, value) in entries {
                    out.push_str(key);
                    out.push('\u{1}');
                    collect(value, out);
                }
            }
            other => out.push_str(&other.to_string()),
        }
        out.push('\u{1}');
    }
    let mut out = String::new();
    if let Ok(value) = serde_json::from_str(line) {
        collect(&value, &mut out);
    }
    out
}

/// Returns everything written about one text: JSON and console lines, recent lines, captured lines.
fn written_about(kind: u64, text: &str, seen: &mut Seen) -> Vec<String> {
    let captured = capture_logs_of_process(kind, text, &seen.pipeline);
    let mut texts = seen.json.lines();
    texts.extend(seen.people.lines());
    texts.extend(seen.pipeline.recent(1));
    texts.extend(captured);
    // recent lines are cut if they are long
    for line in texts
        .iter()
        .filter(|line| line.starts_with('{') && !line.ends_with('…'))
    {
        assert!(
            serde_json::from_str::<serde_json::Value>(line).is_ok(),
            "{kind}: {line}"
        );
    }
    assert!(!texts.is_empty());
    let decoded: Vec<String> = texts.iter().map(|line| decoded(line)).collect();
    texts.extend(decoded);
    seen.json.0.lock().clear();
    seen.people.0.lock().clear();
    texts
}

struct Seen {
    pipeline: Pipeline,
    json: Written,
    people: Written,
}

fn capture_logs_of_process(kind: u64, text: &str, pipeline: &Pipeline) -> Vec<String> {
    // lines of the other kinds go to outputs
    if !matches!(kind, 15..=17 | 20) {
        log(kind, text, pipeline);
        return Vec::new();
    }
    capture_logs(|| log(kind, text, pipeline))
        .into_iter()
        .map(|line| line.json)
        .collect()
}

#[test]
fn no_eight_bytes_of_a_secret_are_in_what_is_written() {
    bridges::init();
    let (json, people) = (Written::default(), Written::default());
    let config = Config::new()
        .stdout(false)
        .clock(sample_time)
        .recent_lines(4)
        .output(Output::writer(json.clone()).json(true))
        .output(Output::writer(people.clone()).color(false).context(true));
    let pipeline = Pipeline::new(config).unwrap();
    let mut seen = Seen {
        pipeline,
        json,
        people,
    };
    let mut random = Random(0x5eed_5eed_5eed_5eed);
    for round in 0..rounds() {
        let secret = random.secret();
        if secret.len() < WINDOW {
            continue;
        }
        redact(&secret);
        // a second secret starts within the first one
        let middle = (secret.len() / 2..)
            .find(|at| secret.is_char_boundary(*at))
            .unwrap();
        let overlapping = format!("{}{:016x}", &secret[middle..], random.next());
        let overlaps = random.below(8) == 0 && overlapping.len() >= WINDOW;
        if overlaps {
            redact(&overlapping);
        }
        let kind = random.below(KINDS);
        let planted = if overlaps {
            format!("{}{overlapping}", &secret[..middle])
        } else {
            secret.clone()
        };
        let around = match random.below(12) {
            // a value whose cut splits the secret
            0 => (
                16 * 1024 - random.below(planted.len() as u64 + 20) as usize,
                20,
            ),
            1 => (random.below(300) as usize, 20_000),
            _ => (random.below(6) as usize, random.below(6) as usize),
        };
        let text = |planted: &str| {
            format!(
                "{}{planted}{}",
                ". ".repeat(around.0 / 2),
                " .".repeat(around.1 / 2)
            )
        };
        let written = written_about(kind, &text(&planted), &mut seen);
        let secret_windows = Windows::of(&planted);
        for line in &written {
            if let Some(window) = secret_windows.first_in(line) {
                // a window that is also in the line without the secret is not a leak
                let without = written_about(kind, &text(""), &mut seen);
                assert!(
                    without.iter().any(|line| line.contains(&window)),
                    "round {round}, kind {kind}, around {around:?}: {window:?} of {planted:?} in {line}"
                );
            }
        }
        unredact(&secret);
        unredact(&overlapping);
    }
}

#[test]
fn the_message_of_a_panic_is_scrubbed() {
    bridges::init();
    let secret = "hunter2-in-a-\"panic\"\n-message";
    redact(secret);
    let lines = capture_logs(|| {
        let _ = std::panic::catch_unwind(|| panic!("deliberate: {secret} {secret:?}"));
    });
    assert_eq!(lines[0]["message"], "deliberate: [REDACTED] \"[REDACTED]\"");
    unredact(secret);
}

#[test]
fn the_parameters_of_a_path_alone_are_hidden_in_every_kind_of_field() {
    let path = "/cart;jsessionid=8A2F/items";
    for is_json in [true, false] {
        let (pipeline, written) = pipeline(|config| config.console_context(true), is_json);
        let log = pipeline.root();
        info!(log, "macro", path = path);
        info!(log, "formatted", path = %path);
        info!(log.bind("path", path), "bound");
        slog::info!(log.slog(), "slog"; "path" => path);
        log.log(Level::Info, path, &[]);
        // not at the start of the text
        info!(log, "GET /cart;jsessionid=8A2F/items 200");
        log.log(Level::Info, &format!("a;b GET {path} 200"), &[]);
        slog::info!(log.slog(), "GET {} 200", path);
        info!(log, "debug", path = ?path);
        info!(
            log,
            "within text",
            said = "a;b GET /cart;jsessionid=8A2F/items 200"
        );
        let object: Value = serde_json::from_str(&format!("{{\"path\":\"{path}\"}}")).unwrap();
        info!(log, "nested", at = slog::Serde(vec![path]));
        log.log(Level::Info, "at run time", &[("at", object.clone())]);
        info!(log.bind("at", object), "bound object");
        info!(log, "a key", "/cart;jsessionid=8A2F/items" = 1);
        assert_eq!(written.lines().len(), 14);
        for line in written.lines() {
            assert!(line.contains("/cart;jsessionid=[REDACTED]/items"), "{line}");
        }
    }
}
