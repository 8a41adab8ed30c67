use parking_lot::Mutex;

/// Lines that were logged while they were captured.
#[derive(Debug, Default)]
pub(crate) struct Capture(Mutex<Vec<String>>);

impl Capture {
    pub(crate) fn keep(&self, json: &[u8]) {
        let line = String::from_utf8_lossy(json).trim_end().to_owned();
        self.0.lock().push(line);
    }

    /// Takes what was kept.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }
}
