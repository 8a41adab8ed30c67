//! Cache of a running platform, through its admin page.

use std::time::{Duration, SystemTime};

use ops_layer::log::reader::escaped;
use serde_json::{Value, json};

use crate::admin_client::{Answer, get, post, token, url};
use crate::error::{Error, Kind, Result};

/// Request timeout: an invalidation waits up to 5 s for the lock of the directory, and for the bucket.
const LIMIT: Duration = Duration::from_secs(15);

pub fn stats(admin: &str) -> Result<Value> {
    let state = state(admin)?;
    let cache = &state["cache"];
    if cache.is_null() {
        let message = format!("{}: this platform has no cache", url(admin));
        return Err(Error::new(Kind::Service, message));
    }
    // the page lists the newest first
    let past = cache["invalidations"]
        .as_array()
        .into_iter()
        .flatten()
        .rev();
    let past = past.map(|one| {
        json!({ "seconds_ago": one["seconds_ago"], "pattern": one["pattern"], "removed": one["removed"] })
    });
    Ok(json!({
        "entries": cache["entries"],
        "total_size_bytes": cache["total_size_bytes"],
        "hits": cache["hits"],
        "misses": cache["misses"],
        "invalidations": past.collect::<Vec<_>>(),
        "shared": bucket(&state),
    }))
}

/// Returns the state of the shared bucket; null if results are not shared.
pub fn shared(admin: &str) -> Result<Value> {
    Ok(bucket(&state(admin)?))
}

/// Returns the bucket's part of the state, with the time since which it is unreachable, in milliseconds since 1970.
fn bucket(state: &Value) -> Value {
    let mut shared = state["cache"]["shared"].clone();
    let mut findings = state["findings"].as_array().into_iter().flatten();
    let finding = findings.find(|finding| finding["id"] == "shared_store_unreachable");
    if let (Some(shared), Some(finding)) = (shared.as_object_mut(), finding) {
        shared.insert("since".to_owned(), finding["since"].clone());
    }
    shared
}

/// Formats the state of the bucket; empty without a bucket.
pub fn shown(shared: &Value) -> String {
    if shared.is_null() {
        return String::new();
    }
    let state = match shared["state"].as_str() {
        Some("answers") => "reachable".to_owned(),
        Some("unreachable") => format!("unreachable{}", ago(&shared["since"])),
        Some("read_only") => {
            "reachable, but rejects writes: results of other machines are used".to_owned()
        }
        Some("without_conditions") => {
            "reachable, but ignores conditional writes: no leases".to_owned()
        }
        other => escaped(other.unwrap_or("unknown")).to_string(),
    };
    let count = |name: &str| shared[name].as_u64().unwrap_or_default();
    format!(
        "shared bucket: {state}\n  lookups: {} hits, {} misses ({} failed, {} refused, {} expired); skipped: {} unreachable, {} quick, \
         {} without content id\n  writes: {} written, {} dropped\n",
        count("hits"),
        count("misses"),
        count("failed"),
        count("refused"),
        count("expired"),
        count("skipped"),
        count("quick"),
        count("without_content"),
        count("written"),
        count("dropped"),
    )
}

fn ago(since: &Value) -> String {
    let Some(since) = since.as_u64() else {
        return String::new();
    };
    let since = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(since));
    let ago = since.and_then(|since| since.elapsed().ok());
    format!(" for {} s", ago.unwrap_or_default().as_secs())
}

pub fn invalidate(admin: &str, pattern: &str) -> Result<String> {
    let why = "kearney-platform cache";
    let body = match pattern.strip_prefix("table:") {
        Some(table) => json!({ "table": table, "why": why }),
        None => json!({ "pattern": pattern, "why": why }),
    };
    let url = format!("{}/api/cache/invalidate", url(admin));
    let reply = post(&url, token()?.as_deref(), &body.to_string(), LIMIT);
    body_of(&format!("POST {url}"), reply)
}

fn state(admin: &str) -> Result<Value> {
    let url = format!("{}/api/state", url(admin));
    let body = body_of(&format!("GET {url}"), get(&url, token()?.as_deref(), LIMIT))?;
    serde_json::from_str(&body)
        .ok()
        .filter(|state: &Value| state.get("service").is_some())
        .ok_or_else(|| Error::new(Kind::Service, format!("GET {url}: not an admin page")))
}

fn body_of(asked: &str, reply: Answer) -> Result<String> {
    let why = match reply {
        Answer::Http { status: 200, body } => return Ok(body),
        Answer::Http { status, body } => {
            let why = body.lines().next().unwrap_or_default();
            format!("status {status}: {}", escaped(why))
        }
        reply => reply.describe(),
    };
    Err(Error::new(Kind::Service, format!("{asked}: {why}")))
}
