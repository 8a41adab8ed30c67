//! Connection strings and cookies beside other texts, and with
//! passwords that contain characters with a meaning elsewhere.

use ops_log::{info, redact, redacted, unredact};

use crate::pipeline;

#[test]
fn a_list_is_read_wherever_it_stands_and_whatever_is_in_its_values() {
    for (text, expected) in [
        // after a path, a URL, or a media type
        (
            "cannot open /etc/app.conf; Server=db;Uid=sa;Password=hunter2;Encrypt=True",
            "cannot open /etc/app.conf; Server=db;Uid=sa;Password=[REDACTED];Encrypt=True",
        ),
        (
            "could not reach db.local/orders; Server=db;Uid=sa;Password=hunter2",
            "could not reach db.local/orders; Server=db;Uid=sa;Password=[REDACTED]",
        ),
        (
            "GET /a;v=1?x=2 Cookie: theme=dark; session_id=hunter2; x=1",
            "GET /a;v=1?x=2 Cookie: theme=dark; session_id=[REDACTED]; x=1",
        ),
        (
            "Accept: text/html; q=0.9, Cookie: theme=dark; session_id=hunter2; x=1",
            "Accept: text/html; q=0.9, Cookie: theme=dark; session_id=[REDACTED]; x=1",
        ),
        (
            "Server=db;read/write=1;Password=hunter2;x=1",
            "Server=db;read/write=1;Password=[REDACTED];x=1",
        ),
        // after a list that ended with a quoted value
        (
            "name='app' failed; Server=db;Uid=sa;Password=hunter2;Encrypt=True",
            "name='app' failed; Server=db;Uid=sa;Password=[REDACTED];Encrypt=True",
        ),
        // characters that delimit texts elsewhere
        (
            "Server=db;Uid=app;Password=ab<hunter2;Encrypt=True",
            "Server=db;Uid=app;Password=[REDACTED];Encrypt=True",
        ),
        (
            "lost: Server=db;Password=ab>hunter2`hunter2;Pwd='hun<ter2';Token={hun`ter2};x=1",
            "lost: Server=db;Password=[REDACTED];Pwd='[REDACTED]';Token={[REDACTED]};x=1",
        ),
        (
            "<p>Server=db;Password=hunter2 & more</p><b>Server=db;Password=hunter2</b>",
            "<p>Server=db;Password=[REDACTED]</p><b>Server=db;Password=[REDACTED]</b>",
        ),
        (
            "use `Server=db;Pwd=hunter2<1` or <Server=db;Pwd=hunter2`1 2> now",
            "use `Server=db;Pwd=[REDACTED]` or <Server=db;Pwd=[REDACTED]> now",
        ),
        // two quotes stand for one
        (
            r#"Server=db;Password="my""hunter2";Database=x"#,
            r#"Server=db;Password="[REDACTED]";Database=x"#,
        ),
        (
            r#"Server=db;Password="""hunter2""";Pwd="";Database=x"#,
            r#"Server=db;Password="[REDACTED]";Pwd="";Database=x"#,
        ),
        (
            r#"{"conn":"Server=db;Password=\"my\"\"hunter2\";Pwd=\"\"","x":""}"#,
            r#"{"conn":"Server=db;Password=\"[REDACTED]\";Pwd=\"\"","x":""}"#,
        ),
        (
            r#"Server=db;Password="my""hunter2 was cut"#,
            r#"Server=db;Password="[REDACTED]"#,
        ),
        // not a statement
        (
            "Password = hunter2; Server = db",
            "Password = [REDACTED]; Server = db",
        ),
        ("SET password = 'hunter2';", "SET password = '[REDACTED]';"),
        ("Password=hunter2;", "Password=[REDACTED];"),
        (
            "Password = hunter2; connected",
            "Password = [REDACTED]; connected",
        ),
        // not a comparison
        (
            "Server=db;Uid=app;Password==hunter2;Encrypt=True",
            "Server=db;Uid=app;Password=[REDACTED];Encrypt=True",
        ),
    ] {
        assert_eq!(redacted(text).as_deref(), Some(expected));
        for is_json in [true, false] {
            let (pipeline, written) = pipeline(|config| config, is_json);
            info!(pipeline.root(), "connected", to = text, again = %text, shown = ?text);
            let line = written.last();
            assert!(
                !line.contains("hunter2") && !line.contains("ter2"),
                "{line}"
            );
        }
    }
}

#[test]
fn what_looks_like_a_list_beside_a_path_is_left_alone() {
    for harmless in [
        "GET /a/b;v=1 failed; token=none of this",
        "a/b;token=none of this; and token=none",
        "see /a/b; retry later; token=none of this",
        "Accept: text/html; q=0.9, text/plain; q=0.5",
        "name='app' failed; token=none of this",
        "let x=1;if token == 2;{ y }",
        "x=1; token == 2; y",
        "<p>text/html; charset=utf-8</p> token=none",
        "`a/b`; token=none",
        // statements
        "let token = next();",
        "        self.client_token = input;\n        self",
        "type Token = [u8; 32];",
        "SET token = $1; SELECT 1",
    ] {
        assert_eq!(redacted(harmless), None, "{harmless}");
    }
}

#[test]
fn a_registered_list_is_found_by_its_whole_password() {
    for (registered, password) in [
        (
            "Server=db-of-signs;Uid=user-of-signs;Password=ab<word-of-signs;Encrypt=True",
            "ab<word-of-signs",
        ),
        (
            "Server=db-of-signs;Uid=user-of-signs;Password==word-with-a-sign;Encrypt=True",
            "=word-with-a-sign",
        ),
    ] {
        redact(registered);
        let scrubbed = redacted(&format!("user-of-signs has {password}"));
        unredact(registered);
        assert_eq!(scrubbed.as_deref(), Some("user-of-signs has [REDACTED]"));
    }
}
