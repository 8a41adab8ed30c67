use parking_lot::Mutex;

/// Captured lines.
#[derive(Debug, Default)]
pub(crate) struct Capture(Mutex<Vec<String>>);

impl Capture {
    pub(crate) fn keep(&self, json: &[u8]) {
        let line = String::from_utf8_lossy(json).trim_end().to_owned();
        self.0.lock().push(line);
    }

    /// Takes the captured lines.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }
}
