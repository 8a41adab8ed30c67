use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use ops_secrets::{ErrorKind, Secrets};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::config;

/// Creates a `.env` file of these bytes, readable only by its owner.
fn file(bytes: impl AsRef<[u8]>) -> (TempDir, Secrets) {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join(".env"), bytes, 0o600);
    let secrets = at(&folder.path().join(".env"));
    (folder, secrets)
}

fn write(path: &Path, bytes: impl AsRef<[u8]>, mode: u32) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn at(path: &Path) -> Secrets {
    Secrets::new(config().dotenv(path).environment([("HOST", "from-env")])).unwrap()
}

fn value(secrets: &Secrets, key: &str) -> Option<String> {
    secrets
        .get(key)
        .optional_blocking()
        .unwrap()
        .map(|secret| secret.expose().to_owned())
}

#[test]
fn every_row_of_the_grammar_reads_as_documented() {
    let rows = [
        ("A=x#c", "x#c"),
        ("A=#c", "#c"),
        ("A=a b", "a b"),
        ("A=x # comment", "x"),
        ("A=\"p$w\"", "p$w"),
        ("A=p$w", "p$w"),
        ("A=${HOST}x", "from-envx"),
        ("A=\"${NOPE:-d}x\"", "dx"),
        ("A='${HOST}x'", "${HOST}x"),
        ("A=$FOO_BAR", "$FOO_BAR"),
        ("A=end$", "end$"),
        (r"A=C:\dir", r"C:\dir"),
        (r#"A="a\qb""#, r"a\qb"),
        (r#"A="a\tb""#, "a\tb"),
        (r#"A="l1\nl2""#, "l1\nl2"),
        (r#"A="a\"b""#, "a\"b"),
        ("A=\"l1\nl2\" # key", "l1\nl2"),
        ("\u{feff}A=bom", "bom"),
        ("A=crlf\r\nB=2\r", "crlf"),
        ("A=`x`", "`x`"),
        ("export A = spaced ", "spaced"),
        ("A=first\nA=last", "last"),
        ("A=${HOST", "${HOST"),
        ("A=${1X}y", "${1X}y"),
        ("A=\\${HOST}", "\\from-env"),
        ("A=\"\\${HOST}\"", "${HOST}"),
        ("A=\"\\\\\"", "\\"),
        ("A='x' # c", "x"),
        ("A='x'# c", "x"),
        ("A=\"x#y\"#z", "x#y"),
        ("A=\"\" # c\nA='x'#", "x"),
        ("A=\" x \"", " x "),
        ("  A=x\t#c", "x"),
        ("B=1\nA=${B}2", "12"),
        ("A=x=y==", "x=y=="),
        (
            "A=\"-----BEGIN-----\nMII==\n-----END-----\"\n",
            "-----BEGIN-----\nMII==\n-----END-----",
        ),
        ("A=\"l1\nl2\"#z", "l1\nl2"),
        ("A='l1\nMII=='#\"z\"", "l1\nMII=="),
        ("A=\"l1\r\nl2\"\r\n", "l1\nl2"),
        ("A=b\rc=d", "b"),
        ("c=d\rA=b\r", "b"),
        ("A='l1\rl2'", "l1\nl2"),
        (r"A='b\'c'", "b'c"),
        (r"A='b\\c'", r"b\c"),
        (r"A='C:\dir\'", r"C:\dir\"),
        (r"A='C:\dir\' # it's", r"C:\dir\"),
        (r#"A="it\'s""#, "it's"),
        ("export\tA=1", "1"),
        ("export \t A =1", "1"),
        ("exportA=no\nA=1", "1"),
        ("A=${X-d}", "d"),
        ("A=${HOST-d}", "from-env"),
        ("A=x${X:+r}y", "xy"),
        ("A=${HOST:+r}", "r"),
        ("A=${HOST+r}", "r"),
        ("A=${X:-${Y:-deep}}", "deep"),
        ("A=\"${X:-${Y-a b}} ${HOST:+${HOST}!}\"", "a b from-env!"),
        ("A=${X:-a}b}", "ab}"),
        ("A=${X:?gone}", "${X:?gone}"),
        ("A=${X:=d}", "${X:=d}"),
        ("A=x${X}y", "xy"),
    ];
    for (text, expected) in rows {
        let (_folder, secrets) = file(text);
        assert_eq!(value(&secrets, "A").as_deref(), Some(expected), "{text:?}");
    }
}

#[test]
fn a_reference_that_is_not_replaced_is_reported_with_its_line() {
    for line in [
        "A=${X:?gone}",
        "A=${X:=d}",
        "A=${X",
        "A=${1X}",
        "A=${X:-${Y}",
        "A=${X/a/b}",
    ] {
        let (_folder, secrets) = file(format!("B=1\n{line}\n"));
        let diagnostics = secrets.report().dotenv.diagnostics;
        assert_eq!(diagnostics.len(), 1, "{line}: {diagnostics:?}");
        assert_eq!(
            (diagnostics[0].line, diagnostics[0].key.as_deref()),
            (2, Some("A"))
        );
        assert!(
            diagnostics[0].problem.contains("kept as literal text"),
            "{diagnostics:?}"
        );
    }
    let deep = "${X:-".repeat(500) + &"}".repeat(500);
    let (_folder, secrets) = file(format!("A={deep}\n"));
    assert!(
        secrets.report().dotenv.diagnostics[0]
            .problem
            .contains("nested more than 16 levels")
    );
}

#[test]
fn a_file_that_somebody_else_may_write_is_refused_with_owner_and_mode() {
    let (folder, _) = file("A=planted\n");
    let path = folder.path().join(".env");
    let message = || {
        at(&path)
            .get("A")
            .or("d")
            .blocking()
            .unwrap_err()
            .to_string()
    };
    fs::set_permissions(&path, fs::Permissions::from_mode(0o660)).unwrap();
    assert!(
        message().contains("mode 0660: writable by its group"),
        "{}",
        message()
    );
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(value(&at(&path), "A").as_deref(), Some("planted"));
    // only root may change the owner of a file
    if std::os::unix::fs::chown(&path, Some(12345), None).is_ok() {
        assert!(
            message().contains("mode 0600: owned by user 12345"),
            "{}",
            message()
        );
    }
}

#[test]
fn a_file_that_was_replaced_is_noticed_whatever_its_length_and_time_say() {
    let (folder, secrets) = file("A=one\n");
    let path = folder.path().join(".env");
    assert_eq!(value(&secrets, "A").as_deref(), Some("one"));
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, "A=two\n").unwrap();
    let written = fs::File::options().write(true).open(&path).unwrap();
    written.set_modified(modified).unwrap();
    assert_eq!(value(&secrets, "A").as_deref(), Some("two"));
}

#[test]
fn references_are_text_where_expansion_is_switched_off() {
    let (folder, _) = file("A=${HOST}x\nB=\"${HOST:-d}\\n\"\n");
    let config = config().dotenv(folder.path().join(".env"));
    let secrets = Secrets::new(config.expand_dotenv(false)).unwrap();
    assert_eq!(value(&secrets, "A").as_deref(), Some("${HOST}x"));
    assert_eq!(value(&secrets, "B").as_deref(), Some("${HOST:-d}\n"));
}

#[test]
fn keys_that_no_shell_would_export_are_read_and_reported() {
    let (_folder, secrets) = file("1A=one\nA-B=two\nA.C=three\n");
    for (key, expected) in [("1A", "one"), ("A-B", "two"), ("A.C", "three")] {
        assert_eq!(value(&secrets, key).as_deref(), Some(expected));
    }
    assert_eq!(secrets.report().dotenv.diagnostics.len(), 3);
}

#[test]
fn an_empty_value_counts_as_not_set() {
    for line in ["A=", "A=\"\"", "A=  # nothing", "A=''"] {
        assert_eq!(value(&file(line).1, "A"), None, "{line}");
    }
}

#[test]
fn a_quote_that_is_never_closed_costs_neither_the_next_quoted_line_nor_its_value() {
    let (_folder, secrets) = file("A=\"planted\nB=\"fine\"\nC=too\n");
    assert_eq!(value(&secrets, "B").as_deref(), Some("fine"));
    assert_eq!(value(&secrets, "C").as_deref(), Some("too"));
    // a value that looks like a comment does not close the quote either
    for key in ["B", "export B ", "B.C", "B-C"] {
        let (_folder, commented) = file(format!("A='planted\n{key}='#fine'\n"));
        let key = key.trim_start_matches("export").trim();
        assert_eq!(value(&commented, key).as_deref(), Some("#fine"));
    }
    let (_folder, quoting) = file("A=\"planted\n<a href=\"#top\">\n\"\nB=fine\n");
    assert_eq!(value(&quoting, "B").as_deref(), Some("fine"));
    let error = quoting.get("A").or("d").blocking().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    let error = secrets.get("A").or("d").blocking().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    let message = error.to_string();
    assert!(
        message.contains("line 1: A: the opening quote is not closed")
            && !message.contains("planted"),
        "{message}"
    );
}

#[test]
fn a_value_that_grows_with_each_reference_is_refused_with_its_line() {
    let mut text = "A=xxxxxxxxxx\n".to_owned();
    for (before, name) in ('A'..'M').zip('B'..='M') {
        let value = format!("${{{before}}}").repeat(10);
        text.push_str(&format!("{name}={value}\n"));
    }
    let (_folder, secrets) = file(&text);
    assert_eq!(value(&secrets, "B").map(|value| value.len()), Some(100));
    let error = secrets.get("M").or("d").blocking().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    let diagnostics = secrets.report().dotenv.diagnostics;
    assert_eq!(
        (
            diagnostics[0].line,
            diagnostics[0].problem.contains("4 MiB")
        ),
        (7, true),
        "{diagnostics:?}"
    );
}

#[test]
fn what_may_be_a_part_of_a_value_is_no_key_in_a_diagnostic() {
    let (_folder, secrets) = file("A=\"begin\nplanted==\nplanted==\n");
    let diagnostics = secrets.report().dotenv.diagnostics;
    assert_eq!(diagnostics[0].key.as_deref(), Some("A"));
    assert!(
        diagnostics
            .iter()
            .skip(1)
            .all(|message| message.key.is_none()),
        "{diagnostics:?}"
    );
}

#[test]
fn a_bad_line_costs_its_own_key_and_no_other() {
    let rows: [(&[u8], bool); 5] = [
        (b"A=\"x\"y", true),
        (b"A=\"planted", true),
        (b"A=a\0b", true),
        (b"A=\xff\xfe", true),
        (b"A", false),
    ];
    for (line, is_refused) in rows {
        let bytes = [b"FIRST=1\n", line, b"\nLAST=2\n"].concat();
        let (_folder, secrets) = file(bytes);
        assert_eq!(value(&secrets, "FIRST").as_deref(), Some("1"));
        assert_eq!(value(&secrets, "LAST").as_deref(), Some("2"));
        let diagnostics = secrets.report().dotenv.diagnostics;
        assert_eq!(
            diagnostics
                .iter()
                .map(|message| message.line)
                .collect::<Vec<_>>(),
            [2]
        );
        let asked = secrets.get("A").or("d").blocking();
        assert_eq!(
            asked
                .as_ref()
                .is_err_and(|error| error.kind() == ErrorKind::Malformed),
            is_refused
        );
        let message = format!("{asked:?} {diagnostics:?}");
        assert!(!message.contains("planted"), "{message}");
    }
}

#[test]
fn a_pasted_value_in_the_place_of_a_key_is_not_repeated() {
    let (_folder, secrets) = file("pl/anted+key==\nno equals planted\n");
    assert_eq!(secrets.report().dotenv.diagnostics.len(), 2);
    assert!(!format!("{:?}", secrets.report()).contains("anted"));
}

#[test]
fn a_changed_file_is_read_again() {
    let (folder, secrets) = file("A=one\n");
    assert_eq!(value(&secrets, "A").as_deref(), Some("one"));
    write(&folder.path().join(".env"), "A=another\n", 0o600);
    assert_eq!(value(&secrets, "A").as_deref(), Some("another"));
    fs::remove_file(folder.path().join(".env")).unwrap();
    assert_eq!(value(&secrets, "A"), None);
}

#[test]
fn no_parent_folder_is_searched() {
    let (folder, _) = file("A=stranger\n");
    let below = folder.path().join("below");
    fs::create_dir(&below).unwrap();
    assert_eq!(value(&at(&below.join(".env")), "A"), None);
}

#[test]
fn a_symlink_to_a_file_is_followed() {
    let (folder, _) = file("A=mounted\n");
    let link = folder.path().join("link");
    symlink(folder.path().join(".env"), &link).unwrap();
    assert_eq!(value(&at(&link), "A").as_deref(), Some("mounted"));
}

#[test]
fn a_reference_to_nothing_is_reported_unless_it_says_so() {
    let url = "postgres://app:${PASSWORD}@db";
    let (_folder, secrets) = file(format!("EMPTY=\nA={url}\nB=${{EMPTY}}\n"));
    assert_eq!(value(&secrets, "A").as_deref(), Some("postgres://app:@db"));
    let diagnostics = secrets.report().dotenv.diagnostics;
    let message = diagnostics
        .iter()
        .map(|message| (message.line, message.key.as_deref()));
    assert_eq!(
        message.collect::<Vec<_>>(),
        [(2, Some("A")), (3, Some("B"))]
    );
    assert!(
        diagnostics
            .iter()
            .all(|message| message.problem.contains("is unset or empty"))
    );
    let meant = "A=x${GONE:-}${GONE:+y}${HOST}\nB='${GONE}'\nC=$GONE\nD=\\${GONE:-}\n";
    let (_folder, secrets) = file(meant);
    assert_eq!(value(&secrets, "A").as_deref(), Some("xfrom-env"));
    assert!(secrets.report().dotenv.diagnostics.is_empty());
}

#[test]
fn a_file_in_utf_16_is_refused_as_one() {
    let units = "\u{feff}A=planted\r\n".encode_utf16();
    for bytes in [
        units
            .clone()
            .flat_map(u16::to_le_bytes)
            .collect::<Vec<u8>>(),
        units.flat_map(u16::to_be_bytes).collect(),
    ] {
        let (folder, secrets) = file(bytes);
        let error = secrets.get("A").or("default").blocking().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        let message = error.to_string();
        let path = folder.path().join(".env");
        assert!(
            message.contains(&format!("{}: the file is UTF-16", path.display())),
            "{message}"
        );
        assert!(
            secrets
                .report()
                .dotenv
                .problem
                .unwrap()
                .contains("save it as UTF-8")
        );
    }
}

#[test]
fn what_is_no_trustworthy_file_is_refused_by_name_without_hanging() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("folder")).unwrap();
    symlink(path("loop"), path("loop")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(path("fifo"))
        .status()
        .unwrap();
    assert!(made.success());
    write(&path("anybody"), "A=planted\n", 0o666);
    write(&path("huge"), vec![b'#'; 1024 * 1024 + 1], 0o600);
    for name in ["folder", "loop", "fifo", "anybody", "huge"] {
        let error = at(&path(name)).get("A").or("d").blocking().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{name}");
        assert!(
            error.to_string().contains(path(name).to_str().unwrap()),
            "{error}"
        );
    }
}

#[test]
fn a_file_that_others_can_read_is_reported() {
    let (folder, secrets) = file("A=x\n");
    assert_eq!(secrets.report().dotenv.problem, None);
    fs::set_permissions(
        folder.path().join(".env"),
        fs::Permissions::from_mode(0o644),
    )
    .unwrap();
    assert!(
        secrets
            .report()
            .dotenv
            .problem
            .unwrap()
            .contains("chmod 600")
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Combines elements of the grammar, so that unusual cases occur.
    #[test]
    fn whatever_follows_a_good_line_the_line_stays_good(parts in prop::collection::vec(0..PARTS.len(), 0..40)) {
        let rest: Vec<u8> = parts.iter().flat_map(|part| PARTS[*part]).copied().collect();
        let (_folder, secrets) = file([b"GOOD_LINE=1\n".as_slice(), &rest].concat());
        prop_assert_eq!(value(&secrets, "GOOD_LINE"), Some("1".to_owned()));
        let _ = secrets.get("A").optional_blocking();
        let _ = secrets.report().to_string();
    }
}

const PARTS: [&[u8]; 18] = [
    b"A",
    b"=",
    b"\"",
    b"'",
    b"\\",
    b"\n",
    b"\r\n",
    b" ",
    b"\t#",
    b"${A}",
    b"${A:-",
    b"}",
    b"$",
    b"export ",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"B=\"x\"",
];

#[test]
fn a_line_that_refers_to_a_refused_one_is_refused_too() {
    for reference in ["${X}", "${X:-d}", "${X:+r}", "\"${Y:-${X}}\""] {
        let (_folder, secrets) = file(format!("X=\"open\nA=before{reference}\n"));
        let error = secrets.get("A").or("never").blocking().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{reference}: {error}");
        assert!(error.to_string().contains("line 2"), "{error}");
        assert!(error.to_string().contains("was refused"), "{error}");
    }
    // the environment's value is used, whatever the file contains
    let (_folder, secrets) = file("HOST=\"open\nA=${HOST}\n");
    assert_eq!(value(&secrets, "A").as_deref(), Some("from-env"));
}
