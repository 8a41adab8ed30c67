//! libpq connection strings.

use ops_log::{Config, Level, info, redact, redacted, unredact};

use crate::pipeline;

#[test]
fn the_password_of_a_connection_string_of_libpq_is_hidden() {
    for (text, expected) in [
        (
            "host=db user=app password=hunter2 dbname=orders",
            "host=db user=app password=[REDACTED] dbname=orders",
        ),
        ("password=hunter2 host=db", "password=[REDACTED] host=db"),
        (
            "：password=hunter2 host=db",
            "：password=[REDACTED] host=db",
        ),
        (
            "cannot connect (host=db port=5432 password=hunter2 sslmode=require): timeout after=3",
            "cannot connect (host=db port=5432 password=[REDACTED] sslmode=require): timeout after=3",
        ),
        (
            r"host=db password='hunter2 \' hunter2' user=app",
            "host=db password='[REDACTED]' user=app",
        ),
        (
            r"host=db password=hun\ ter2 user=app",
            "host=db password=[REDACTED] user=app",
        ),
        (
            "host = db  user = app password = hunter2 ",
            "host = db  user = app password = [REDACTED] ",
        ),
        (
            "host=db password='hunter2 was cut",
            "host=db password='[REDACTED]",
        ),
        (
            "host='db password=hunter2 user=app",
            "host='db password=[REDACTED] user=app",
        ),
        (
            r#"Config { id: "a b", db: "host=db password=hunter2", user: "app" }"#,
            r#"Config { id: "a b", db: "host=db password=[REDACTED]", user: "app" }"#,
        ),
        (
            r#"{"db":"host=db password=hunter2","text":"{\"db\":\"user=a password=hunter2\",\"n\":1}"}"#,
            r#"{"db":"host=db password=[REDACTED]","text":"{\"db\":\"user=a password=[REDACTED]\",\"n\":1}"}"#,
        ),
        (
            r#"no "db": host=db password=a"hunter2 x"#,
            r#"no "db": host=db password=[REDACTED] x"#,
        ),
        (
            r#"to="user=app password=hunter2" host=db password="hunter2 hunter2" n="1""#,
            r#"to="user=app password=[REDACTED]" host=db password="[REDACTED]" n="1""#,
        ),
        (
            "user= password=hunter2 host=",
            "user= password=[REDACTED] host=",
        ),
        (
            "hostaddr=::1 sslmode=require password=päß\\ühunter2",
            "hostaddr=::1 sslmode=require password=[REDACTED]",
        ),
    ] {
        assert_eq!(redacted(text).as_deref(), Some(expected));
        for is_json in [true, false] {
            let (pipeline, written) = pipeline(|config| config, is_json);
            info!(pipeline.root(), "connected", to = text, again = %text, shown = ?text);
            pipeline.root().log(Level::Info, text, &[]);
            slog::info!(pipeline.root().slog(), "connected"; "to" => text);
            for line in written.lines() {
                assert!(!line.contains("hunter2"), "{line}");
                assert!(line.contains("[REDACTED]"), "{line}");
            }
        }
    }
}

#[test]
fn a_list_of_libpq_may_have_several_lines() {
    let list = "host=db\n  user=app\r\n\tpassword=hunter2\n";
    let expected = list.replace("hunter2", "[REDACTED]");
    assert_eq!(redacted(list), Some(expected));
}

#[test]
fn a_password_in_other_words_stays() {
    for harmless in [
        "password=none of this",
        "retry with password=x, or token=y",
        "host=db failed, and password=none",
        "host=db user=app password=",
        "myhost=db password=none",
        "update set user='a', password='b'",
        "UPDATE users SET user = $1, password = $2 WHERE id = $3",
        "level=info password=none count=3",
        "host=db db_password=none",
        "host: db password: none",
    ] {
        assert_eq!(redacted(harmless), None, "{harmless}");
    }
    let (pipeline, written) = pipeline(|config: Config| config.allowed_keys(["password"]), true);
    info!(pipeline.root(), "connected", to = "host=db password=word");
    assert!(written.last().contains("host=db password=word"));
}

#[test]
fn the_password_of_a_registered_connection_string_of_libpq_is_found_alone() {
    for password in ["password-of-words", "'password-of-words'"] {
        let registered = format!("host=db-of-words user=user-of-words password={password}");
        redact(&registered);
        let scrubbed = redacted("user-of-words of db-of-words: no password-of-words");
        unredact(&registered);
        assert_eq!(
            scrubbed.as_deref(),
            Some("user-of-words of db-of-words: no [REDACTED]")
        );
    }
}

#[test]
fn long_texts_of_what_is_nearly_a_list_are_read_once() {
    for piece in [
        "password=",
        "password='",
        "host='\\' password=",
        "= ",
        "host=\"",
        "user=\\\"",
    ] {
        let begin = std::time::Instant::now();
        let text = format!("{} password=", piece.repeat(200_000 / piece.len()));
        redacted(&text);
        assert!(
            begin.elapsed() < std::time::Duration::from_secs(20),
            "{piece}"
        );
    }
}
