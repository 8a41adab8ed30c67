//! Headers, lines of YAML, options of commands, markup, and documents without the quotes around them.

use ops_log::{Config, Level, info, redacted};

use crate::pipeline;

#[test]
fn credentials_after_a_name_are_hidden_wherever_they_stand() {
    for (text, expected) in [
        // headers
        ("X-Api-Key: hunter2", "X-Api-Key: [REDACTED]"),
        (
            "GET / HTTP/1.1\r\nX-Auth-Token:hunter2\r\nHost: hunter",
            "GET / HTTP/1.1\r\nX-Auth-Token:[REDACTED]\r\nHost: hunter",
        ),
        (
            r#"curl -H "X-Vault-Token: hunter2" -H 'x-api-key: hunter2' https://x"#,
            r#"curl -H "X-Vault-Token: [REDACTED]" -H 'x-api-key: [REDACTED]' https://x"#,
        ),
        (
            "curl -H X-Api-Key:hunter2 x",
            "curl -H X-Api-Key:[REDACTED] x",
        ),
        (
            r#"docker run --secret TOKEN="hunter2" x"#,
            r#"docker run --secret TOKEN="[REDACTED]" x"#,
        ),
        (
            "Set-Cookie: id=hunter2; Path=/",
            "Set-Cookie: [REDACTED]; Path=/",
        ),
        // lines of YAML
        (
            "db:\n  user: ada\n  password: hunter2\n",
            "db:\n  user: ada\n  password: [REDACTED]\n",
        ),
        (
            "- token: 'hunter2 hunter2'\r\n- token: \"hunter2\"\r\n",
            "- token: '[REDACTED]'\r\n- token: \"[REDACTED]\"\r\n",
        ),
        (
            "a: b\npassword: hunter2 # of ada\ntoken: 'hunter2' # 'x'\npwd: \"a #hunter2\"",
            "a: b\npassword: [REDACTED] # of ada\ntoken: '[REDACTED]' # 'x'\npwd: \"[REDACTED]\"",
        ),
        // options
        (
            "mysql -u root --password hunter2 orders",
            "mysql -u root --password [REDACTED] orders",
        ),
        (
            r"mysql --password=hun\ter2<hunter2 db",
            "mysql --password=[REDACTED] db",
        ),
        (
            "(ran: login --access-token='hunter2 x' --api-key \"hunter2\")",
            "(ran: login --access-token='[REDACTED]' --api-key \"[REDACTED]\")",
        ),
        (
            r#"Command { args: ["login", "--password", "hunter2", "--user", "ada"] }"#,
            r#"Command { args: ["login", "--password", "[REDACTED]", "--user", "ada"] }"#,
        ),
        (
            r#""mysql" "--password" "hunter2" "orders""#,
            r#""mysql" "--password" "[REDACTED]" "orders""#,
        ),
        (
            r#"["mysql","--password","hunter2","--token=hunter2"]"#,
            r#"["mysql","--password","[REDACTED]","--token=[REDACTED]"]"#,
        ),
        // markup
        (
            "got <login>\n <user>ada</user><password> hunter2 </password>\n</login>",
            "got <login>\n <user>ada</user><password> [REDACTED] </password>\n</login>",
        ),
        (
            r#"<s:token a="b"><![CDATA[hunter2<hunter2]]></s:token>"#,
            r#"<s:token a="b"><![CDATA[[REDACTED]]]></s:token>"#,
        ),
        (
            r#"<login user="ada" password="hunter2"/> <add value='hunter2' key='Password' />"#,
            r#"<login user="ada" password="[REDACTED]"/> <add value='[REDACTED]' key='Password' />"#,
        ),
        (
            r#"<property name="db.password">hunter2</property>"#,
            r#"<property name="db.password">[REDACTED]</property>"#,
        ),
        // JSON whose quotes are still escaped
        (
            r#"{\"user\":\"ada\",\"password\":\"hunter2\"} was refused"#,
            r#"{\"user\":\"ada\",\"password\":\"[REDACTED]\"} was refused"#,
        ),
        (
            r#"body: {\\\"a\\\":[{\\\"token\\\":\\\"hunter2\\\"}]} "#,
            r#"body: {\\\"a\\\":[{\\\"token\\\":\\\"[REDACTED]\\\"}]} "#,
        ),
        // Oracle
        (
            "cannot connect: jdbc:oracle:thin:app/hunt@er2@db:1521:orders",
            "cannot connect: jdbc:oracle:thin:app/[REDACTED]@db:1521:orders",
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
                assert!(!line.contains("er2@"), "{line}");
                assert!(line.contains("[REDACTED]"), "{line}");
            }
        }
    }
}

#[test]
fn what_has_no_value_after_the_name_stays() {
    for harmless in [
        "x-api-key: required, X-Api-Key: $KEY, X-Api-Key: <key>, `api-key: {key}`",
        "host api-token:8443, see api-token:12:5: app-token::Token2, get-token: 153ms, repo/my-secret:v1.2",
        "service-token: db-account not found, api-key: v, next-page-token: 1234abcd",
        "invalid token: x1 was refused\npassword: String,\n    token: next(),\ncredentials: include",
        "a {\n  password: string;\n  token: Zugangsschlüssel\n  secret: パスワード\n}",
        "fn login(password: &str)\n    secret: u64\ntoken: ${TOKEN}\npass: 10\ntoken: a1 b2\n",
        "password:\n  - a1\ntoken: |\n  a1\nkey_of_token: a1",
        "usage: login --password <password> or --token TOKEN, --password=$PW or --token=\"...\"",
        "the option --password is required unless --token-file a1 is given; see --api-key",
        "a -- password a1, i--token, ----token a1, --no-password --user=a1",
        r#"options: ["--password", "--token"], ["--token", ""]"#,
        "Vec<token> a1 and <token>, <token> a1, <token></token>, <a accesskey=\"p\">x1</a>",
        "<input name=\"password\" type=\"text\"/> a <password b1, <token>a1</user>",
        "if a <b && c> d { token=x1 }",
        r"path\{\ and {\n  a1: \\",
        "jdbc:oracle:thin:@db:1521:orders and ada/x1@example.com",
    ] {
        assert_eq!(redacted(harmless), None, "{harmless}");
    }
    let config = |config: Config| config.allowed_keys(["password", "x_api_key"]);
    let (pipeline, written) = pipeline(config, true);
    let text = "X-Api-Key: a1 --password=a1 <password>a1</password>";
    info!(pipeline.root(), "sent", text = text);
    assert!(written.last().contains(text));
}

#[test]
fn long_texts_of_what_is_nearly_one_of_these_are_read_once() {
    for piece in [
        "x-token:",
        "x-token: ",
        "\ntoken: ",
        "token: '",
        "   token",
        "--token='",
        "--token \\\"",
        "--token --",
        "<token><![CDATA[",
        "<token a='",
        "<token a='' ",
        "<token>x",
        "\"token: ",
        "@",
        "<a<a=\"<",
        "{\\\"token\\\":",
        "{\\\"",
        "jdbc:oracle:a/@",
        "ééééééééééééééééééééééééééééééééé-token:",
        "aééééééééééééééééééééééééééééééééé=password=",
    ] {
        let begin = std::time::Instant::now();
        redacted(&format!("\n{}", piece.repeat(200_000 / piece.len())));
        assert!(
            begin.elapsed() < std::time::Duration::from_secs(20),
            "{piece}"
        );
    }
}
