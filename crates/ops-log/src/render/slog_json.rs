//! Lines of slog-json as an output, for readers that need `ts`, `msg` and upper-case levels.

use std::fmt;
use std::io::Write;
use std::panic::{RefUnwindSafe, UnwindSafe};

use parking_lot::Mutex;
use slog::Drain;

/// Returns a drain for [`Config::drain`](crate::Config::drain).
///
/// ```
/// let _log = ops_log::init(ops_log::Config::new().drain(ops_log::slog_json::drain(std::io::sink())))?;
/// ops_log::info!("started", port = 8000);
/// # Ok::<(), ops_log::Error>(())
/// ```
pub fn drain<W: Write + Send + 'static>(writer: W) -> SlogJson {
    let writer: Box<dyn Write + Send> = Box::new(Whole {
        writer,
        line: Vec::new(),
    });
    SlogJson(Mutex::new(
        slog_json::Json::new(writer)
            .set_flush(true)
            .add_default_keys()
            .build(),
    ))
}

/// slog-json behind a lock.
pub struct SlogJson(Mutex<slog_json::Json<Box<dyn Write + Send>>>);

// the lock is released on a panic, and there is no state between records
impl UnwindSafe for SlogJson {}
impl RefUnwindSafe for SlogJson {}

impl Drain for SlogJson {
    type Ok = ();
    type Err = slog::Never;

    fn log(
        &self,
        record: &slog::Record<'_>,
        values: &slog::OwnedKVList,
    ) -> Result<(), slog::Never> {
        // a drain cannot report a failure
        let _ = self.0.lock().log(record, values);
        Ok(())
    }
}

impl fmt::Debug for SlogJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlogJson").finish_non_exhaustive()
    }
}

/// Writer that collects the pieces written by slog-json, so that each line is one write.
struct Whole<W: Write> {
    writer: W,
    line: Vec<u8>,
}

impl<W: Write> Write for Whole<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.line.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let result = self.writer.write_all(&self.line);
        self.line.clear();
        result
    }
}
