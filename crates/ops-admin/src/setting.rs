use serde::Serialize;

/// Setting in effect, with its origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Setting {
    /// Name of the setting.
    pub name: String,
    /// Value in effect, with its unit. Not for secrets: they have their own report.
    pub value: String,
    /// Origin: `default`, `code`, the name of a variable, or a file.
    pub source: String,
}

impl Setting {
    /// Creates a setting.
    pub fn new(
        name: impl Into<String>,
        value: impl Into<String>,
        source: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
            source: source.into(),
        }
    }
}
