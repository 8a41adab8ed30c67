//! Equality of keys.

use std::collections::HashMap;

use data_cache::{Cache, Dialect, Key, Params, Value};
use duckdb::Connection;
use proptest::prelude::*;

fn cache() -> Cache {
    let config = data_cache::Config::from_yaml("c", "query_cache: {max_size_mb: 0}").unwrap();
    Cache::open_with("nowhere", &config).unwrap()
}

/// Returns the key of a text in DuckDB's dialect.
fn key(sql: &str) -> Key {
    cache().dialect(Dialect::DuckDb).key(sql, &Params::new())
}

#[test]
fn spellings_that_are_equal_to_the_engine_share_a_key() {
    for (a, b) in [
        ("SELECT  1", "SELECT 1"),
        ("\n\tSELECT\r\n1 ; ", "SELECT 1"),
        ("SELECT a,\n  b FROM t", "SELECT a, b FROM t"),
        ("SELECT 'a  b'   ", "SELECT 'a  b'"),
        ("SELECT 1;;", "SELECT 1"),
        ("SELECT 'x'\n\n  'y'", "SELECT 'x'\n'y'"),
        ("SELECT 'x'\r'y'", "SELECT 'x'\n'y'"),
        ("SELECT 'x'\nFROM t", "SELECT 'x' FROM t"),
        ("SELECT 1 /* c */\n\nFROM t", "SELECT 1 /* c */ FROM t"),
        (
            "SELECT 'x' AS\n\"a\"\n, E'b'\n\nFROM t",
            "SELECT 'x' AS \"a\" , E'b' FROM t",
        ),
        ("SELECT 1 -- c\n\n  FROM t", "SELECT 1 -- c\nFROM t"),
        ("SELECT /* /* a */ */  1", "SELECT /* /* a */ */ 1"),
    ] {
        assert_eq!(key(a), key(b), "{a:?} {b:?}");
    }
}

#[test]
fn spellings_that_differ_for_the_engine_have_different_keys() {
    for (a, b) in [
        ("SELECT 'a  b'", "SELECT 'a b'"),
        ("SELECT E'a  b'", "SELECT E'a b'"),
        ("SELECT $$a  b$$", "SELECT $$a b$$"),
        ("SELECT $x$a  b$x$", "SELECT $x$a b$x$"),
        ("SELECT \"a  b\"", "SELECT \"a b\""),
        ("select 1 -- c\n+1", "select 1 -- c +1"),
        ("select 1 -- c\r+1", "select 1 -- c +1"),
        ("SELECT 'x'\n'y'", "SELECT 'x' 'y'"),
        ("select a+1", "select A+1"),
        ("select 1 /* a  b */", "select 1 /* a b */"),
        ("select 1 -- ;", "select 1 --"),
        ("select 'a''  b'", "select 'a'' b'"),
        ("select E'a\\'  b'", "select E'a\\' b'"),
        ("select\u{a0}1", "select 1"),
        ("select E'a'\n'b\\'  c'", "select E'a'\n'b\\' c'"),
        ("select e'a' -- x\n'b\\'  c'", "select e'a' -- x\n'b\\' c'"),
        ("select E'a'\n'b'\n'\\'  c'", "select E'a'\n'b'\n'\\' c'"),
        ("select 'x' /* c */\n'y'", "select 'x' \n'y'"),
    ] {
        assert_ne!(key(a), key(b), "{a:?} {b:?}");
    }
}

#[test]
fn texts_of_an_unknown_dialect_keep_every_space_that_may_mean_something() {
    let unknown = cache();
    for (a, b) in [
        ("SELECT `a  b` FROM t", "SELECT `a b` FROM t"),
        ("SELECT [a  b] FROM t", "SELECT [a b] FROM t"),
        ("SELECT 1 # it's\n, '  '", "SELECT 1 # it's\n, ' '"),
        ("SELECT 'it\\'s  x'", "SELECT 'it\\'s x'"),
        ("SELECT 'it\\'  s' , 'x'", "SELECT 'it\\' s' , 'x'"),
        ("SELECT \"it\\\"  s\"", "SELECT \"it\\\" s\""),
        (
            "SELECT q'[it's  x]' FROM t, '",
            "SELECT q'[it's x]' FROM t, '",
        ),
        (
            "SELECT '''it's  x''', '''y'''",
            "SELECT '''it's x''', '''y'''",
        ),
        ("SELECT r'\\'  , 'x'", "SELECT r'\\' , 'x'"),
        ("SELECT $$it's  x$$", "SELECT $$it's x$$"),
        ("SELECT 5--'a\n  b'", "SELECT 5--'a\n b'"),
        (
            "SELECT 1 // it's\n  , 'a  b'",
            "SELECT 1 // it's\n  , 'a b'",
        ),
        ("SELECT /*! 'a  b' */ 1", "SELECT /*! 'a b' */ 1"),
        ("SELECT {d  'x'}", "SELECT {d 'x'}"),
        ("SELECT 'x'\n'y'", "SELECT 'x' 'y'"),
        ("SELECT E'a'\n'b\\'  c'", "SELECT E'a'\n'b\\' c'"),
        ("SELECT 1 -- c\r+1", "SELECT 1 -- c\n+1"),
        ("SELECT 1 -- c\n -- d\r+1", "SELECT 1 -- c\n -- d\n+1"),
    ] {
        let none = Params::new();
        assert_ne!(unknown.key(a, &none), unknown.key(b, &none), "{a:?} {b:?}");
    }
    for (a, b) in [
        (
            "SELECT  *\n FROM large_table ;",
            "SELECT * FROM large_table",
        ),
        (
            "SELECT 'it''s  x'\n, a  FROM t",
            "SELECT 'it''s  x' , a FROM t",
        ),
        (
            "SELECT 1 -- a note\n\n FROM t",
            "SELECT 1 -- a note\nFROM t",
        ),
        (
            "SELECT \"a  b\"   FROM t /* c */\n",
            "SELECT \"a  b\" FROM t /* c */",
        ),
    ] {
        let none = Params::new();
        assert_eq!(unknown.key(a, &none), unknown.key(b, &none), "{a:?} {b:?}");
    }
}

#[test]
fn values_of_different_types_are_different_questions() {
    let values: Vec<Value> = vec![
        Value::Null,
        true.into(),
        false.into(),
        1_i32.into(),
        1_i64.into(),
        1_u64.into(),
        1.0.into(),
        0.0.into(),
        (-0.0).into(),
        f64::NAN.into(),
        f64::INFINITY.into(),
        "1".into(),
        "".into(),
        "NULL".into(),
        b"1".to_vec().into(),
        Value::Date(1),
        Value::Timestamp(1),
        Value::TimestampTz(1),
        Value::Time(1),
        Value::UInt32(1),
        1_i8.into(),
        1_i16.into(),
        1_u8.into(),
        1_u16.into(),
        1_i128.into(),
        1_f32.into(),
        Value::Interval {
            months: 1,
            days: 0,
            micros: 0,
        },
        Value::Interval {
            months: 0,
            days: 1,
            micros: 0,
        },
        Value::Decimal {
            unscaled: 1,
            scale: 0,
        },
        Value::Decimal {
            unscaled: 1,
            scale: 1,
        },
        "1970-01-02".into(),
    ];
    let cache = cache();
    let mut seen = HashMap::new();
    for value in &values {
        let key = cache.key("SELECT $a", &Params::new().set("a", value.clone()));
        if let Some(other) = seen.insert(key, value) {
            panic!("{value:?} and {other:?} share a key");
        }
    }
    let nan = |bits| Params::new().set("a", f64::from_bits(bits));
    let (one, other) = (nan(0x7ff8_0000_0000_0000), nan(0xfff8_0000_0000_0001));
    assert_eq!(cache.key("SELECT $a", &one), cache.key("SELECT $a", &other));
}

#[test]
fn fields_do_not_run_into_each_other() {
    let cache = cache();
    let of = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter();
        let params = pairs.fold(Params::new(), |params, (name, value)| {
            params.set(*name, *value)
        });
        cache.key("SELECT 1", &params)
    };
    assert_ne!(of(&[("ab", "c")]), of(&[("a", "bc")]));
    assert_ne!(of(&[("a", "b"), ("c", "d")]), of(&[("a", "bcd")]));
    assert_eq!(of(&[("a", "1"), ("b", "2")]), of(&[("b", "2"), ("a", "1")]));
}

/// Pieces from which statements are built, some of them nasty.
const PIECES: &[&str] = &[
    "SELECT",
    "1",
    "'a  b'",
    "'it''s'",
    "\"a  b\"",
    " ",
    "  ",
    "\n",
    "\r\n",
    "\t",
    "-- c\n",
    "--c\r",
    "/* x  y */",
    "$$a  b$$",
    "$t$ ; $t$",
    "E'a\\'  b'",
    "+",
    ",",
    "(",
    ")",
    ";",
    "FROM t",
    "WHERE a = 1",
    "AS",
    "x",
    "'",
    "\"",
    "/*",
    "*/",
    "$",
    "é",
    "\u{a0}",
    "\u{200b}",
    "\0",
    "e",
    "'x'\n'y'",
    "E'x'\n'y\\'  z'",
    "\n'\\'  z'",
    "/* /* */",
    "U&'x'",
    "--",
];

fn statements() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(PIECES), 0..12).prop_map(|pieces| pieces.concat())
}

/// Returns the engine's parse tree of a statement, without positions.
fn parsed(connection: &Connection, sql: &str) -> Option<String> {
    let mut statement = connection
        .prepare("SELECT json_serialize_sql($1::VARCHAR)")
        .ok()?;
    let text: String = statement.query_row([sql], |row| row.get(0)).ok()?;
    let mut tree: serde_json::Value = serde_json::from_str(&text).ok()?;
    if tree["error"] != false {
        return None;
    }
    strip(&mut tree);
    Some(tree.to_string())
}

fn strip(tree: &mut serde_json::Value) {
    match tree {
        serde_json::Value::Object(map) => {
            map.retain(|name, _| !name.starts_with("query_location"));
            map.values_mut().for_each(strip);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

#[test]
fn equal_keys_mean_equal_parse_trees() {
    let connection = Connection::open_in_memory().unwrap();
    if parsed(&connection, "SELECT 1").is_none() {
        panic!("this libduckdb has no json_serialize_sql");
    }
    let cache = cache().dialect(Dialect::DuckDb);
    let mut trees: HashMap<Key, (String, Option<String>)> = HashMap::new();
    let cases = if crate::batches::is_full() {
        200_000
    } else {
        2500
    };
    let mut random = crate::batches::Random(7);
    let mut shared = 0;
    for _ in 0..cases {
        let mut sql = String::from("SELECT ");
        for _ in 0..random.below(7) {
            sql.push_str(PIECES[random.below(PIECES.len())]);
        }
        if sql.contains('\0') {
            continue;
        }
        let tree = parsed(&connection, &sql);
        let key = cache.key(&sql, &Params::new());
        match trees.get(&key) {
            Some((other, known)) => {
                shared += usize::from(*other != sql);
                // a text that does not parse is never cached, whatever its key
                if let (Some(known), Some(tree)) = (known, &tree) {
                    assert_eq!(known, tree, "{sql:?} {other:?}");
                }
                assert_eq!(known.is_some(), tree.is_some(), "{sql:?} {other:?}");
            }
            None => {
                trees.insert(key, (sql, tree));
            }
        }
    }
    assert!(shared > 100, "{shared} pairs were compared");
}

proptest! {
    #[test]
    fn spaces_around_a_statement_change_nothing(sql in statements()) {
        let clean = data_cache::sanitize(&sql);
        // surrounding spaces change nothing, unless the text ends inside a literal or comment
        let usual = data_cache::sanitize(&format!("{sql}\n'end'")).ends_with('?') && clean != "?";
        if usual {
            prop_assert_eq!(key(&format!(" \n{sql}\n ")), key(&sql));
        }
    }
}

#[test]
fn a_text_of_an_unknown_dialect_keeps_its_spaces_if_dialects_read_it_differently() {
    let keeps_spaces = |text: &str| {
        let (one, two) = (format!("SELECT {text} , a"), format!("SELECT  {text} , a"));
        let key = |sql: &str| cache().key(sql, &Params::new());
        key(&one) != key(&two)
    };
    let differently = [
        r"'it\'s'",
        "`a`",
        "a # b\n",
        "[a]",
        "{a}",
        "a // b\n",
        "/*! a */",
        "'''a'",
        "\"\"\"a\"",
        "$$a$$",
        "1 --2\n",
        "1 ---\n",
        "1 --é\n",
        "1 -- c\r",
        "/* /* a */",
        "/* a */ */",
        "E'a'",
        "x'61'",
    ];
    for text in differently {
        assert!(keeps_spaces(text), "{text}");
    }
    let alike = [
        "a",
        "'it''s'",
        "\"a\"\"b\"",
        "a / b * c",
        "a - -b",
        "1 -- c\n",
        "1 -- c\r\n",
        "1\r-- c\n",
        "1 --\n",
        "/* a */ b",
        "/**/ b",
        "$1",
        "é",
        "''",
        "\"\"",
    ];
    for text in alike {
        assert!(!keeps_spaces(text), "{text}");
    }
}
