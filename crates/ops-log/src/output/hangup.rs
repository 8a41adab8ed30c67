use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Flag set by SIGHUP, after which files are reopened.
pub(crate) struct Hangup {
    came: Arc<AtomicBool>,
    #[cfg(unix)]
    registered: Option<signal_hook::SigId>,
}

impl Hangup {
    pub(crate) fn watch(wanted: bool) -> Self {
        let came = Arc::new(AtomicBool::new(false));
        #[cfg(unix)]
        let registered = wanted
            .then(|| signal_hook::flag::register(signal_hook::consts::SIGHUP, Arc::clone(&came)))
            .and_then(Result::ok);
        #[cfg(not(unix))]
        let _ = wanted;
        Self {
            came,
            #[cfg(unix)]
            registered,
        }
    }

    #[inline]
    pub(crate) fn happened(&self) -> bool {
        self.came.load(Relaxed) && self.came.swap(false, Relaxed)
    }
}

#[cfg(unix)]
impl Drop for Hangup {
    fn drop(&mut self) {
        if let Some(id) = self.registered.take() {
            signal_hook::low_level::unregister(id);
        }
    }
}
