//! Probes the running platform: its admin page, then its API.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::Value;

use super::answers::Answers;
use super::found::{Found, Severity};
use super::options::Doctor;
use crate::addresses::Addresses;
use crate::admin_client::{Answer, get, token, url};
use crate::error::chain;

const LIMIT: Duration = Duration::from_secs(5);

pub(super) fn ask(options: &Doctor) -> Answers {
    let mut answers = Answers::default();
    let known = Addresses::read(options.data_dir());
    let of_dir = known.as_ref().and_then(|known| known.admin.clone());
    let in_environment = std::env::var_os("OPS_ADMIN_ADDR");
    let in_environment = in_environment.map(|address| address.to_string_lossy().into_owned());
    let in_environment = in_environment
        .filter(|address| !address.is_empty() && !address.eq_ignore_ascii_case("off"));
    answers.is_page_presumed = options.admin.is_none();
    let admin = options.admin.clone();
    let admin = admin
        .or_else(|| of_dir.clone())
        .or(in_environment)
        .unwrap_or_else(|| "127.0.0.1:8001".to_owned());
    let admin = url(&admin);
    let token = match token() {
        Ok(token) => token,
        Err(error) => {
            let why = chain(&error);
            answers.note("process", "admin page token", why.clone());
            answers.find([Found::new("token_file_unreadable", Severity::Warning)
                .seen(why)
                .means("The admin page is queried without a token.")
                .action("Make the file readable for this user, or correct OPS_ADMIN_TOKEN.")]);
            None
        }
    };
    let state = format!("{admin}/api/state");
    let answer = get(&state, token.as_deref(), LIMIT);
    answers.note("process", format!("GET {state}"), answer.describe());
    let before = answers.findings.len();
    read_state(&mut answers, &answer, token.is_some());
    let is_answering = answers.state.is_some();
    let is_blamed = answers.findings.len() > before && !is_answering;
    let api = match &answers.state {
        Some(state) => api_of(state, &admin),
        // the option may name another platform than that of the directory
        None => {
            let is_of_dir =
                options.admin.is_none() || of_dir.is_some_and(|of_dir| url(&of_dir) == admin);
            known.filter(|_| is_of_dir).map(|known| known.api)
        }
    };
    match api {
        Some(api) => ask_api(&mut answers, &api, is_blamed),
        None => {
            answers.note(
                "process",
                "GET /metrics",
                "skipped: the API address is unknown",
            );
            answers.blame();
        }
    }
    answers
}

/// Returns the address at which this machine can reach the API, from the configuration shown by the admin page.
fn api_of(state: &Value, admin: &str) -> Option<String> {
    let settings = state.get("configuration")?.as_array()?.iter();
    let mut of_api = settings.filter(|setting| setting["name"] == "api address");
    let api: SocketAddr = of_api.next()?["value"].as_str()?.parse().ok()?;
    let admin: ureq::http::Uri = admin.parse().ok()?;
    let host = admin.host()?;
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let is_here = match address.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => address.eq_ignore_ascii_case("localhost"),
    };
    let (ip, port) = (api.ip(), api.port());
    match (ip.is_unspecified(), is_here) {
        (true, false) => Some(format!("http://{host}:{port}")),
        (true, true) if ip.is_ipv6() => Some(format!("http://[::1]:{port}")),
        (true, true) => Some(format!("http://127.0.0.1:{port}")),
        // the API listens on loopback of another machine
        (false, false) if ip.is_loopback() => None,
        (false, _) => Some(format!("http://{api}")),
    }
}

fn read_state(answers: &mut Answers, answer: &Answer, has_token: bool) {
    let finding = match answer {
        Answer::Http { status: 200, body } => match serde_json::from_str::<Value>(body) {
            Ok(state) if state.get("service").is_some() => {
                take_state(answers, state);
                return;
            }
            _ => wrong_address("the address responds, but not with an admin page"),
        },
        Answer::Http { status: 401, .. } => {
            let seen = match has_token {
                true => {
                    "the admin page rejected the token from OPS_ADMIN_TOKEN or OPS_ADMIN_TOKEN_FILE (401)"
                }
                false => "the admin page requires a token, and none is set here (401)",
            };
            Found::new("admin_token_refused", Severity::Critical)
                .seen(seen)
                .means("The state of the process cannot be read.")
                .action("Set OPS_ADMIN_TOKEN to the token that the platform was started with.")
        }
        Answer::Http { status: 429, .. } => Found::new("admin_token_refused", Severity::Critical)
            .seen("the admin page rejects this address for a minute after wrong tokens (429)")
            .means("The state of the process cannot be read.")
            .action("Wait for a minute, then use the correct token."),
        Answer::Http { status: 403, .. } => {
            wrong_address("the admin page does not accept this host name (403)")
        }
        Answer::Http { status, .. } => wrong_address(&format!(
            "status {status}: not an admin page"
        )),
        Answer::Refused(why) => Found::new("process_not_running", Severity::Critical)
            .seen(format!("cannot connect to the admin address: {why}"))
            .means("The platform is not running, or its admin page is off or at another address.")
            .action(
                "Start it, or set the address with --admin; the end of the log shows why it stopped.",
            ),
        Answer::Silent(limit) => Found::new("process_hung", Severity::Critical)
            .seen(format!(
                "the admin page did not respond within {} s",
                limit.as_secs()
            ))
            .means("The whole process is stalled: stopped, swapping, or starved of CPU.")
            .action(
                "Run `ps -o stat,wchan,time -p PID`: T is stopped (`kill -CONT PID`), D waits for a disk.",
            )
            .runbook("workers-blocked"),
        Answer::Other(why) => wrong_address(&format!("no HTTP response: {why}")),
    };
    answers.find([finding]);
}

fn wrong_address(seen: &str) -> Found {
    Found::new("wrong_admin_address", Severity::Critical)
        .seen(seen)
        .means("The running platform was not queried.")
        .action("Set its admin address with --admin; the log line `listening` shows it.")
}

fn take_state(answers: &mut Answers, state: Value) {
    let findings = state.get("findings").cloned().unwrap_or_default();
    let findings: Vec<Found> = serde_json::from_value(findings).unwrap_or_default();
    if let Some(last) = answers.tried.last_mut() {
        last.answer = format!("{}, findings: {}", last.answer, findings.len());
    }
    for finding in findings {
        let seen = finding.seen.clone();
        let tried = answers.tried.last().map(|last| last.tried.clone());
        answers
            .findings
            .push(finding.after(&tried.unwrap_or_default(), &seen));
    }
    if let Some(reason) = state.get("not_ready").and_then(Value::as_str) {
        let finding = Found::new("not_ready", Severity::Critical)
            .seen(format!("/readyz returns 503: {reason}"))
            .means("Load balancers send no requests here.")
            .action("Fix the failing check that the reason names.");
        answers.find([finding]);
    }
    answers.state = Some(state);
}

/// Returns the id of the finding that explains why the API does not respond.
fn cause_of_silence(findings: &[Found]) -> &'static str {
    let stands = |cause: &&str| findings.iter().any(|finding| finding.id == *cause);
    let causes = ["workers_blocked", "connections_full"];
    causes.into_iter().find(stands).unwrap_or("workers_blocked")
}

/// Scrapes the API. If the admin page does not respond either, that is reported as the cause.
fn ask_api(answers: &mut Answers, api: &str, is_blamed: bool) {
    let metrics = format!("{}/metrics", url(api));
    let answer = get(&metrics, None, LIMIT);
    answers.note("process", format!("GET {metrics}"), answer.describe());
    let runbook = "metrics-endpoint-returns-404";
    let finding = match answer {
        Answer::Http { status: 200, body } if body.contains("build_info") => {
            answers.metrics = Some(body);
            return;
        }
        Answer::Http { status: 404, .. } => Found::new("metrics_not_served", Severity::Warning)
            .seen("/metrics returns 404")
            .means("Prometheus sees this target as down, and alerts on its metrics do not fire.")
            .action("Serve the router with `ops_layer::serve`, or handle the route with `ops_metrics::serve`."),
        Answer::Http { status, .. } => Found::new("metrics_not_served", Severity::Warning)
            .seen(format!("/metrics returned status {status} without the platform's metrics"))
            .means("Prometheus cannot scrape this target.")
            .action("Check the status: 503 means that metrics are not installed or that too many scrapes are waiting."),
        _ if is_blamed => return answers.blame(),
        Answer::Refused(why) => Found::new("api_not_listening", Severity::Critical)
            .seen(format!("cannot connect to the API address: {why}"))
            .means("No requests are served.")
            .action("Compare the address with the log line `listening`."),
        Answer::Silent(limit) => Found::new("api_not_answering", Severity::Critical)
            .seen(format!("/metrics did not respond within {} s", limit.as_secs()))
            .means("No requests are served, although the admin page responds.")
            .action("Check whether all workers are blocked (`workers_blocked`) or all connections are in use (`connections_full`).")
            .explained_by(cause_of_silence(&answers.findings)),
        Answer::Other(why) => Found::new("api_not_answering", Severity::Critical)
            .seen(why)
            .means("No requests are served.")
            .action("Check what listens there: `ss -ltnp`."),
    };
    answers.find([finding.runbook(runbook)]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_api_is_asked_where_this_machine_reaches_it() {
        let rows = [
            ("127.0.0.1:8000", "127.0.0.1:8001", Some("127.0.0.1:8000")),
            ("0.0.0.0:8000", "localhost:8001", Some("127.0.0.1:8000")),
            ("[::]:8000", "[::1]:8001", Some("[::1]:8000")),
            ("0.0.0.0:8000", "10.0.0.7:8001", Some("10.0.0.7:8000")),
            ("10.0.0.7:8000", "127.0.0.1:8001", Some("10.0.0.7:8000")),
            ("127.0.0.1:8000", "10.0.0.7:8001", None),
        ];
        for (api, admin, right) in rows {
            let state = json!({ "configuration": [
                { "name": "service name", "value": "a" },
                { "name": "api address", "value": api },
            ]});
            let right = right.map(|right| format!("http://{right}"));
            assert_eq!(api_of(&state, &url(admin)), right, "{api} {admin}");
        }
        assert_eq!(api_of(&json!({}), "http://127.0.0.1:8001"), None);
    }
}
