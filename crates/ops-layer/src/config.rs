use std::path::{Path, PathBuf};

#[cfg(feature = "black-box")]
use ops_black_box::{MAX_RING_BYTES, MIN_RING_BYTES};
#[cfg(feature = "history")]
use ops_history::MIN_BYTES;

use crate::glue;

/// Settings of the operations layer: those of its parts, and
/// shared ones. Everything but the service name has a default.
///
/// Each part takes its own configuration (`log`, `trace`, `metrics`, `secrets`, `cache`), which
/// is used unchanged. A part that is not configured here is configured by the file that
/// `OPS_CONFIG` names, overridden by the environment; without a file, by the environment alone.
///
/// ```no_run
/// # #[cfg(all(feature = "log", feature = "trace"))]
/// # fn main() -> Result<(), ops_layer::Error> {
/// use ops_layer::{Config, log, trace};
///
/// let config = Config::new("shop")
///     .log(log::Config::from_env().level(log::Level::Debug))
///     .trace(trace::Config::new("shop").propagate_to("*.shop.example"));
/// let ops = ops_layer::init(config)?;
/// # Ok(())
/// # }
/// # #[cfg(not(all(feature = "log", feature = "trace")))]
/// # fn main() {}
/// ```
///
/// # The file
///
/// YAML with the keys `log`, `trace`, `metrics` and `secrets`, each with the keys of that part's `Config`,
/// `cache` with `file` (the path of a `cache.yaml`) and `dir`, `black_box` with `file` and `bytes` (64 KiB to
/// 256 MiB), and `history` with `dir`, `bytes` (at least 1 MiB) and `hours` (at least 1); the paths of the
/// last two may be `off`. An unknown key is refused with its line and the known keys. The service name comes
/// from [`Config::new`] or `OTEL_SERVICE_NAME`: a `service_name` in the file is ignored, which is logged.
///
/// ```yaml
/// log: { level: info, file: logs/app.log }
/// trace: { sampling_ratio: 0.1, propagate_to: ["*.shop.example"] }
/// metrics: { series_max: 1000 }
/// secrets: { catalog: configs/secrets.yaml }
/// cache: { file: configs/cache.yaml, dir: data/cache }
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) service_name: String,
    pub(crate) logger: Option<String>,
    pub(crate) build: Option<[&'static str; 3]>,
    pub(crate) log: Option<glue::log::Settings>,
    pub(crate) log_file: Option<PathBuf>,
    pub(crate) trace: Option<glue::trace::Settings>,
    pub(crate) metrics: Option<glue::metrics::Settings>,
    pub(crate) secrets: Option<glue::secrets::Settings>,
    pub(crate) cache: Option<glue::cache::Settings>,
    pub(crate) cache_dir: Option<PathBuf>,
    #[cfg(feature = "shared")]
    pub(crate) shared: Option<data_cache::SharedConfig>,
    pub(crate) black_box: Option<glue::black_box::Settings>,
    pub(crate) history: Option<glue::history::Settings>,
    pub(crate) stdout: bool,
    pub(crate) secrets_yaml: Option<Document>,
    pub(crate) cache_yaml: Option<Document>,
    pub(crate) propagate_to: Vec<String>,
    pub(crate) observers: Observed,
    /// Sections of the file that are overridden in code.
    pub(crate) covered: Vec<&'static str>,
    /// Variables without effect because code overrides them, each with the value in effect.
    pub(crate) overruled: Vec<(&'static str, String)>,
}

/// Configuration file: its name for messages, and its text.
#[cfg_attr(
    not(any(feature = "secrets", feature = "cache")),
    expect(dead_code, reason = "read by the parts that have a file")
)]
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// File or folder of the black box, and size of its ring in bytes.
#[cfg(feature = "black-box")]
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "file and bytes")]
pub(crate) struct BlackBox {
    pub(crate) file: Option<PathBuf>,
    #[serde(deserialize_with = "bytes_of_ring")]
    pub(crate) bytes: Option<u64>,
}

/// Directory of the history, and its limits.
#[cfg(feature = "history")]
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "dir, bytes and hours")]
pub(crate) struct History {
    pub(crate) dir: Option<PathBuf>,
    #[serde(deserialize_with = "bytes_of_files")]
    pub(crate) bytes: Option<u64>,
    #[serde(deserialize_with = "hours")]
    pub(crate) hours: Option<u64>,
}

#[cfg(feature = "black-box")]
fn bytes_of_ring<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    bounded(from, MIN_RING_BYTES..=MAX_RING_BYTES)
}

#[cfg(feature = "history")]
fn bytes_of_files<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    bounded(from, MIN_BYTES..=u64::MAX)
}

#[cfg(feature = "history")]
fn hours<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    bounded(from, 1..=u64::MAX)
}

/// Reads a number, and refuses one outside the accepted range.
#[cfg(any(feature = "black-box", feature = "history"))]
fn bounded<'de, D: serde::Deserializer<'de>>(
    from: D,
    accepted: std::ops::RangeInclusive<u64>,
) -> Result<Option<u64>, D::Error> {
    from.deserialize_option(Bounded(accepted))
}

/// Checks while the deserializer still knows its position, so that an error can name the line.
#[cfg(any(feature = "black-box", feature = "history"))]
struct Bounded(std::ops::RangeInclusive<u64>);

#[cfg(any(feature = "black-box", feature = "history"))]
impl<'de> serde::de::Visitor<'de> for Bounded {
    type Value = Option<u64>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.end() {
            &u64::MAX => write!(f, "at least {}", self.0.start()),
            most => write!(f, "a number between {} and {most}", self.0.start()),
        }
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: serde::Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_u64(self)
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Self::Value, E> {
        match self.0.contains(&number) {
            true => Ok(Some(number)),
            false => Err(E::invalid_value(
                serde::de::Unexpected::Unsigned(number),
                &self,
            )),
        }
    }
}

/// Observers of requests that replace the default ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observed {
    pub(crate) trace: Option<glue::trace::Observer>,
    pub(crate) log: Option<glue::log::Observer>,
}

impl Config {
    /// Creates the configuration of a service with this name, which lines and traces carry.
    pub fn new(service_name: impl Into<String>) -> Self {
        Self {
            service_name: service_name.into(),
            logger: None,
            build: None,
            log: None,
            log_file: None,
            trace: None,
            metrics: None,
            secrets: None,
            cache: None,
            cache_dir: None,
            #[cfg(feature = "shared")]
            shared: None,
            black_box: None,
            history: None,
            stdout: true,
            secrets_yaml: None,
            cache_yaml: None,
            propagate_to: Vec::new(),
            observers: Observed::default(),
            covered: Vec::new(),
            overruled: Vec::new(),
        }
    }

    /// Sets the name of the root logger in lines; defaults to the service name.
    #[must_use]
    pub fn logger(mut self, name: impl Into<String>) -> Self {
        self.logger = Some(name.into());
        self
    }

    /// Sets the running build, for `build_info{version,git_sha,rustc}` and `service.version`.
    #[must_use]
    pub fn build_info(
        mut self,
        version: &'static str,
        git_sha: &'static str,
        rustc: &'static str,
    ) -> Self {
        self.build = Some([version, git_sha, rustc]);
        self
    }

    /// Sets the configuration of logging. The name of its root logger is overridden by this configuration.
    #[cfg(feature = "log")]
    #[must_use]
    pub fn log(mut self, config: ops_log::Config) -> Self {
        self.log = Some(config);
        self
    }

    /// Writes JSON lines to this file, in addition to the outputs in the configuration of logging.
    #[must_use]
    pub fn log_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.log_file = Some(path.into());
        self
    }

    /// Sets the configuration of tracing. Its service name is overridden by this configuration.
    #[cfg(feature = "trace")]
    #[must_use]
    pub fn trace(mut self, config: ops_trace::Config) -> Self {
        self.trace = Some(config);
        self
    }

    /// Sets the configuration of metrics.
    #[cfg(feature = "metrics")]
    #[must_use]
    pub fn metrics(mut self, config: ops_metrics::Config) -> Self {
        self.metrics = Some(config);
        self
    }

    /// Sets the configuration of secrets.
    #[cfg(feature = "secrets")]
    #[must_use]
    pub fn secrets(mut self, config: ops_secrets::Config) -> Self {
        self.secrets = Some(config);
        self
    }

    /// Sets the configuration of the cache: the contents of a `cache.yaml`.
    #[cfg(feature = "cache")]
    #[must_use]
    pub fn cache(mut self, config: data_cache::Config) -> Self {
        self.cache = Some(config);
        self
    }

    /// Sets whether lines go to standard output. Set to `false` for a command
    /// whose standard output is its result: lines then go only to the log file.
    #[must_use]
    pub fn stdout(mut self, stdout: bool) -> Self {
        self.stdout = stdout;
        self
    }

    /// Sets the text of secrets.yaml, and its name for messages.
    #[must_use]
    pub fn secrets_yaml(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.secrets_yaml = Some(Document {
            name: name.into(),
            text: text.into(),
        });
        self
    }

    /// Sets the text of cache.yaml, and its name for messages.
    #[must_use]
    pub fn cache_yaml(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.cache_yaml = Some(Document {
            name: name.into(),
            text: text.into(),
        });
        self
    }

    /// Sets the directory of query results; defaults to `OPS_CACHE_DIR`, then the file, then `data/cache`.
    #[must_use]
    pub fn cache_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cache_dir = Some(dir.into());
        self
    }

    /// Shares query results with other machines through an S3 bucket; see [`data_cache::Cache::share`].
    /// Unless set, the section `shared` of cache.yaml decides, and its key is the secret named there.
    #[cfg(feature = "shared")]
    #[must_use]
    pub fn shared(mut self, config: data_cache::SharedConfig) -> Self {
        self.shared = Some(config);
        self
    }

    /// Also writes the last seconds of lines, span ends and numbers to this file, where they
    /// survive a crash: a file, or an existing folder. The next start logs how this run
    /// ended, and shows its last seconds on the admin page. Defaults to `OPS_BLACK_BOX`,
    /// then the file (`black_box: { file: …, bytes: … }`), then none; see [`ops_black_box`].
    ///
    /// If it cannot be created, for lack of space or because the file is
    /// something else, the service runs without it and reports a finding.
    #[cfg(feature = "black-box")]
    #[must_use]
    pub fn black_box(mut self, path: impl Into<PathBuf>) -> Self {
        self.black_box.get_or_insert_default().file = Some(path.into());
        self
    }

    /// Sets the size of the ring of [`black_box`](Self::black_box) in bytes, 64 KiB to 256 MiB; defaults to 8 MiB.
    #[cfg(feature = "black-box")]
    #[must_use]
    pub fn black_box_bytes(mut self, bytes: u64) -> Self {
        self.black_box.get_or_insert_default().bytes = Some(bytes);
        self
    }

    /// Writes lines, spans and metrics of the last day to Parquet files in this directory. Defaults to
    /// `OPS_HISTORY_DIR`, then the file (`history: { dir: …, bytes: …, hours: … }`), then none; see [`ops_history`].
    ///
    /// If nothing can be written, for lack of space or because another process
    /// writes there, the service runs without it and reports a finding.
    #[cfg(feature = "history")]
    #[must_use]
    pub fn history(mut self, dir: impl Into<PathBuf>) -> Self {
        self.history.get_or_insert_default().dir = Some(dir.into());
        self
    }

    /// Sets the total size of all files of [`history`](Self::history) in bytes, at least 1 MiB; defaults to 4 GiB.
    #[cfg(feature = "history")]
    #[must_use]
    pub fn history_bytes(mut self, bytes: u64) -> Self {
        self.history.get_or_insert_default().bytes = Some(bytes);
        self
    }

    /// Adds a host to which requests of [`Ops::http_client`](crate::Ops::http_client) carry the trace context, such as
    /// `orders.internal` or `*.internal`, in addition to those in the configuration of tracing; no other host gets it.
    #[must_use]
    pub fn propagate_to(mut self, host: impl Into<String>) -> Self {
        self.propagate_to.push(host.into());
        self
    }

    /// Sets the observer that makes the spans of requests in [`Ops::http`](crate::Ops::http) and `serve`: trusted
    /// peers, paths without a span, headers. By default, the peer is axum's and quiet routes have no span.
    #[cfg(feature = "trace")]
    #[must_use]
    pub fn server_spans(mut self, spans: ops_trace::http::ServerSpans) -> Self {
        self.observers.trace = Some(spans);
        self
    }

    /// Sets the observer that writes the access lines of requests in [`Ops::http`](crate::Ops::http)
    /// and `serve`. By default, lines have the route, and quiet routes have no line.
    #[cfg(feature = "log")]
    #[must_use]
    pub fn access_log(mut self, log: ops_log::http::AccessLog) -> Self {
        self.observers.log = Some(log);
        self
    }

    pub(crate) fn dir_of_cache(&self) -> &Path {
        let dir = self.cache_dir.as_deref();
        dir.unwrap_or(Path::new("data/cache"))
    }
}
