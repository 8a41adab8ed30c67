use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::load::{Load, Seen};
use super::replicas::{BUCKET, bucket, replica, snapshot, summary};
use crate::moto::{Moto, tool};
use crate::served::{self, Home, Served};

/// Requests per second.
const RATE: u32 = 500;
/// Time after the last restart until the hit ratio has recovered, and the time over which it is measured.
const SETTLED: Duration = Duration::from_secs(5);
const LOOKED_AT: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_secs(60);
/// Grace period, longer than the balancer's check needs to notice that a platform is not ready.
const OPTIONS: [&str; 2] = ["--grace-seconds", "2"];

/// HAProxy with the example's configuration and ports of this test.
struct Balancer {
    child: Child,
    host: String,
    _folder: tempfile::TempDir,
}

impl Balancer {
    fn start(program: &Path, ports: &[u16; 4]) -> Self {
        let mut text = include_str!("../../../../../configs/replicas/haproxy.cfg").to_owned();
        for (printed, here) in [8080, 8101, 8102, 8103].into_iter().zip(ports) {
            let printed = format!("127.0.0.1:{printed}");
            assert!(text.contains(&printed), "{printed}");
            text = text.replace(&printed, &format!("127.0.0.1:{here}"));
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("haproxy.cfg");
        std::fs::write(&file, text).unwrap();
        let libraries = program
            .ancestors()
            .nth(2)
            .unwrap()
            .join("lib/x86_64-linux-gnu");
        let mut balancer = Command::new(program);
        balancer.arg("-db").arg("-f").arg(file);
        balancer.env("LD_LIBRARY_PATH", libraries);
        balancer
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self {
            child: balancer.spawn().unwrap(),
            host: format!("127.0.0.1:{}", ports[0]),
            _folder: folder,
        }
    }

    /// Waits until these platforms respond through the balancer.
    fn answers_from(&self, names: &[&str]) {
        let asked = Instant::now();
        let mut missing: BTreeSet<&str> = names.iter().copied().collect();
        while !missing.is_empty() {
            assert!(asked.elapsed() < SOON, "no answer from {missing:?}");
            // it may not listen yet
            let Ok(()) = std::net::TcpStream::connect(&self.host).map(drop) else {
                std::thread::park_timeout(Duration::from_millis(20));
                continue;
            };
            let answer = served::get(&format!("http://{}/livez", self.host), &[]);
            missing.remove(answer.header("x-replica"));
        }
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// Returns distinct ports that were free a moment ago.
fn free_ports() -> [u16; 4] {
    let held = [(); 4].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}

fn haproxy() -> Option<PathBuf> {
    tool("haproxy/usr/sbin/haproxy", "ci --full")
}

/// Returns the share of hits among the requests within this time.
fn hits(seen: &[Seen], from: Instant, to: Instant) -> f64 {
    let asked = seen.iter().filter(|one| (from..to).contains(&one.at));
    let asked: Vec<_> = asked.filter_map(|one| one.answer.as_ref().ok()).collect();
    assert!(!asked.is_empty());
    asked.iter().filter(|answer| answer.is_hit).count() as f64 / asked.len() as f64
}

fn wait(time: Duration) {
    let until = Instant::now() + time;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
}

/// Stops a platform, removes its disk, and starts it again. Its hits then come from the bucket.
fn replaced(home: &Home, served: Served, port: u16) -> Served {
    assert!(served.stop().success());
    std::fs::remove_dir_all(home.path("data")).unwrap();
    home.serve_at(port, &OPTIONS)
}

#[test]
fn three_platforms_are_restarted_under_load_and_nobody_notices() {
    if std::env::var_os("OPS_TEST_FULL").is_none_or(|on| on != "1") {
        return;
    }
    let (Some(program), Some(moto)) = (haproxy(), Moto::start()) else {
        return;
    };
    moto.bucket(BUCKET);
    let snapshot = snapshot();
    let ports = free_ports();
    let names = ["one", "two", "three"];
    let homes = names.map(|_| replica(&moto, &snapshot));
    let mut served: Vec<_> = homes
        .iter()
        .zip(&ports[1..])
        .map(|(home, port)| home.serve_at(*port, &OPTIONS))
        .collect();
    let origins = [
        "SFO", "JFK", "LAX", "ORD", "ATL", "DFW", "DEN", "SEA", "BOS", "MIA",
    ];
    let months = ["", "&month=1", "&month=2", "&month=3"];
    let paths = origins.map(|origin| months.map(|month| summary(origin) + month));
    let paths = paths.concat();
    for one in &served {
        for path in &paths {
            assert_eq!(one.get(path).status, 200);
        }
    }
    let balancer = Balancer::start(&program, &ports);
    balancer.answers_from(&names);

    let load = Load::start(&balancer.host, &paths, RATE);
    let began = Instant::now();
    wait(LOOKED_AT);
    let restarting = Instant::now();
    for place in 0..names.len() {
        let old = served.remove(place);
        served.insert(place, replaced(&homes[place], old, ports[place + 1]));
        balancer.answers_from(&[names[place]]);
    }
    let restarted = Instant::now();
    wait(SETTLED + LOOKED_AT);
    let seen = load.end();
    let lasted = began.elapsed();

    let failed = seen.iter().filter_map(|one| match &one.answer {
        Ok(answer) if answer.status == 200 => None,
        Ok(answer) => Some(format!("status {}", answer.status)),
        Err(error) => Some(error.to_string()),
    });
    let failed: Vec<_> = failed.collect();
    assert!(
        failed.is_empty(),
        "{} of {}: {:?}",
        failed.len(),
        seen.len(),
        &failed[..1]
    );
    let rate = seen.len() as f64 / lasted.as_secs_f64();
    let before = hits(&seen, began, restarting);
    let settled = restarted + SETTLED;
    let after = hits(&seen, settled, settled + LOOKED_AT);
    let from_bucket: Vec<_> = served
        .iter()
        .map(|one| bucket(one, |_| true)["hits"].as_u64().unwrap())
        .collect();
    println!(
        "{} requests at {rate:.0} a second, 0 failed; hits {before:.4} before, {after:.4} after; restarts took {:.1} s; from the bucket: \
         {from_bucket:?}",
        seen.len(),
        (restarted - restarting).as_secs_f64(),
    );
    assert!(rate > f64::from(RATE) * 0.9, "{rate}");
    assert!(after > before - 0.1, "{after} after, {before} before");
    assert!(from_bucket.iter().all(|hits| *hits > 0), "{from_bucket:?}");
    for (place, path) in paths.iter().enumerate() {
        let of_path = seen.iter().filter(|one| one.path == place);
        let answers = of_path.filter_map(|one| one.answer.as_ref().ok());
        let tags: BTreeSet<_> = answers.map(|answer| answer.etag.as_str()).collect();
        assert_eq!(tags.len(), 1, "{path}: {tags:?}");
        assert!(!tags.contains(""), "{path} has no tag");
    }
}
