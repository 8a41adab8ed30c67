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
