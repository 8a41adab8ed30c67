use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use super::page::{Page, Scene};
use super::{KEY, note, number, wait};
use crate::faults::{Mounted, group, set, working_set};
use crate::served::{Home, Served};

/// One platform meets the limits of its machine, each of which is lifted as its page describes. Two of them wait for
/// the same sample, since the process is sampled every five seconds.
#[test]
fn limits_of_the_machine_lead_to_themselves() {
    let home = quiet();
    let (memory, processor) = (group("memory"), group("cpu"));
    let served = match &memory {
        Some(path) => home.serve_in(&path.join("cgroup.procs")),
        None => home.serve(),
    };
    let scene = Scene::of(&home, &served);
    let slowed = processor
        .as_deref()
        .map(|group| Limited::processor(group, &served));
    let many = few_descriptors(&served, &scene);
    match &slowed {
        Some(_) => throttled(&scene, &served),
        None => note("cpu-throttled.md: not followed, no control group can be made here"),
    }
    drop(slowed);
    allow(&served, 4096);
    // without load from here on: the kernel kills a process that exceeds the limit
    match &memory {
        Some(group) => near_limit(&scene, group),
        None => note("memory-near-limit.md: not followed, no control group can be made here"),
    }
    let page = Page::read("file-descriptors-low.md");
    wait(
        "the limit is raised, and it was no leak",
        || page.step(1, &scene),
        |printed| share(printed) < 0.1 && number(printed, "process_open_fds ") < many - 40.0,
    );
    assert_eq!(served.get("/readyz").status, 200);
    assert!(served.stop().success());
    for path in [memory, processor].into_iter().flatten() {
        let _ = std::fs::remove_dir(path);
    }
}

fn quiet() -> Home {
    let mut home = Home::new();
    home.set("OTEL_TRACES_EXPORTER", "none");
    home
}

fn share(printed: &str) -> f64 {
    number(printed, "process_open_fds ") / number(printed, "process_max_fds ")
}

/// Follows the page while connections hold descriptors, then closes them; returns how many were open.
fn few_descriptors(served: &Served, scene: &Scene<'_>) -> f64 {
    let address = served.api.trim_start_matches("http://");
    // each got a response: a connection may be idle for longer than a first request may take
    let held: Vec<_> = (0..50)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            let head = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
            stream.write_all(head).unwrap();
            assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
            stream
        })
        .collect();
    let open = || {
        let listed = std::fs::read_dir(format!("/proc/{}/fd", served.id()));
        listed.unwrap().count()
    };
    let enough = |printed: &str| printed.parse::<usize>().unwrap() > 70;
    wait("they are accepted", || open().to_string(), enough);
    allow(served, open() as u64 * 100 / 85);
    let page = Page::read("file-descriptors-low.md");
    let mut turn = 0;
    let ask = || {
        turn += 1;
        for lat in 30..35 {
            served.get(&format!("/api/airports?near={lat}.{turn},-100&limit=50"));
        }
        page.step(1, scene)
    };
    let many = wait("few descriptors are left", ask, |printed| {
        share(printed) > 0.8
    });
    wait(
        "the open connections have no requests in progress, the question is one itself",
        || page.step(2, scene),
        |printed| number(printed, "http_requests_in_flight") == 1.0,
    );
    page.concludes("- More connections than before: raise the limit (`ulimit -n`");
    page.concludes("- A number that grows without traffic is a leak");
    drop(held);
    number(&many, "process_open_fds ")
}

fn allow(served: &Served, descriptors: u64) {
    let mut program = Command::new("prlimit");
    program.args(["--pid", &served.id().to_string()]);
    program.arg(format!("--nofile={descriptors}:4096"));
    assert!(program.status().unwrap().success());
}

fn throttled(scene: &Scene<'_>, served: &Served) {
    let page = Page::read("cpu-throttled.md");
    let mut turn = 0;
    let ask = || {
        turn += 1;
        for lat in 30..35 {
            served.get(&format!("/api/airports?near={lat}.{turn},-101&limit=50"));
        }
        page.step(1, scene)
    };
    // the share that the page calls high, over some periods
    let printed = wait("it is throttled", ask, |printed| {
        let periods = number(printed, "cgroup_cpu_periods_total");
        let throttled = number(printed, "cgroup_cpu_throttled_periods_total");
        periods >= 5.0 && throttled / periods > 0.25
    });
    assert_eq!(
        number(&printed, "cgroup_cpu_limit_cores"),
        0.15,
        "{printed}"
    );
    assert!(number(&page.step(2, scene), "process_cpu_seconds_total") > 0.0);
    page.concludes("- Raise the processor limit of the container, or remove it");
    page.concludes("- Fewer worker threads: as many as `cgroup_cpu_limit_cores`");
}

fn near_limit(scene: &Scene<'_>, group: &Path) {
    let page = Page::read("memory-near-limit.md");
    let limited = Limited::memory(group);
    let is_near = |printed: &str| {
        let limit = "cgroup_memory_limit_bytes ";
        let used = number(printed, "cgroup_memory_working_set_bytes ");
        printed.contains(limit) && used / number(printed, limit) > 0.9
    };
    let ask = || {
        limited.tighten();
        page.step(1, scene)
    };
    let printed = wait("it is near its limit", ask, is_near);
    assert!(
        number(&printed, "process_resident_memory_bytes ") > 0.0,
        "{printed}"
    );
    assert!(page.step(2, scene).starts_with("\"memory_bytes\":"));
    page.concludes("- Raise the memory limit of the container");
    page.concludes("- Lower `memory_mb` in `configs/cache.yaml`");
}

/// A limit of a control group, lifted on drop.
struct Limited<'a> {
    group: &'a Path,
    files: [&'static str; 2],
    lifted: [&'static str; 2],
}

impl<'a> Limited<'a> {
    /// Limits memory to slightly more than the process uses.
    fn memory(group: &'a Path) -> Self {
        let files = ["memory.limit_in_bytes", "memory.max"];
        let lifted = ["-1", "max"];
        let limited = Self {
            group,
            files,
            lifted,
        };
        limited.tighten();
        limited
    }

    /// Lowers the limit to just above the current usage. The kernel rejects a limit that it cannot reach at once.
    fn tighten(&self) {
        let is_old = self.group.join(self.files[0]).exists();
        let file = self.files[usize::from(!is_old)];
        let limit = working_set(self.group) * 100 / 95;
        let _ = std::fs::write(self.group.join(file), limit.to_string());
    }

    /// Limits the processor to 15 ms of each 100 ms.
    fn processor(group: &'a Path, served: &Served) -> Self {
        std::fs::write(group.join("cgroup.procs"), served.id().to_string()).unwrap();
        let files = ["cpu.cfs_quota_us", "cpu.max"];
        let is_old = group.join(files[0]).exists();
        set(group, files, if is_old { "15000" } else { "15000 100000" });
        let lifted = ["-1", "max 100000"];
        Self {
            group,
            files,
            lifted,
        }
    }
}

impl Drop for Limited<'_> {
    fn drop(&mut self) {
        let is_old = self.group.join(self.files[0]).exists();
        let (file, text) = match is_old {
            true => (self.files[0], self.lifted[0]),
            false => (self.files[1], self.lifted[1]),
        };
        let _ = std::fs::write(self.group.join(file), text);
    }
}

/// The log's directory is replaced, then the disk is full: lines are written again once there is space.
#[test]
fn lines_that_are_missing_lead_to_their_file_and_a_full_disk_to_what_fills_it() {
    let home = quiet();
    let mounted = Mounted::over(&home.path(""));
    let served = home.serve();
    let (page, scene) = (
        Page::read("log-lines-missing.md"),
        Scene::of(&home, &served),
    );
    let lost = |printed: &str| number(printed, "log_lines_dropped_total");
    assert_eq!(lost(&page.step(1, &scene)), 0.0);
    std::fs::rename(home.path("logs"), home.path("elsewhere")).unwrap();
    // stops root too
    std::fs::write(home.path("logs"), "").unwrap();
    let printed = wait(
        "what the output said",
        || page.step(2, &scene),
        |printed| {
            served.get("/api/viz/palette");
            printed.contains("log_file_not_reopened")
        },
    );
    assert!(
        printed.contains("Not a directory") && printed.contains("logs/app.log"),
        "{printed}"
    );
    let written = number(&page.step(1, &scene), "log_lines_written_total");
    assert!(written > 0.0);
    let printed = page.step(3, &scene);
    assert!(printed.contains("\n-rw"), "a file, no directory: {printed}");
    page.concludes("- Permissions or a missing directory: correct them; the file is opened again at the next line");
    std::fs::remove_file(home.path("logs")).unwrap();
    std::fs::create_dir(home.path("logs")).unwrap();
    writes_again(&home, &served);

    if mounted.is_none() {
        note("disk-full.md: not followed, nothing can be mounted here");
        return;
    }
    let missing = page.steps[&1][0].clone();
    let page = Page::read("disk-full.md");
    let mut file = std::fs::File::create(home.path("filler")).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    let model = r#"{"name": "m", "version": "1"}"#;
    assert_eq!(
        served.post("/api/registry/models", &[KEY], model).status,
        500
    );
    wait(
        "lines are lost",
        || scene.follow(&missing),
        |printed| {
            served.get("/api/viz/palette");
            lost(printed) > 0.0
        },
    );
    assert!(page.step(1, &scene).contains(" 100% "));
    let printed = page.step(2, &scene);
    assert!(
        printed.lines().any(|line| line.ends_with("./filler")),
        "{printed}"
    );
    let printed = page.step(3, &scene);
    assert!(printed.trim_end().ends_with("\t."), "{printed}");
    // existing data is served, also after a restart
    assert!(served.stop().success());
    let served = home.serve();
    assert_eq!(served.get("/api/flights/summary?origin=SFO").status, 200);
    // while open, the file would keep its space
    drop(file);
    std::fs::remove_file(home.path("filler")).unwrap();
    // a program that is starting may hold the descriptor for a moment
    let register = || {
        let answer = served.post("/api/registry/models", &[KEY], model);
        answer.status.to_string()
    };
    wait("there is room", register, |status| status == "201");
    writes_again(&home, &served);
    page.concludes(
        "- Nothing has to be restarted: lines and entries are written again once there is room",
    );
}

fn writes_again(home: &Home, served: &Served) {
    let log = || std::fs::read_to_string(home.path("logs/app.log")).unwrap_or_default();
    let before = log().len();
    wait("lines are written again", log, |printed| {
        served.get("/api/viz/palette");
        printed.len() > before && printed.contains("request_completed")
    });
}

/// Clock that is ahead by the seconds in a file, for programs that preload it.
const CLOCK: &str = r#"
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *now) {
    int result = syscall(SYS_clock_gettime, id, now);
    const char *name = getenv("STEP_FILE");
    FILE *file = id == CLOCK_REALTIME && name ? fopen(name, "r") : NULL;
    long seconds = 0;
    if (file) {
        if (fscanf(file, "%ld", &seconds) == 1) now->tv_sec += seconds;
        fclose(file);
    }
    return result;
}
"#;

#[test]
fn a_clock_that_was_set_is_seen_and_durations_stay_right() {
    let tools = tempfile::tempdir().unwrap();
    let [source, library, step] =
        ["clock.c", "clock.so", "step"].map(|name| tools.path().join(name));
    std::fs::write(&source, CLOCK).unwrap();
    let mut compiler = Command::new("cc");
    compiler
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source]);
    if !compiler.status().is_ok_and(|status| status.success()) {
        note("clock-stepped.md: not followed, there is no C compiler here");
        return;
    }
    let mut home = quiet();
    home.set("LD_PRELOAD", library.display().to_string().leak());
    home.set("STEP_FILE", step.display().to_string().leak());
    let served = home.serve();
    let (page, scene) = (Page::read("clock-stepped.md"), Scene::of(&home, &served));
    let before = page.step(1, &scene);
    served.get("/api/viz/palette?before");
    // two days ahead, changed atomically for readers
    std::fs::write(tools.path().join("draft"), "172800").unwrap();
    std::fs::rename(tools.path().join("draft"), &step).unwrap();
    served.get("/api/viz/palette?after");
    let after = page.step(1, &scene);
    assert_ne!(before.lines().next(), after.lines().next());
    assert!(page.step(2, &scene).contains(" up "));
    let find = || {
        let state = served.state()["findings"].clone();
        let found = state.as_array().unwrap().first();
        found.map_or(String::new(), ToString::to_string)
    };
    let printed = wait("the finding", find, |printed| {
        printed.contains("\"clock_stepped\"")
    });
    assert!(
        printed.contains("docs/runbooks/clock-stepped") || printed.contains("\"clock-stepped\""),
        "{printed}"
    );
    let lines = home.log_lines();
    let of = |query: &str| {
        let line = lines
            .iter()
            .rfind(|line| line["event"] == "request_completed" && line.to_string().contains(query));
        line.unwrap_or_else(|| panic!("{query}: {lines:?}")).clone()
    };
    let (before, after) = (of("palette"), lines.last().unwrap());
    assert!(after["timestamp"].as_str() >= before["timestamp"].as_str());
    for line in lines
        .iter()
        .filter(|line| line["event"] == "request_completed")
    {
        assert!(line["latency_ms"].as_f64().unwrap() < 60_000.0, "{line}");
    }
    page.concludes(
        "- Nothing has to be restarted: durations are measured by a clock that cannot be set",
    );
}
