//! Request counts in footers, and finding one trace among many.

use std::time::{Duration, SystemTime};

use ops_history::sql::named;
use ops_history::{Sample, SampleValue};
use serde_json::json;

use crate::{LONG, Place, ask, at, rows, value, wait_for};

fn request(n: u64, route: &str, status: u64, took: u64) -> String {
    format!(
        r#"{{"level":"info","event":"request_completed","trace_id":"{:032x}","method":"GET","route":"{route}","status":{status},"latency_ms":{took}}}"#,
        trace_id(n)
    )
}

fn trace_id(n: u64) -> u128 {
    u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
}

const COUNTED: &str = "SELECT minute, http_request_method, http_route, http_response_status_code, sum(requests)::BIGINT, \
                       max(duration_us) FROM requests_by_minute GROUP BY ALL ORDER BY ALL";
const LINES: &str = "SELECT date_trunc('minute', timestamp), http_request_method, http_route, http_response_status_code, count(*), \
                     max(duration_us) FROM requests GROUP BY ALL ORDER BY ALL";

#[test]
fn counts_by_minute_match_the_lines_after_merges_and_without_counts_in_the_footer() {
    let place = Place::new();
    let history = place.open();
    // across the end of an hour, with lines that are not requests, and requests without a route
    for n in 0..4000_u64 {
        let line = request(
            n,
            ["/a", "/b/{id}"][n as usize % 2],
            200 + n % 3 * 150,
            n * n % 900,
        );
        history.line(at(n * 2), line.as_bytes());
        history.line(
            at(n * 2),
            br#"{"level":"info","event":"other","status":200}"#,
        );
        if n % 50 == 49 {
            history.line(
                at(n * 2),
                br#"{"event":"request_completed","latency_ms":7}"#,
            );
            assert!(history.flush(LONG));
        }
    }
    wait_for("merges", || history.stats().merges >= 4);
    let dirs = [place.dir()];
    let counted = rows(&ask(&dirs, COUNTED));
    assert!(counted.len() > 400, "{}", counted.len());
    assert_eq!(counted, rows(&ask(&dirs, LINES)));
    let all = "SELECT sum(requests)::BIGINT FROM requests_by_minute";
    assert_eq!(value(&dirs, all), json!(4080));
    // more routes than fit in a footer
    let long = "x".repeat(200);
    for n in 0..8000_u64 {
        let line = request(n, &format!("/{long}/{n}"), 200, 3);
        history.line(at(9000 + n % 60), line.as_bytes());
    }
    assert!(history.close(LONG));
    assert_eq!(value(&dirs, all), json!(12_080));
    assert_eq!(rows(&ask(&dirs, COUNTED)), rows(&ask(&dirs, LINES)));
    let hours = |table: &str| {
        let hour = match table {
            "requests" => "date_trunc('hour', timestamp), count(*)",
            _ => "hour, sum(requests)::BIGINT",
        };
        let sql = format!(
            "SELECT {hour}, http_route, max(duration_us) FROM {table} GROUP BY ALL ORDER BY ALL"
        );
        rows(&ask(&dirs, &sql))
    };
    assert_eq!(hours("requests_by_hour"), hours("requests"));
    let by_route = named("slowest-routes").unwrap().sql(None).unwrap();
    let slowest = rows(&ask(&dirs, &by_route));
    let exact = "SELECT hour, route, round(quantile_disc(ms, 0.95), 1) FROM (SELECT date_trunc('hour', timestamp) AS hour, \
                 http_route AS route, duration_us / 1000.0 AS ms FROM requests WHERE http_route IN ('/a', '/b/{id}')) GROUP BY ALL";
    let exact = rows(&ask(&dirs, exact));
    assert_eq!(exact.len(), 6);
    for one in exact {
        let found = slowest
            .iter()
            .find(|row| row[0] == one[0] && row[2] == one[1])
            .unwrap();
        let (found, exact) = (found[5].as_f64().unwrap(), one[2].as_f64().unwrap());
        assert!(
            (found - exact).abs() <= exact / 100.0 + 0.1,
            "{found} for {exact}"
        );
    }
}

#[test]
fn bloom_filters_find_the_file_of_a_trace_and_exclude_the_others() {
    let place = Place::new();
    let history = place.open();
    for n in 0..1000_u64 {
        history.line(at(n), request(n, "/a", 200, 1).as_bytes());
        if n % 100 == 99 {
            assert!(history.flush(LONG));
        }
    }
    assert!(history.close(LONG));
    let dirs = [place.dir()];
    for n in [0, 1, 99, 100, 555, 999] {
        let id = format!("{:032x}", trace_id(n));
        let sql = named("trace").unwrap().sql(Some(&id)).unwrap();
        assert_eq!(ask(&dirs, &sql).rows.len(), 1, "{id}");
    }
    let files = place.names("logs");
    let mut without = 0;
    for name in &files {
        let path = place.dir().join("logs").join(name).canonicalize().unwrap();
        let probe = format!(
            "SELECT count(*) FILTER (bloom_filter_excludes) FROM parquet_bloom_probe('{}', 'trace_id', from_hex('{:032x}'))",
            path.display(),
            trace_id(5000)
        );
        without += value(&dirs, &probe).as_u64().unwrap();
    }
    // one false positive is allowed
    assert!(
        without + 1 >= files.len() as u64,
        "{without} of {}",
        files.len()
    );
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// Returns the latency of all requests in the minute of this second; adjacent minutes differ.
fn latency_ms(second: u64) -> u64 {
    (second / 60 % 7 + 1) * 10
}

#[test]
fn a_chart_continues_across_a_restart_with_correct_counts() {
    let place = Place::new();
    let now = SystemTime::now();
    let ago = |seconds: u64| now - Duration::from_secs(seconds);
    let sample = |history: &ops_history::History, at, name, attributes: &str, value: f64| {
        history.sample(Sample {
            at,
            name,
            unit: "",
            attributes: attributes.to_owned(),
            value: SampleValue::Sum(value),
        });
    };
    // two runs, the second one starting from zero; errors begin in the middle of the first one
    for (run, start) in [(0, 2400_u64), (1, 1200)] {
        let history = place.open();
        for n in 0..60_u64 {
            let moment = ago(start - n * 15);
            let ok = r#"{"route":"/a","method":"GET","status":"200"}"#;
            sample(&history, moment, "http_requests_total", ok, (n * 30) as f64);
            let quiet = r#"{"route":"/metrics","method":"GET","status":"200"}"#;
            sample(
                &history,
                moment,
                "http_requests_total",
                quiet,
                (n * 1000) as f64,
            );
            if run == 0 && n >= 30 {
                let failed = r#"{"route":"/a","method":"GET","status":"500"}"#;
                sample(
                    &history,
                    moment,
                    "http_requests_total",
                    failed,
                    ((n - 29) * 10) as f64,
                );
            }
            sample(
                &history,
                moment,
                "process_cpu_seconds_total",
                "",
                n as f64 * 3.0,
            );
        }
        for second in 0..900 {
            let at = ago(start - second);
            let line = request(second, "/a", 200, latency_ms(seconds(at)));
            history.line(at, line.as_bytes());
        }
        assert!(history.close(LONG));
    }
    for window in ["1h", "24h"] {
        let sql = named("chart").unwrap().sql(Some(window)).unwrap();
        let answer = ask(&[place.dir()], &sql);
        let column = |name: &str| {
            answer
                .columns
                .iter()
                .position(|known| known == name)
                .unwrap()
        };
        let (at, rate, errors) = (
            column("at"),
            column("requests_per_second"),
            column("error_ratio"),
        );
        let (p95, cpu) = (column("p95_seconds"), column("cpu_cores"));
        let (mut first, mut second, mut mixed) = (0, 0, 0);
        for row in rows(&answer) {
            let at = row[at].as_u64().unwrap();
            let ago = seconds(now) - at;
            let rate = row[rate].as_f64().unwrap();
            assert!((row[cpu].as_f64().unwrap() - 0.2).abs() < 1e-9);
            if ago < 1200 {
                second += 1;
                assert!((rate - 2.0).abs() < 1e-9, "{rate}");
                assert_eq!(row[errors], json!(0.0));
            } else {
                first += 1;
                assert!((1.99..2.68).contains(&rate), "{rate}");
                let ratio = row[errors].as_f64().unwrap();
                assert!((0.0..0.25 + 1e-9).contains(&ratio), "{ratio}");
                mixed += usize::from(ratio > 1e-9 && ratio < 0.25 - 1e-9);
            }
            if (320..1180).contains(&ago) {
                // the last second of a bin is the one before its end
                let right = latency_ms(at - 1) as f64 / 1000.0;
                let p95 = row[p95].as_f64().unwrap();
                assert!(
                    (p95 / right - 1.0).abs() < 0.01,
                    "{window} {ago}: {p95}, not {right}"
                );
            }
        }
        // only the bin in which the errors begin
        assert!(mixed <= 1, "{window}: {mixed}");
        let least = if window == "1h" { 80 } else { 12 };
        assert!(
            first >= least && second >= least,
            "{window}: {first} {second}"
        );
    }
}

#[test]
fn a_chart_omits_latency_without_enough_lines() {
    // seconds between two lines, their latency, and the latency in the chart, with two requests per second
    for (every, latency, right) in [(1, 0, None), (1, 3, Some(0.003)), (20, 700, None)] {
        let place = Place::new();
        let now = SystemTime::now();
        let history = place.open();
        for n in 0..600_u64 {
            let at = now - Duration::from_secs(900 - n);
            if n % 15 == 0 {
                counted(&history, at, (n * 2) as f64, 0.0);
            }
            if n % every == 0 {
                history.line(at, request(n, "/a", 200, latency).as_bytes());
            }
        }
        assert!(history.close(LONG));
        let sql = named("chart").unwrap().sql(Some("1h")).unwrap();
        let sql = sql.trim_end().trim_end_matches(';');
        let of_middle = format!(
            "SELECT min(p95_seconds), max(p95_seconds), count(*) > 20 FROM ({sql}) WHERE \"at\" BETWEEN {} AND {}",
            seconds(now) - 800,
            seconds(now) - 400,
        );
        let answer = rows(&ask(&[place.dir()], &of_middle));
        assert_eq!(
            answer,
            [vec![json!(right), json!(right), json!(true)]],
            "{every} {latency}"
        );
    }
}

/// Offers the totals of requests and failed requests at one time.
fn counted(history: &ops_history::History, at: SystemTime, requests: f64, failed: f64) {
    for (status, value) in [("200", requests - failed), ("500", failed)] {
        history.sample(Sample {
            at,
            name: "http_requests_total",
            unit: "",
            attributes: format!(r#"{{"route":"/a","method":"GET","status":"{status}"}}"#),
            value: SampleValue::Sum(value),
        });
    }
}

#[test]
fn a_chart_counts_every_request_once_for_any_times_of_samples() {
    let place = Place::new();
    let now = SystemTime::now();
    let began = now - Duration::from_secs(3000);
    let history = place.open();
    // 100 requests a second; half of them fail in seconds 600 to 615; now and then an extra sample is taken
    let failed = |after: f64| (after.clamp(600.0, 615.0) - 600.0) * 50.0;
    for n in 0..150_u32 {
        let asked = if n % 7 == 0 {
            vec![0.0, 0.4, 0.45]
        } else {
            vec![0.0]
        };
        for more in asked {
            let after = f64::from(n) * 15.0 + more;
            let at = began + Duration::from_secs_f64(after);
            counted(&history, at, after * 100.0, failed(after));
        }
    }
    assert!(history.close(LONG));
    for (window, step) in [("1h", 10.0), ("24h", 60.0)] {
        let sql = named("chart").unwrap().sql(Some(window)).unwrap();
        let answer = ask(&[place.dir()], &sql);
        let [rate, ratio] = ["requests_per_second", "error_ratio"].map(|name| {
            let known = |column: &String| column == name;
            answer.columns.iter().position(known).unwrap()
        });
        let mut failed = 0.0;
        for row in rows(&answer) {
            let rate = row[rate].as_f64().unwrap();
            assert!((rate - 100.0).abs() < 1e-3, "{window}: {rate}");
            failed += row[ratio].as_f64().unwrap() * rate * step;
        }
        // no second is missing, and none is counted twice
        assert!((failed - 750.0).abs() < 1.0, "{window}: {failed}");
    }
}
