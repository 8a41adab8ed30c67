//! Replacing outputs while threads log, or are idle after logging.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use ops_log::{Config, Output, Pipeline, info};
use parking_lot::Mutex;

/// Writer that buffers lines, and passes them on when it is dropped.
#[derive(Clone, Default)]
struct DropRecord {
    taken: Arc<Mutex<Vec<u8>>>,
    ended: Arc<AtomicBool>,
}

/// Writer of the application, which records its drop.
struct Writer(DropRecord);

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

impl DropRecord {
    fn output(&self) -> Output {
        Output::writer(Writer(self.clone())).json(true)
    }

    fn config(&self) -> Config {
        Config::new().stdout(false).output(self.output())
    }

    fn is_dropped(&self) -> bool {
        self.ended.load(SeqCst)
    }

    /// Waits for the drop of a writer that was busy when it was closed.
    fn wait_for_drop(&self) {
        while !self.is_dropped() {
            thread::yield_now();
        }
    }

    fn lines(&self) -> usize {
        self.taken
            .lock()
            .iter()
            .filter(|byte| **byte == b'\n')
            .count()
    }
}

/// Calls `work` while another thread is idle after writing a line.
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
    let ending = DropRecord::default();
    let pipeline = Pipeline::new(ending.config()).unwrap();
    info!(pipeline.root(), "written");
    beside_an_idle_thread(&pipeline.clone(), || {
        assert!(!ending.is_dropped());
        drop(pipeline);
        assert!(!ending.is_dropped(), "the clone still has it");
    });
    assert!(ending.is_dropped());
    assert_eq!(ending.lines(), 2);
}

#[test]
fn a_writer_ends_when_another_one_is_configured_while_threads_that_wrote_to_it_are_idle() {
    let (first, second) = (DropRecord::default(), DropRecord::default());
    let pipeline = Pipeline::new(first.config()).unwrap();
    beside_an_idle_thread(&pipeline, || {
        pipeline.configure(second.config()).unwrap();
        assert!(first.is_dropped());
        info!(pipeline.root(), "written");
    });
    assert_eq!((first.lines(), second.lines()), (1, 1));
    assert!(!second.is_dropped());
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
    let ending = DropRecord::default();
    let config = ending.config();
    let (first, second) = (
        Pipeline::new(config.clone()).unwrap(),
        Pipeline::new(config).unwrap(),
    );
    for pipeline in [&first, &second] {
        info!(pipeline.root(), "written");
    }
    drop(first);
    assert!(!ending.is_dropped());
    info!(second.root(), "written");
    assert_eq!(ending.lines(), 3);
    drop(second);
    assert!(ending.is_dropped());
}

#[test]
fn each_line_of_threads_goes_to_one_output_while_others_are_configured() {
    const THREADS: usize = 4;
    const CHANGES: usize = 200;
    let endings: Vec<DropRecord> = (0..CHANGES).map(|_| DropRecord::default()).collect();
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
        while pipeline.stats().written == 0 {
            thread::yield_now();
        }
        for ending in &endings[1..] {
            pipeline.configure(ending.config()).unwrap();
            thread::yield_now();
        }
        over.store(true, SeqCst);
        writing.into_iter().map(|one| one.join().unwrap()).sum()
    });
    let (last, before) = endings.split_last().unwrap();
    before.iter().for_each(DropRecord::wait_for_drop);
    assert!(!last.is_dropped());
    assert_eq!(endings.iter().map(DropRecord::lines).sum::<usize>(), sent);
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

    let ending = DropRecord::default();
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

/// Value that replaces the output when it is formatted, before its line is written.
struct Configuring<'a> {
    pipeline: &'a Pipeline,
    next: &'a DropRecord,
    formatted: AtomicUsize,
}

impl fmt::Display for Configuring<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.formatted.fetch_add(1, SeqCst);
        self.pipeline.configure(self.next.config()).unwrap();
        f.write_str("configured")
    }
}

#[test]
fn a_line_whose_value_configures_another_output_is_formatted_once_and_goes_there() {
    let (first, next) = (DropRecord::default(), DropRecord::default());
    let pipeline = Pipeline::new(first.config()).unwrap();
    let value = Configuring {
        pipeline: &pipeline,
        next: &next,
        formatted: AtomicUsize::new(0),
    };
    info!(pipeline.root(), "configuring", value = %value);
    assert!(first.is_dropped());
    assert_eq!(value.formatted.load(SeqCst), 1);
    assert_eq!((first.lines(), next.lines()), (0, 1));
    let stats = pipeline.stats();
    assert_eq!((stats.written, stats.dropped), (1, 0));
    assert!(pipeline.recent(1)[0].contains(r#""value":"configured"}"#));
}

/// Writer that calls a function within its `write`.
struct Within<F: FnMut() + Send>(Writer, F);

impl<F: FnMut() + Send> Write for Within<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (self.1)();
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_writer_that_configures_another_one_while_it_writes_has_that_line_and_ends() {
    let (first, next) = (DropRecord::default(), DropRecord::default());
    let pipeline = Pipeline::new(Config::new().stdout(false)).unwrap();
    let (then, config) = (pipeline.clone(), next.config());
    let within = Within(Writer(first.clone()), move || {
        then.configure(config.clone()).unwrap();
    });
    let config = Config::new().stdout(false);
    let config = config.output(Output::writer(within).json(true));
    pipeline.configure(config).unwrap();
    info!(pipeline.root(), "written");
    first.wait_for_drop();
    info!(pipeline.root(), "written");
    assert_eq!((first.lines(), next.lines()), (1, 1));
}

#[test]
fn a_writer_that_is_busy_when_it_is_replaced_ends_when_it_has_written_its_line() {
    let (first, next) = (DropRecord::default(), DropRecord::default());
    let (begun, has_begun) = channel();
    let (go_on, may_go_on) = channel::<()>();
    let within = Within(Writer(first.clone()), move || {
        begun.send(()).unwrap();
        may_go_on.recv().unwrap();
    });
    let config = Config::new().stdout(false);
    let config = config.output(Output::writer(within).json(true));
    let pipeline = Pipeline::new(config).unwrap();
    let log = pipeline.root();
    let busy = thread::spawn(move || info!(log, "written"));
    has_begun.recv().unwrap();
    pipeline.configure(next.config()).unwrap();
    info!(pipeline.root(), "written");
    assert!(!first.is_dropped());
    assert!(!pipeline.flush(Duration::ZERO), "a line is on its way");
    go_on.send(()).unwrap();
    busy.join().unwrap();
    assert!(pipeline.flush(Duration::from_secs(60)));
    assert!(first.is_dropped());
    assert_eq!((first.lines(), next.lines()), (1, 1));
}
