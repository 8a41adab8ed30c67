//! Random lines: each is one line of valid JSON with unique keys.

use std::collections::HashSet;

use ops_log::{Level, Value};

use crate::{json, sample_time};

/// Pseudo-random numbers from a fixed seed, so that a failure is reproducible.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn text(&mut self, longest: u64) -> String {
        const ODD: [char; 20] = [
            '"', '\\', '\n', '\r', '\t', '\0', '\u{1b}', '\u{7f}', '\u{85}', '\u{a0}', '\u{2028}',
            '\u{202e}', '\u{2066}', 'é', '日', '🦀', '=', ' ', '{', '/',
        ];
        (0..self.below(longest))
            .map(|_| match self.below(3) {
                0 => ODD[self.below(20) as usize],
                1 => char::from_u32(self.below(0x11_0000) as u32).unwrap_or('?'),
                _ => (b'a' + self.below(26) as u8) as char,
            })
            .collect()
    }

    fn key(&mut self) -> String {
        const KNOWN: [&str; 12] = [
            "timestamp",
            "level",
            "logger",
            "event",
            "level_",
            "request_id",
            "",
            "_",
            "password",
            "a",
            "b",
            "fields_dropped",
        ];
        match self.below(3) {
            0 => KNOWN[self.below(12) as usize].to_owned(),
            1 => self.text(6),
            _ => format!("k{}", self.below(30)),
        }
    }

    fn value(&mut self) -> Value {
        match self.below(9) {
            0 => Value::Null,
            1 => (self.below(2) == 0).into(),
            2 => (self.next() as i64).into(),
            3 => self.next().into(),
            4 => f64::from_bits(self.next()).into(),
            5 => (self.below(1000) as f64 / 8.0).into(),
            6 => self.below(100).into(),
            _ => self.text(20).into(),
        }
    }

    fn pairs(&mut self, most: u64) -> Vec<(String, Value)> {
        (0..self.below(most))
            .map(|_| (self.key(), self.value()))
            .collect()
    }
}

struct Keys(Vec<String>);

impl<'de> serde::Deserialize<'de> for Keys {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Keys;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                let mut keys = Vec::new();
                while let Some((key, _)) = map.next_entry::<String, serde::de::IgnoredAny>()? {
                    keys.push(key);
                }
                Ok(Keys(keys))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

fn rounds() -> u64 {
    if std::env::var_os("OPS_TEST_FULL").is_some_and(|value| value == "1") {
        1_000_000
    } else {
        20_000
    }
}

#[test]
fn every_line_parses_has_unique_keys_and_one_newline() {
    let (pipeline, written) = json();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..rounds() {
        ops_log::clear_context();
        for (key, value) in random.pairs(4) {
            ops_log::bind_context(key, value);
        }
        let mut log = pipeline.logger(&random.text(8));
        for (key, value) in random.pairs(3) {
            log = log.bind(key, value);
        }
        let own = random.pairs(12);
        let fields: Vec<(&str, Value)> = own
            .iter()
            .map(|(key, value)| (key.as_str(), value.clone()))
            .collect();
        log.log(
            Level::ALL[2 + random.below(4) as usize],
            &random.text(12),
            &fields,
        );
        let line = written.last();
        written.0.lock().clear();
        assert!(
            line.ends_with("}\n") && line.matches('\n').count() == 1,
            "round {round}: {line:?}"
        );
        let Keys(keys) = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("round {round}: {error}: {line:?}"));
        assert_eq!(keys[..4], ["timestamp", "level", "logger", "event"]);
        let unique: HashSet<&String> = keys.iter().collect();
        assert_eq!(unique.len(), keys.len(), "round {round}: {line}");
    }
    ops_log::clear_context();
    assert_eq!(pipeline.stats().written, rounds());
}

struct Record(Vec<(&'static str, Value)>);

impl slog::KV for Record {
    fn serialize(
        &self,
        record: &slog::Record<'_>,
        serializer: &mut dyn slog::Serializer,
    ) -> slog::Result {
        for (key, value) in &self.0 {
            slog::Value::serialize(value, record, slog::Key::from(*key), serializer)?;
        }
        Ok(())
    }
}

#[test]
fn without_duplicate_keys_the_same_map_comes_out_of_slog_json() {
    const KEYS: [&str; 12] = [
        "method",
        "path",
        "status",
        "latency_ms",
        "user",
        "rows",
        "a\"b",
        "é",
        "tab\t",
        "ratio",
        "ok",
        "x.y",
    ];
    let (pipeline, written) = json();
    let ours = pipeline.root().slog();
    let buffer = crate::Written::default();
    let theirs = slog_json::Json::new(buffer.clone())
        .add_key_value(slog::o!(
            "ts" => slog::FnValue(|_| "2025-01-15T10:30:00.123Z"),
            "level" => slog::FnValue(|record| record.level().as_short_str()),
            "msg" => slog::PushFnValue(|record, serializer| serializer.emit(record.msg())),
        ))
        .build();
    let theirs = slog::Logger::root(
        std::sync::Mutex::new(slog::Drain::fuse(theirs)).fuse(),
        slog::o!(),
    );
    use slog::Drain;
    assert_eq!(sample_time(), sample_time());
    let mut random = Random(0x1234_5678_9abc_def1);
    for round in 0..rounds() / 4 {
        let mut fields: Vec<(&'static str, Value)> = Vec::new();
        for key in KEYS {
            if random.below(2) == 0 {
                fields.push((key, random.value()));
            }
        }
        let event = random.text(12);
        let record = Record(fields);
        slog::warn!(ours, "{}", event; &record);
        slog::warn!(theirs, "{}", event; &record);
        let mut ours: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&written.last()).unwrap();
        let text: Vec<u8> = buffer.0.lock().concat();
        let mut theirs: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(&text).unwrap();
        written.0.lock().clear();
        buffer.0.lock().clear();
        assert_eq!(ours.remove("logger"), Some("api".into()));
        assert_eq!(ours.remove("timestamp"), theirs.remove("ts"));
        assert_eq!(ours.remove("event"), theirs.remove("msg"));
        assert_eq!(ours.remove("level"), Some("warning".into()));
        assert_eq!(theirs.remove("level"), Some("WARN".into()));
        assert_eq!(ours, theirs, "round {round}");
    }
}
