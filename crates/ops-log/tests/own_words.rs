//! Registered values that are words of every line. They are global, so this test has its own process.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use ops_log::{Config, Output, Pipeline, redact};

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_value_that_is_a_word_of_the_line_itself_leaves_the_line_whole() {
    for word in ["timestamp", "\"level\":", "2025-01-15", "critical"] {
        redact(word);
    }
    let (json, people) = (Written::default(), Written::default());
    let config = Config::new()
        .stdout(false)
        .service_name("api")
        .clock(|| SystemTime::UNIX_EPOCH + Duration::from_millis(1_736_937_000_123))
        .output(Output::writer(json.clone()).json(true))
        .output(Output::writer(people.clone()).color(false));
    let pipeline = Pipeline::new(config).unwrap();
    ops_log::crit!(
        pipeline.root(),
        "say timestamp",
        timestamp = 1,
        n = "critical 2025-01-15"
    );
    let text = |written: Written| String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    assert_eq!(
        text(json),
        "{\"timestamp\":\"2025-01-15T10:30:00.123Z\",\"level\":\"critical\",\"logger\":\"api\",\"event\":\"say [REDACTED]\",\"[REDACTED]_\":1,\"n\":\"[REDACTED] [REDACTED]\"}\n"
    );
    assert_eq!(
        text(people),
        "2025-01-15 10:30:00 [critical ] say [REDACTED]  [REDACTED]_=1 n=\"[REDACTED] [REDACTED]\"\n"
    );
}
