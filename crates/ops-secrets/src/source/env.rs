use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::sync::Arc;

/// The variables to read: the process's own, or a given set.
#[derive(Clone, Default)]
pub(crate) enum Environment {
    #[default]
    Process,
    Given(Arc<HashMap<String, OsString>>),
}

impl Environment {
    /// The variable, unless it is unset or empty: build systems inject empty strings for what they do not have.
    pub(crate) fn get(&self, name: &str) -> Option<OsString> {
        match self {
            Self::Process => std::env::var_os(name),
            Self::Given(variables) => variables.get(name).cloned(),
        }
        .filter(|value| !value.is_empty())
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.get(name)?
            .into_string()
            .ok()
            .filter(|text| !text.trim().is_empty())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.text(name).is_some()
    }
}

/// Zeroes a copy of a value. The crate `zeroize` does so byte by byte, which would be a fifth of a whole call.
pub(crate) fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    std::hint::black_box(bytes);
}

/// Never prints a value.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process => f.write_str("Process"),
            Self::Given(variables) => write!(f, "Given({} variables)", variables.len()),
        }
    }
}
