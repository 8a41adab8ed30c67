use data_cache::{Cache, Config, Params, testing::ManualClock};

use crate::batches::numbers;

const OVERVIEW: &str = r#"
query_cache:
  enabled: true
  default_ttl_seconds: 3600  # 1 hour
  max_size_mb: 1000  # 1 GB

  ttls:
    "SELECT * FROM data WHERE date = CURRENT_DATE": 300  # 5 min
    "SELECT * FROM models*": 3600  # 1 hour
    "*_aggregated": 7200  # 2 hours

http_cache:
  enabled: true
  static_max_age: 31536000  # 1 year
  stable_endpoints:
    - path: /api/viz/palette
      max_age: 86400  # 1 day
"#;

#[test]
fn the_file_of_the_overview_loads() {
    let config = Config::from_yaml("cache.yaml", OVERVIEW).unwrap();
    assert_eq!(config.query_cache.ttls["*_aggregated"], 7200);
    assert_eq!(config.http_cache.stable_endpoints[0].max_age, 86_400);
}

#[test]
fn configuration_errors_name_their_place() {
    for (yaml, expected) in [
        ("query_cache: {max_size: 1}", "unknown field `max_size`"),
        ("query_cache:\n  enabled: perhaps", "line 2"),
        (
            "query_cache: {ttls: {'*': 0}}",
            "\"*\": must be between 1 and",
        ),
        ("query_cache: {ttls: {' ': 5}}", "empty pattern"),
        ("query_cache: {ttls: {'*': -5}}", "invalid"),
        (
            "query_cache:\n  ttls:\n    '*flights*': 5\n    '*flights*': 600",
            "duplicate pattern \"*flights*\"",
        ),
        (
            "query_cache:\n  ttls:\n    '*FROM  Flights': 5\n    '*from flights;': 600",
            "are the same pattern",
        ),
        ("query_cache: {codec: json}", "unknown variant `json`"),
        (
            "query_cache: {default_ttl_seconds: 999999999999}",
            "ten years",
        ),
        (
            "http_cache: {stable_endpoints: [{path: api, max_age: 1}]}",
            "must start with /",
        ),
        (
            "http_cache: {stable_endpoints: [{path: '/api/registry/*', max_age: 1}]}",
            "one exact path, not a pattern",
        ),
        (
            "http_cache: {stable_endpoints: [{path: /a, max_age: 1}, {path: /a, max_age: 2}]}",
            "duplicate path",
        ),
        (
            "http_cache: {stable_endpoints: [{path: '/api/all models', max_age: 1}]}",
            "percent-encoded",
        ),
        (
            "http_cache: {stable_endpoints: [{path: /api/größen, max_age: 1}]}",
            "percent-encoded",
        ),
        (
            "http_cache: {stable_endpoints: [{path: '/api#models', max_age: 1}]}",
            "percent-encoded",
        ),
        (
            "http_cache: {stable_endpoints: [{path: /api/../models, max_age: 1}]}",
            "a dot segment",
        ),
        (
            "http_cache: {session_cookies: ['session*']}",
            "one exact name such as sid, not a pattern",
        ),
        (
            "http_cache: {session_cookies: ['sid; theme']}",
            "is not a valid cookie name",
        ),
        (
            "http_cache: {session_cookies: ['']}",
            "is not a valid cookie name",
        ),
        (
            "http_cache: {session_cookies: ['sid=1']}",
            "is not a valid cookie name",
        ),
    ] {
        let error = Config::from_yaml("cache.yaml", yaml)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("cache.yaml: "), "{error}");
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn the_most_literal_pattern_decides_the_time() {
    let yaml = r#"
query_cache:
  default_ttl_seconds: 50
  ttls:
    "*": 40
    "SELECT * FROM models*": 30
    "SELECT * FROM models WHERE a*": 20
    "*models WHERE a = 1*": 10
    "*aa": 7
    "aa*": 6
"#;
    let dir = tempfile::tempdir().unwrap();
    let config = Config::from_yaml("cache.yaml", yaml).unwrap();
    let cache = Cache::open_with(dir.path(), &config).unwrap();
    let clock = ManualClock::install(&cache, 1_000_000);
    for (sql, asked, expected) in [
        ("SELECT 1", None, 40),
        ("SELECT * FROM models", None, 30),
        ("select *  from MODELS where b = 1", None, 30),
        ("SELECT * FROM models WHERE a = 2", None, 20),
        ("aaa", None, 6),
        ("SELECT * FROM models WHERE a = 2", Some(5), 5),
    ] {
        let none = Params::new();
        cache.set(sql, &[numbers(&[1])], &none, asked).unwrap();
        clock.advance(expected - 1);
        assert!(cache.get(sql, &none).is_some(), "{sql}");
        clock.advance(1);
        assert!(cache.get(sql, &none).is_none(), "{sql}");
    }
}

#[cfg(feature = "shared")]
#[test]
fn a_bucket_is_named_with_the_secret_that_seals_what_is_shared() {
    let yaml = "
shared:
  bucket: results
  prefix: shop
  endpoint: http://127.0.0.1:9000
  region: us-east-1
  key_secret: SHOP_SHARED_KEY
  min_compute_ms: 50
  lease_seconds: 10
  computed: true
";
    let settings = Config::from_yaml("cache.yaml", yaml)
        .unwrap()
        .shared
        .unwrap();
    assert_eq!(settings.key_secret.as_deref(), Some("SHOP_SHARED_KEY"));
    let config = settings.config(Some(b"a key of 24 bytes, all of"));
    assert_eq!(
        format!("{config:?}"),
        "SharedConfig { bucket: \"results\", prefix: \"shop\", endpoint: Some(\"http://127.0.0.1:9000\"), \
         region: Some(\"us-east-1\"), min_compute: 50ms, lease: 10s, is_computed_shared: true, \
         is_unauthenticated: false, .. }"
    );
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    assert!(cache.share(&settings.config(None)).is_err(), "no key");
    cache.share(&config).unwrap();
}

#[cfg(feature = "shared")]
#[test]
fn invalid_shared_settings_are_errors_that_name_the_setting() {
    for (section, expected) in [
        (
            "{bucket: a, key: hush}",
            "unknown field `key`, expected one of `bucket`, `prefix`",
        ),
        ("\n  bucket: a\n  secret_key: hush", "line 3 column 3"),
        ("{key_secret: A}", "missing field `bucket`"),
        (
            "{bucket: '', key_secret: A}",
            "shared: the bucket name is empty",
        ),
        ("{bucket: a}", "neither key_secret nor unauthenticated"),
        ("{bucket: a, key_secret: ''}", "key_secret is empty"),
        (
            "{bucket: a, key_secret: A, unauthenticated: true}",
            "expected one of them",
        ),
        ("{bucket: a, key_secret: A, prefix: /}", "prefix is empty"),
        (
            "{bucket: a, key_secret: A, endpoint: 's3:9000'}",
            "must start with http://",
        ),
        (
            "{bucket: a, key_secret: A, lease_seconds: 0}",
            "must be between 1 and 60 s",
        ),
        (
            "{bucket: a, key_secret: A, min_compute_ms: 3600001}",
            "(one hour)",
        ),
    ] {
        let error = Config::from_yaml("cache.yaml", &format!("shared: {section}"));
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with("cache.yaml: "), "{error}");
        assert!(error.contains(expected), "{error}");
    }
}

#[cfg(not(feature = "shared"))]
#[test]
fn a_bucket_that_this_build_cannot_ask_is_refused() {
    let error = Config::from_yaml("cache.yaml", "shared: {bucket: a, key_secret: A}");
    let error = error.unwrap_err().to_string();
    assert!(error.contains("without the feature `shared`"), "{error}");
}
