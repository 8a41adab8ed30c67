use std::path::PathBuf;

use crate::Level;

/// How lines are written.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) service_name: String,
    pub(crate) json: bool,
    pub(crate) level: Level,
    pub(crate) file: Option<PathBuf>,
    pub(crate) install_bridges: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            service_name: "root".to_owned(),
            json: false,
            level: Level::Info,
            file: None,
            install_bridges: true,
        }
    }
}

impl Config {
    /// Lines for people, from `info` on, to stdout.
    pub fn new() -> Self {
        Self::default()
    }

    /// By `OPS_LOG_FORMAT` (`json` or `console`; `json` where `OPS_ENV` is `production`) and `OPS_LOG_LEVEL`.
    /// What cannot be understood is left at its default.
    pub fn from_env() -> Self {
        let variable = |name| std::env::var(name).unwrap_or_default();
        let production = variable("OPS_ENV") == "production";
        let json = match variable("OPS_LOG_FORMAT").as_str() {
            "json" => true,
            "console" => false,
            _ => production,
        };
        let level = variable("OPS_LOG_LEVEL").parse().unwrap_or(Level::Info);
        Self::default().json(json).level(level)
    }

    /// The name of the root logger.
    #[must_use]
    pub fn service_name(mut self, name: impl Into<String>) -> Self {
        self.service_name = name.into();
        self
    }

    /// JSON lines on stdout, instead of lines for people.
    #[must_use]
    pub fn json(mut self, json: bool) -> Self {
        self.json = json;
        self
    }

    /// The level from which on lines are written.
    #[must_use]
    pub fn level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }

    /// JSON lines are appended to this file too.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// Whether a `tracing` subscriber is installed where none is; yes unless set.
    #[must_use]
    pub fn install_bridges(mut self, install: bool) -> Self {
        self.install_bridges = install;
        self
    }
}
