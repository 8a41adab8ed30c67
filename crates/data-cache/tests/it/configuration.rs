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
fn what_is_wrong_is_told_with_its_place() {
    for (yaml, told) in [
        ("query_cache: {max_size: 1}", "unknown field `max_size`"),
        ("query_cache:\n  enabled: perhaps", "line 2"),
        ("query_cache: {ttls: {'*': 0}}", "\"*\": 0 seconds"),
        ("query_cache: {ttls: {' ': 5}}", "empty pattern"),
        ("query_cache: {ttls: {'*': -5}}", "invalid"),
        (
            "query_cache:\n  ttls:\n    '*flights*': 5\n    '*flights*': 600",
            "\"*flights*\" is given twice",
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
            "there twice",
        ),
    ] {
        let error = Config::from_yaml("cache.yaml", yaml)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("cache.yaml: "), "{error}");
        assert!(error.contains(told), "{error}");
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
