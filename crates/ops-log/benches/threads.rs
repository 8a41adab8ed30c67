//! Two threads that log compared with one: `cargo bench -p ops-log --bench threads`. Measured in
//! wall-clock time, on at least two otherwise idle cores; other load affects it, so no build
//! depends on the result. For comparison: two threads that share nothing, which is the best
//! possible ratio, and two threads that share only an open file, which is what the kernel allows.
#![expect(
    clippy::unwrap_used,
    reason = "a bench that cannot start has nothing to say"
)]

use std::fs::File;
use std::hash::{DefaultHasher, Hasher};
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Instant;

use dev::ratio::{Blocks, Ratios};
use dev::ten_fields;
use dev::ten_fields::{Memory, TRACE};
use ops_log::{Config, Output, Pipeline};

/// Number of rounds, whose median is the ratio; the compared variants take turns in each round.
const ROUNDS: usize = 41;
/// Number of lines that a thread writes per turn.
const LINES: usize = 20_000;

/// Length of such a line in bytes.
const BYTES: usize = 330;

/// Thread that logs on request, to a shared pipeline or to its own.
struct Writer {
    ask: Sender<Place>,
    done: Receiver<()>,
}

#[derive(Clone, Copy)]
enum Place {
    Shared,
    Own,
}

impl Writer {
    fn new(shared: &Pipeline, own: &Pipeline) -> Self {
        let ((ask, asked), (answer, done)) = (channel(), channel());
        let (shared, own) = (shared.root(), own.root());
        thread::spawn(move || {
            ops_log::bind_context!(request_id = "req-abc123", trace_id = TRACE);
            for place in asked {
                let log = match place {
                    Place::Shared => &shared,
                    Place::Own => &own,
                };
                for _ in 0..LINES {
                    ten_fields!([ops_log::info], *log);
                }
                answer.send(()).unwrap();
            }
        });
        Self { ask, done }
    }
}

/// Measures threads that share an open file only: each hashes as many bytes
/// as a line has, which takes about as long as rendering it, and writes them.
fn bare_writes(ratios: &mut Ratios, place: &str, path: &Path) {
    let file = File::options().append(true).create(true).open(path);
    let file = file.unwrap();
    let write = || {
        let line = [b'x'; BYTES];
        for _ in 0..LINES {
            let mut hasher = DefaultHasher::new();
            hasher.write(black_box(&line));
            black_box(hasher.finish());
            (&file).write_all(&line).unwrap();
        }
    };
    let time = |threads: usize| {
        let started = Instant::now();
        thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(write))));
        started.elapsed().as_secs_f64() * 1e9 / (LINES * threads) as f64
    };
    let mut beside_one = Blocks::default();
    for _ in 0..ROUNDS {
        let one = time(1);
        beside_one.push(time(2), one);
    }
    let name = format!("as many bytes hashed and written to {place}, by two threads");
    ratios.judge(&name, 1.0 / 1.7, "by one", beside_one);
}

/// Returns the nanoseconds per line.
fn time(writers: &[Writer], place: Place) -> f64 {
    let started = Instant::now();
    for writer in writers {
        writer.ask.send(place).unwrap();
    }
    for writer in writers {
        writer.done.recv().unwrap();
    }
    started.elapsed().as_secs_f64() * 1e9 / (LINES * writers.len()) as f64
}

fn two_threads(ratios: &mut Ratios, place: &str, output: impl Fn() -> Output) {
    let pipeline = || {
        let config = Config::new().stdout(false).service_name("api");
        Pipeline::new(config.output(output().json(true))).unwrap()
    };
    let shared = pipeline();
    let writers = [
        Writer::new(&shared, &pipeline()),
        Writer::new(&shared, &pipeline()),
    ];
    let _warm = (time(&writers, Place::Shared), time(&writers, Place::Own));
    let (mut beside_one, mut beside_own) = (Blocks::default(), Blocks::default());
    for _ in 0..ROUNDS {
        let one = time(&writers[..1], Place::Shared);
        let two = time(&writers, Place::Shared);
        let own = time(&writers, Place::Own);
        beside_one.push(two, one);
        beside_own.push(two, own);
    }
    let name = format!("10 fields, JSON to {place}, by two threads");
    ratios.judge(&name, 1.0 / 1.7, "by one", beside_one);
    ratios.judge(&name, 1.2, "with an output for each", beside_own);
}

fn main() {
    let mut ratios = Ratios::from_args();
    if ratios.is_check() {
        return;
    }
    two_threads(&mut ratios, "the null device", || Output::file("/dev/null"));
    bare_writes(&mut ratios, "one open null device", "/dev/null".as_ref());
    two_threads(&mut ratios, "memory", || Output::writer(Memory::new()));
    let directory = tempfile::tempdir().unwrap();
    let number = std::cell::Cell::new(0);
    two_threads(&mut ratios, "a file", || {
        number.set(number.get() + 1);
        Output::file(directory.path().join(format!("{}.log", number.get())))
    });
    let path = directory.path().join("bare.log");
    bare_writes(&mut ratios, "one open file", &path);
    ratios.finish();
}
