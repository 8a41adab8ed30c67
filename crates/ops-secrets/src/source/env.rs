use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// Variables to read: the process's own, or a given set.
#[derive(Clone, Default)]
pub(crate) enum Environment {
    #[default]
    Process,
    Given(Arc<HashMap<String, OsString>>),
}

impl Environment {
    /// Returns the variable, unless it is unset or empty: build systems set empty strings for missing values.
    pub(crate) fn get(&self, name: &str) -> Option<OsString> {
        match self {
            Self::Process => std::env::var_os(name),
            Self::Given(variables) => variables.get(name).cloned(),
        }
        .filter(|value| !value.is_empty())
    }

    /// Returns whether the variable is set, even to an empty value.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        match self {
            Self::Process => std::env::var_os(name).is_some(),
            Self::Given(variables) => variables.contains_key(name),
        }
    }

    /// Returns the variable as text, unless it is unset or blank. Bytes that are not UTF-8 become U+FFFD,
    /// which no setting accepts: the value is then refused as invalid instead of counting as unset.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let text = self.get(name)?.to_string_lossy().into_owned();
        (!text.trim().is_empty()).then_some(text)
    }

    /// Returns the variable unchanged, for values that are used without a check, such as credentials.
    ///
    /// # Errors
    /// Fails if the value is not UTF-8; the reason never quotes it.
    pub(crate) fn exact(&self, name: &str) -> Result<Option<String>, String> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let text = value.into_string();
        let text = text.map_err(|_| format!("{name}: the value is not UTF-8"))?;
        Ok((!text.trim().is_empty()).then_some(text))
    }

    /// Returns the variable as a path, which need not be UTF-8.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        let path = self.get(name)?;
        (!path.to_string_lossy().trim().is_empty()).then(|| path.into())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.text(name).is_some()
    }
}

/// Zeroes a copy of a value. The crate `zeroize` does so byte by byte, which would take a fifth of a whole call.
pub(crate) fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    std::hint::black_box(bytes);
}

/// Prints no values.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process => f.write_str("Process"),
            Self::Given(variables) => write!(f, "Given({} variables)", variables.len()),
        }
    }
}
