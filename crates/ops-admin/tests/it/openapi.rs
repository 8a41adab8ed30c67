//! Compares responses with their description.

use http::Request;
use serde_json::Value;

use crate::{full, get, post};

/// Compares a value with a schema, as far as the description uses JSON Schema. Returns the first difference.
fn differs(value: &Value, schema: &Value, root: &Value, at: &str) -> Option<String> {
    if let Some(name) = schema["$ref"].as_str() {
        let pointer = name.trim_start_matches('#');
        let found = root.pointer(pointer).expect(name);
        return differs(value, found, root, at);
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let fits = any
            .iter()
            .any(|one| differs(value, one, root, at).is_none());
        return (!fits).then(|| format!("{at}: {value} is none of {any:?}"));
    }
    if let Some(accepted) = schema["enum"].as_array() {
        return (!accepted.contains(value))
            .then(|| format!("{at}: {value} is not in {accepted:?}"));
    }
    if let Some(constant) = schema.get("const") {
        return (value != constant).then(|| format!("{at}: {value} is not {constant}"));
    }
    let kinds = match &schema["type"] {
        Value::String(kind) => vec![kind.as_str()],
        kinds => kinds
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect(),
    };
    let is = |kind: &&str| match *kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    };
    if !kinds.iter().any(is) {
        return Some(format!("{at}: {value} is no {kinds:?}"));
    }
    if let (Some(items), Some(schema)) = (value.as_array(), schema.get("items")) {
        let mut numbered = items.iter().enumerate();
        return numbered
            .find_map(|(index, item)| differs(item, schema, root, &format!("{at}/{index}")));
    }
    let (Some(fields), Some(known)) = (value.as_object(), schema["properties"].as_object()) else {
        return None;
    };
    let required = schema["required"].as_array().unwrap().iter();
    let mut missing = required.filter_map(Value::as_str);
    if let Some(name) = missing.find(|name| !fields.contains_key(*name)) {
        return Some(format!("{at}: {name} is missing"));
    }
    fields
        .iter()
        .find_map(|(name, value)| match known.get(name) {
            Some(schema) => differs(value, schema, root, &format!("{at}/{name}")),
            None => Some(format!("{at}: {name} is not described")),
        })
}

async fn description() -> Value {
    let answer = get(&full(), "/api/openapi.json").await;
    serde_json::from_str(&answer.body).unwrap()
}

#[tokio::test]
async fn answers_are_as_they_are_described() {
    let router = full();
    let trace = crate::traffic().await;
    let root = description().await;
    let mut paths = vec![
        ("/api/state", "/api/state".to_owned()),
        ("/api/lines", "/api/lines?level=info&limit=5".to_owned()),
        ("/api/traces", "/api/traces?status=slow".to_owned()),
        ("/api/traces", "/api/traces".to_owned()),
        ("/api/traces/{id}", format!("/api/traces/{trace}")),
        ("/api/history/{name}", "/api/history/runs".to_owned()),
    ];
    for window in ["5m", "1h", "24h"] {
        paths.push(("/api/tiles", format!("/api/tiles?window={window}")));
        paths.push(("/api/routes", format!("/api/routes?window={window}")));
    }
    for (described, path) in paths {
        let answer = get(&router, &path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        let value: Value = serde_json::from_str(&answer.body).unwrap();
        let content = &root["paths"][described]["get"]["responses"]["200"]["content"];
        let schema = &content["application/json"]["schema"];
        assert_eq!(differs(&value, schema, &root, ""), None, "{path}");
    }
}

#[cfg(feature = "shared")]
#[tokio::test]
async fn a_bucket_that_machines_share_is_as_it_is_described() {
    use data_cache::{Cache, SharedConfig};
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    // nothing listens there
    let bucket = SharedConfig::s3("results")
        .region("us-east-1")
        .endpoint("http://127.0.0.1:9")
        .credentials("nobody", "nothing");
    cache.share(&bucket.unauthenticated()).unwrap();
    let router = ops_admin::Admin::new("it").cache(cache).router();
    let state: Value = serde_json::from_str(&get(&router, "/api/state").await.body).unwrap();
    assert_eq!(state["cache"]["shared"]["hits"], 0);
    let root = description().await;
    let schema = &root["components"]["schemas"]["Cache"];
    assert_eq!(differs(&state["cache"], schema, &root, ""), None);
}

#[tokio::test]
async fn a_difference_is_found() {
    let root = description().await;
    let schema = &root["components"]["schemas"]["Sampling"];
    let right = serde_json::json!({"ratio": 1.0, "configured": 0.5, "remaining_seconds": null, "who": null, "why": "x"});
    assert_eq!(differs(&right, schema, &root, ""), None);
    for (field, wrong) in [
        ("ratio", Value::from("1")),
        ("remaining_seconds", Value::from(-1)),
        ("new", Value::Null),
    ] {
        let mut changed = right.clone();
        changed[field] = wrong;
        assert!(differs(&changed, schema, &root, "").is_some(), "{field}");
    }
}

#[tokio::test]
async fn each_described_route_is_there_and_refuses_as_described() {
    let root = description().await;
    let router = full();
    let paths = root["paths"].as_object().unwrap();
    for (path, operations) in paths {
        let path = path.replace("{id}", "nothing").replace("{name}", "none");
        if operations.get("get").is_some() && path != "/api/stream" {
            let status = get(&router, &path).await.status.as_u16();
            let expected: &[u16] = match path.as_str() {
                "/debug/pprof/profile" if cfg!(feature = "profile") => &[403],
                "/debug/pprof/profile" => &[404],
                "/api/history/none" => &[404],
                _ if path.ends_with("nothing") => &[400],
                _ => &[200, 503],
            };
            assert!(expected.contains(&status), "GET {path}: {status}");
        }
        if operations.get("post").is_some() {
            let answer = post(&router, &path, r#"{"nothing": 1}"#).await;
            assert_eq!(answer.status, 422, "{path}: {}", answer.body);
            let without_header = Request::post(&path).header("host", "localhost");
            assert_eq!(
                crate::send(&router, without_header, "{}").await.status,
                403,
                "{path}"
            );
        }
    }
}
