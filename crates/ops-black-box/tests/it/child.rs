use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, SystemTime};

use ops_black_box::{BlackBox, Config};

use crate::Place;

const BOX: &str = "BLACK_BOX_OF_CHILD";
const DEED: &str = "DEED_OF_CHILD";

/// Starts this program again with one test, which does what a variable requests.
pub(crate) fn start(place: &Place, deed: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "child::runs_as_a_child", "--nocapture"])
        .env(BOX, place.file())
        .env(DEED, deed)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Runs a child to its end.
pub(crate) fn run(place: &Place, deed: &str) -> ExitStatus {
    start(place, deed).wait().unwrap()
}

/// Runs a child with limited memory.
pub(crate) fn run_in(place: &Place, deed: &str, kibibytes: usize) -> ExitStatus {
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            &format!("ulimit -v {kibibytes} && exec \"$0\" \"$@\""),
        ])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child::runs_as_a_child", "--nocapture"])
        .env(BOX, place.file())
        .env(DEED, deed)
        .stdout(Stdio::null())
        .status()
        .unwrap()
}

/// Returns the numbers written by the threads of a child under load: for each
/// thread, the number of calls that returned, and the time of the last one.
pub(crate) fn returned(place: &Place) -> Vec<u64> {
    let written = std::fs::read(place.file().with_extension("written")).unwrap();
    let (words, _) = written.as_chunks::<8>();
    words.iter().copied().map(u64::from_le_bytes).collect()
}

/// Waits until each thread of a child under load has returned from another call.
pub(crate) fn wait_for_calls(place: &Place, child: &mut Child) {
    let started = std::time::Instant::now();
    let before = returned(place);
    loop {
        let now = returned(place);
        let calls = |words: &[u64], thread: usize| words.get(2 * thread).copied().unwrap_or(0);
        if (0..THREADS).all(|thread| calls(&now, thread) > calls(&before, thread)) {
            return;
        }
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        assert!(started.elapsed() < Duration::from_secs(60), "no calls");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// Waits until the child has written something.
pub(crate) fn wait_for_lines(place: &Place, child: &mut Child, least: usize) {
    let started = std::time::Instant::now();
    loop {
        let lines = ops_black_box::read(place.file()).map_or(0, |reading| {
            if reading.process == u64::from(child.id()) {
                reading.records.len()
            } else {
                0
            }
        });
        if lines >= least {
            return;
        }
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        assert!(started.elapsed() < Duration::from_secs(60), "no lines");
        // leaves the processor to the writers
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// Does nothing unless started by another test.
#[test]
fn runs_as_a_child() {
    let (Some(path), Ok(deed)) = (std::env::var_os(BOX), std::env::var(DEED)) else {
        return;
    };
    let config = Config::new(path, "shop");
    let config = config.ring_bytes(if deed == "long panic" { 0 } else { 1 << 20 });
    let black_box = ops_black_box::open(&config).black_box.unwrap();
    let redact = |text: &str| Some(text.replace("canary-5d1", "***"));
    black_box.watch_process(redact).unwrap();
    black_box.line(SystemTime::now(), br#"{"event":"started"}"#);
    match deed.as_str() {
        "load" => load(&black_box),
        "hang" => loop {
            std::thread::park();
        },
        "stop" => {
            black_box.stopping(Some(15));
            black_box.stopping(Some(2));
            black_box.close();
        }
        "stop and hang" => {
            black_box.stopping(Some(15));
            black_box.line(SystemTime::now(), br#"{"event":"stopping"}"#);
            loop {
                std::thread::park();
            }
        }
        "abort" => std::process::abort(),
        "abort after a child did" => {
            abort_in_a_child();
            black_box.beat(SystemTime::now(), br#"{"threads":1}"#);
            std::process::abort()
        }
        "abort after another start" => {
            black_box.close();
            let second = ops_black_box::open(&config).black_box.unwrap();
            second.watch_process(redact).unwrap();
            std::process::abort()
        }
        "abort after the end" => {
            black_box.close();
            std::process::abort()
        }
        "panic in a thread" => {
            let thread = std::thread::Builder::new().name("worker".to_owned());
            let thread = thread.spawn(|| panic!("the key is canary-5d1"));
            drop(thread.unwrap().join());
            black_box.close();
        }
        "long panic" => {
            let long = std::thread::spawn(|| panic!("{}", "\u{1}\"ä".repeat(50_000)));
            drop(long.join());
            black_box.close();
        }
        "panic twice" => panic_twice(),
        "eat" => eat(&black_box),
        other => panic!("{other} is no deed"),
    }
}

/// Makes a forked child abort before it executes another program.
fn abort_in_a_child() {
    let mut command = Command::new("true");
    #[expect(unsafe_code, reason = "a fork has no other form")]
    // SAFETY: `abort` may be called between fork and exec
    unsafe {
        command.pre_exec(|| std::process::abort());
    }
    let status = command.status().unwrap();
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(6)
    );
}

/// Number of threads that write lines under load.
pub(crate) const THREADS: usize = 2;

/// Writes lines from two threads, and numbers, until it is killed. A file beside the black box has two words
/// for each thread: the number of calls that returned, and the time of its last line in nanoseconds since 1970.
fn load(black_box: &BlackBox) {
    let written = std::fs::File::create(black_box.path().with_extension("written")).unwrap();
    let written = std::sync::Arc::new(written);
    for thread in 0..THREADS {
        let (black_box, written) = (black_box.clone(), written.clone());
        std::thread::spawn(move || {
            for number in 0_u64.. {
                let line = format!(
                    r#"{{"event":"request_completed","thread":{thread},"number":{number},"path":"/flights/summary","status":200}}"#
                );
                let at = SystemTime::now();
                black_box.line(at, line.as_bytes());
                let nanos = at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
                let nanos = u64::try_from(nanos.as_nanos()).unwrap();
                let words = [number + 1, nanos].map(u64::to_le_bytes);
                let place = 16 * thread as u64;
                written.write_all_at(words.as_flattened(), place).unwrap();
                if number % 4 == 0 {
                    std::thread::park_timeout(Duration::from_micros(200));
                }
            }
        });
    }
    loop {
        black_box.beat(SystemTime::now(), br#"{"threads":3}"#);
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

fn panic_twice() {
    struct Second;
    impl Drop for Second {
        fn drop(&mut self) {
            panic!("the second one");
        }
    }
    let _second = Second;
    panic!("the first one");
}

/// Allocates memory until none is left.
fn eat(black_box: &BlackBox) {
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    for piece in 0_u64.. {
        eaten.push(vec![piece as u8 | 1; 1 << 20]);
        let line = format!(r#"{{"event":"eaten","mebibytes":{piece}}}"#);
        black_box.line(SystemTime::now(), line.as_bytes());
    }
}
