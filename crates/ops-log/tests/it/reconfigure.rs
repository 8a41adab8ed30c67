//! Other outputs for threads that log, or that logged and are idle.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::thread;

use ops_log::{Config, Output, Pipeline, info};
use parking_lot::Mutex;

/// A writer that keeps lines, and hands them on at its end, as one with a buffer does.
#[derive(Clone, Default)]
struct Ending {
    taken: Arc<Mutex<Vec<u8>>>,
    ended: Arc<AtomicBool>,
}

/// What the application gives, whose end is watched.
struct Writer(Ending);

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(!self.0.ended.load(SeqCst));
        self.0.taken.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.ended.store(true, SeqCst);
    }
}

impl Ending {
    fn output(&self) -> Output {
        Output::writer(Writer(self.clone())).json(true)
    }

    fn config(&self) -> Config {
        Config::new().stdout(false).output(self.output())
    }

    fn has_ended(&self) -> bool {
        self.ended.load(SeqCst)
    }

    fn lines(&self) -> usize {
        self.taken
            .lock()
            .iter()
            .filter(|byte| **byte == b'\n')
            .count()
    }
}

/// Lets a thread write a line by a pipeline, and then works while it is idle.
fn beside_an_idle_thread(pipeline: &Pipeline, work: impl FnOnce()) {
    let (logged, has_logged) = channel();
    let (end, has_to_end) = channel::<()>();
    let log = pipeline.root();
    let idle = thread::spawn(move || {
        info!(log, "written");
        drop(log);
        logged.send(()).unwrap();
        has_to_end.recv().unwrap_err();
    });
    has_logged.recv().unwrap();
    work();
    drop(end);
    idle.join().unwrap();
}

#[test]
fn a_writer_ends_with_its_pipeline_while_threads_that_wrote_to_it_are_idle() {
    let ending = Ending::default();
    let pipeline = Pipeline::new(ending.config()).unwrap();
    info!(pipeline.root(), "written");
    beside_an_idle_thread(&pipeline.clone(), || {
        assert!(!ending.has_ended());
        drop(pipeline);
        assert!(!ending.has_ended(), "the clone still has it");
    });
    assert!(ending.has_ended());
    assert_eq!(ending.lines(), 2);
}

#[test]
fn a_writer_ends_when_another_one_is_configured_while_threads_that_wrote_to_it_are_idle() {
    let (first, second) = (Ending::default(), Ending::default());
    let pipeline = Pipeline::new(first.config()).unwrap();
    beside_an_idle_thread(&pipeline, || {
        pipeline.configure(second.config()).unwrap();
        assert!(first.has_ended());
        info!(pipeline.root(), "written");
    });
    assert_eq!((first.lines(), second.lines()), (1, 1));
    assert!(!second.has_ended());
    let state = pipeline.stats();
    assert_eq!((state.written, state.dropped), (2, 0));
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_is_closed_when_another_one_is_configured_while_threads_that_wrote_to_it_are_idle() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.log");
    let config = Config::new().stdout(false);
    let pipeline = Pipeline::new(config.output(Output::file(&path).json(true))).unwrap();
    let is_open = || {
        let open = std::fs::read_dir("/proc/self/fd").unwrap();
        open.flatten()
            .filter_map(|fd| std::fs::read_link(fd.path()).ok())
            .any(|open| open == path)
    };
    beside_an_idle_thread(&pipeline, || {
        assert!(is_open());
        pipeline.configure(Config::new().stdout(false)).unwrap();
        assert!(!is_open());
    });
}

#[test]
fn a_writer_that_two_pipelines_share_serves_the_one_that_is_left() {
    let ending = Ending::default();
    let config = ending.config();
    let (first, second) = (
        Pipeline::new(config.clone()).unwrap(),
        Pipeline::new(config).unwrap(),
    );
    for pipeline in [&first, &second] {
        info!(pipeline.root(), "written");
    }
    drop(first);
    assert!(!ending.has_ended());
    info!(second.root(), "written");
    assert_eq!(ending.lines(), 3);
    drop(second);
    assert!(ending.has_ended());
}

#[test]
fn each_line_of_threads_goes_to_one_output_while_others_are_configured() {
    const THREADS: usize = 4;
    const CHANGES: usize = 200;
    let endings: Vec<Ending> = (0..CHANGES).map(|_| Ending::default()).collect();
    let pipeline = Pipeline::new(endings[0].config()).unwrap();
    let over = AtomicBool::new(false);
    let sent: usize = thread::scope(|scope| {
        let writing: Vec<_> = (0..THREADS)
            .map(|_| {
                let (log, over) = (pipeline.root(), &over);
                scope.spawn(move || {
                    let mut lines = 0;
                    while !over.load(SeqCst) {
                        info!(log, "written", n = lines);
                        lines += 1;
                    }
                    lines
                })
            })
            .collect();
        for ending in &endings[1..] {
            while pipeline.stats().written == 0 {
                thread::yield_now();
            }
            pipeline.configure(ending.config()).unwrap();
            thread::yield_now();
        }
        over.store(true, SeqCst);
        writing.into_iter().map(|one| one.join().unwrap()).sum()
    });
    let (last, before) = endings.split_last().unwrap();
    assert!(before.iter().all(Ending::has_ended) && !last.has_ended());
    assert_eq!(endings.iter().map(Ending::lines).sum::<usize>(), sent);
    let stats = pipeline.stats();
    assert_eq!((stats.written, stats.dropped), (sent as u64, 0));
}

#[test]
fn a_writer_that_configures_another_one_or_panics_at_its_end_harms_nobody() {
    struct Panicking(Pipeline);

    impl Write for Panicking {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Drop for Panicking {
        fn drop(&mut self) {
            info!(self.0.root(), "the writer ends");
            panic!("at its end");
        }
    }

    let ending = Ending::default();
    let pipeline = Pipeline::new(Config::new().stdout(false)).unwrap();
    let writer = Output::writer(Panicking(pipeline.clone())).json(true);
    pipeline
        .configure(Config::new().stdout(false).output(writer))
        .unwrap();
    info!(pipeline.root(), "written");
    pipeline.configure(ending.config()).unwrap();
    info!(pipeline.root(), "written");
    assert_eq!(ending.lines(), 2);
}
