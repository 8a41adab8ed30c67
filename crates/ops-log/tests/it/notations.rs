//! Form bodies, headers, dictionaries of Python and addresses of Go in texts.

use ops_log::{Config, Level, info, redacted};

use crate::pipeline;

#[test]
fn credentials_of_usual_notations_are_hidden_wherever_they_stand() {
    for (text, expected) in [
        // form bodies
        (
            "body: user=ada&password=hunter2&a=b (no answer)",
            "body: user=ada&password=[REDACTED]&a=b (no answer)",
        ),
        (
            "user%5Bpassword%5D=hunter2&client_secret=&refresh_token=hunter2",
            "user%5Bpassword%5D=[REDACTED]&client_secret=&refresh_token=[REDACTED]",
        ),
        (
            "curl -d 'a=b&user[password]=hunter2' https://x/?a=b",
            "curl -d 'a=b&user[password]=[REDACTED]' https://x/?a=b",
        ),
        // headers
        (
            "GET / HTTP/1.1\r\nAuthorization: Basic aHVudGVyMg==\r\nHost: hunter",
            "GET / HTTP/1.1\r\nAuthorization: Basic [REDACTED]\r\nHost: hunter",
        ),
        (
            r#"curl -H "proxy-authorization: bearer hunter2" -H "authorization:Token  hunter2.-_~+/=" x"#,
            r#"curl -H "proxy-authorization: bearer [REDACTED]" -H "authorization:Token  [REDACTED]" x"#,
        ),
        (
            "Authorization: Bearer lettersonly",
            "Authorization: Bearer [REDACTED]",
        ),
        // dictionaries of Python, objects of JavaScript
        (
            r#"{'user': "it's", 'password': "hunter2'x", 'n': 1, b'token': b'hunter2'}"#,
            r#"{'user': "it's", 'password': "[REDACTED]", 'n': 1, b'token': b'[REDACTED]'}"#,
        ),
        (
            r"sent {'a': {'token': 'hunter\'2', 'c': 'd'}, 'passwords': ['hunter2', 'hunter2'], 'e': 'f'}",
            r"sent {'a': {'token': '[REDACTED]', 'c': 'd'}, 'passwords': ['[REDACTED]', '[REDACTED]'], 'e': 'f'}",
        ),
        (
            r"{\'a\': \'b\', \'token\': \'hunter2\', \'c\': \'d\'}",
            r"{\'a\': \'b\', \'token\': \'[REDACTED]\', \'c\': \'d\'}",
        ),
        ("{ password: 'hunter2' }", "{ password: '[REDACTED]' }"),
        ("{password:'hunter2'}", "{password:'[REDACTED]'}"),
        (
            "{ user: 'ada',\n  password: 'hunter2 was cut",
            "{ user: 'ada',\n  password: '[REDACTED]",
        ),
        // Go
        (
            "dial app:hunt:er@2@tcp(db:3306)/orders?parseTime=true, app:hunter2@unix(/run/db)/",
            "dial app:[REDACTED]@tcp(db:3306)/orders?parseTime=true, app:[REDACTED]@unix(/run/db)/",
        ),
    ] {
        assert_eq!(redacted(text).as_deref(), Some(expected));
        for is_json in [true, false] {
            let (pipeline, written) = pipeline(|config| config, is_json);
            info!(pipeline.root(), "sent", text = text, again = %text, shown = ?text);
            pipeline.root().log(Level::Info, text, &[]);
            slog::info!(pipeline.root().slog(), "sent"; "text" => text);
            info!(pipeline.root(), "sent", list = slog::Serde(vec![text]));
            for line in written.lines() {
                assert!(!line.contains("hunter2"), "{line}");
                assert!(line.contains("[REDACTED]"), "{line}");
            }
        }
    }
}

#[test]
fn what_looks_like_these_notations_stays() {
    for harmless in [
        "Authorization: Bearer token required",
        "Authorization: Bearer Authentication required, Authorization: Bearer Token",
        "Authorization: Bearer <token>, or Authorization: Bearer $TOKEN",
        "Authorization: required, authorization=none, authorization header",
        "authorization: bearer realm=\"x\"",
        "authorization: token rejected. Authorization: Basic authentication: missing",
        "(authorization: bearer required), authorization: token required, got none",
        "x=1 && token=2, flags&token=3, a==b&token==c",
        "a & b, token: 'x', 'token': 'too short'",
        "it's: 'token', {'error': \"password: 'x' is wrong\"}, {'password': ''}",
        "{'type': 'password', 'page_token': 'abc', 'tokens': 'all'}",
        "token: ada@tcp(db)/x, user@example.com: token",
        "R&D: it's 'fine' @ noon=12&more",
    ] {
        assert_eq!(redacted(harmless), None, "{harmless}");
    }
    let config = |config: Config| config.allowed_keys(["password", "authorization"]);
    let (pipeline, written) = pipeline(config, true);
    let text = "{'password': 'word'} user=ada&password=word Authorization: Bearer Word";
    info!(pipeline.root(), "sent", text = text);
    assert!(written.last().contains(text));
}

#[test]
fn long_texts_of_what_is_nearly_one_of_these_are_read_once() {
    for piece in [
        "'token': ",
        "{'token': '\\",
        "{'token': ['",
        "{token: '\\\\",
        "a:@tcp(",
        "password=&",
        "=&'",
        "authorization: bearer ",
        "{ ':",
    ] {
        let begin = std::time::Instant::now();
        redacted(&piece.repeat(200_000 / piece.len()));
        assert!(
            begin.elapsed() < std::time::Duration::from_secs(20),
            "{piece}"
        );
    }
}
