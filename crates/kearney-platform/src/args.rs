//! The command line.

mod cache;

use std::ffi::OsString;
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use ops_layer::log::reader::{TraceId, parse_instant};
use uuid::Uuid;

pub use cache::{Cache, CachePlace};

use crate::isochrone::BaseUrl;
use crate::log_file::LogFile;
use crate::orchestrator::{Client, Job, Status};
use crate::output::exit_with_usage_error;

/// The reference platform of the operations layer.
#[derive(Debug, Parser)]
#[command(name = "kearney-platform", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Parses the command line of this process. Empty variables count as unset.
    pub fn of_process() -> Self {
        let matches = without_empty_variables(Self::command()).try_get_matches();
        let matches = matches.unwrap_or_else(|error| exit_with_usage_error(&with_variable(error)));
        let mut read =
            Self::from_arg_matches(&matches).unwrap_or_else(|error| exit_with_usage_error(&error));
        if let (Some(since), Some(until)) = read.times()
            && until <= since
        {
            let why = "--until must be later than --since\n";
            exit_with_usage_error(&Self::command().error(ErrorKind::ArgumentConflict, why));
        }
        if let (Command::Serve(serve), Some((_, matches))) =
            (&mut read.command, matches.subcommand())
        {
            serve.given = GivenOnCommandLine::of(matches);
        }
        read
    }

    /// Returns `--since` and `--until` of the command.
    fn times(&self) -> (Option<SystemTime>, Option<SystemTime>) {
        match &self.command {
            Command::Logs(logs) => (logs.since, logs.until),
            Command::Sql(sql) => (sql.since, sql.until),
            Command::History(History::Export { since, until, .. }) => (*since, *until),
            _ => (None, None),
        }
    }
}

/// Names the variable that a refused value comes from, beside its option, which was not given.
fn with_variable(mut error: clap::Error) -> clap::Error {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let context = (
        text(ContextKind::InvalidArg),
        text(ContextKind::InvalidValue),
    );
    let (Some(option), Some(value)) = context else {
        return error;
    };
    let (name, _) = option.split_once(' ').unwrap_or((option, ""));
    let is_given = |given: &OsString| {
        let behind = given.to_str().and_then(|given| given.strip_prefix(name));
        behind.is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    };
    if std::env::args_os().skip(1).any(|given| is_given(&given)) {
        return error;
    }
    let mut command = Cli::command();
    command.build();
    let mut options = command
        .get_subcommands()
        .flat_map(clap::Command::get_arguments);
    let variable = options.find_map(|arg| {
        let variable = arg.get_env().filter(|_| arg.to_string() == option)?;
        let set = std::env::var_os(variable)?;
        (set.to_string_lossy() == value).then(|| variable.to_string_lossy())
    });
    if let Some(variable) = variable {
        let both = format!("{variable} ({option})");
        error.insert(ContextKind::InvalidArg, ContextValue::String(both));
    }
    error
}

/// Variables for which `off` (in any case) and white space count as unset; white space around a value is ignored.
const MAY_BE_OFF: [&str; 2] = ["OPS_BLACK_BOX", "OPS_HISTORY_DIR"];

fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |arg: &Arg| {
        let Some(name) = arg.get_env() else {
            return false;
        };
        let may_be_off = MAY_BE_OFF.iter().any(|known| name == *known);
        let Some(value) = std::env::var_os(name) else {
            return false;
        };
        let text = value.to_str().map(str::trim);
        let is_off = |text: &str| text.is_empty() || text.eq_ignore_ascii_case("off");
        value.is_empty() || may_be_off && text.is_some_and(is_off)
    };
    command
        .mut_args(|arg| match is_empty(&arg) {
            true => arg.env(None::<&str>),
            false => arg,
        })
        .mut_subcommands(without_empty_variables)
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serves the API and the admin page until Ctrl-C
    Serve(Serve),
    /// Runs a job in this process, without a running platform; exit code 0 on success, 1 on failure, 130 or 143 if Ctrl-C or SIGTERM cancelled it
    Orchestrate(Orchestrate),
    /// Lists runs, newest first, or shows one
    Runs(Runs),
    /// Shows the sources of secrets, never their values
    #[command(subcommand)]
    Secrets(Secrets),
    /// Shows or removes entries of the query cache
    #[command(subcommand)]
    Cache(Cache),
    /// Prints JSON log lines in readable form, all or selected ones
    Logs(Logs),
    /// Prints how a process ended and its last seconds, from the file of OPS_BLACK_BOX, also of another machine
    BlackBox(BlackBox),
    /// Runs a SELECT over the history in OPS_HISTORY_DIR: tables logs, spans, metrics and requests
    Sql(Sql),
    /// Shows, removes or copies files of the history
    #[command(subcommand)]
    History(History),
    /// Checks if the platform on this machine is alive
    Healthcheck(Healthcheck),
    /// Diagnoses the platform, running or not: exit code 0 without findings, 3 for warnings, 4 for critical ones
    Doctor(crate::doctor::Doctor),
    /// Prints a completion script for a shell
    Completions {
        /// Such as bash, zsh or fish
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
pub enum Secrets {
    /// Shows the source of one secret; fails if no source has it
    Source {
        /// Name of the secret in secrets.yaml, or its environment variable
        name: String,
        /// Prints JSON instead of a line
        #[arg(long)]
        json: bool,
        /// Directory of secrets.yaml [default: ./configs if it exists, else the embedded file]
        #[arg(long, env = "KEARNEY_CONFIG_DIR")]
        config_dir: Option<PathBuf>,
    },
    /// Shows source, age and problems of every secret of the catalog; fails if a required one cannot be resolved
    Report {
        /// Prints JSON instead of a table
        #[arg(long)]
        json: bool,
        /// Directory of secrets.yaml [default: ./configs if it exists, else the embedded file]
        #[arg(long, env = "KEARNEY_CONFIG_DIR")]
        config_dir: Option<PathBuf>,
    },
}

/// Options of commands that use the data directory.
#[derive(Args, Debug)]
pub struct Work {
    /// Directory of warehouse, registry, runs, results and cache
    #[arg(long, env = "KEARNEY_DATA_DIR", default_value = "data")]
    pub data_dir: PathBuf,
    /// Directory of secrets.yaml and cache.yaml [default: ./configs if it exists, else the embedded files]
    #[arg(long, env = "KEARNEY_CONFIG_DIR")]
    pub config_dir: Option<PathBuf>,
    /// Directory of flights-3m.parquet, airports.csv and zipcodes.csv [default: the small embedded extract]
    #[arg(long, env = "KEARNEY_DATASETS")]
    pub datasets: Option<PathBuf>,
    /// File of a loaded, read-only warehouse, which is used instead of loading one; platforms with the same file share results through the bucket of cache.yaml
    #[arg(
        long,
        env = "KEARNEY_SNAPSHOT",
        value_name = "FILE",
        conflicts_with = "datasets"
    )]
    pub snapshot: Option<PathBuf>,
    /// Address of Mapbox's API, which is used if the secret mapbox_token is set
    #[arg(
        long,
        env = "KEARNEY_MAPBOX_URL",
        value_name = "URL",
        default_value = "https://api.mapbox.com"
    )]
    pub mapbox_url: BaseUrl,
    #[command(flatten)]
    pub log_file: LogFile,
}

#[derive(Args, Debug)]
pub struct Logs {
    /// Files to read in this order, each after its rotated files, plain or gzip; - is standard input [default: the log file]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub log_file: LogFile,
    /// Only lines of this level or more severe
    #[arg(long, value_parser = str::parse::<ops_layer::log::Level>)]
    pub level: Option<ops_layer::log::Level>,
    /// Only lines of this trace: its 32 hexadecimal digits, or a complete traceparent
    #[arg(long)]
    pub trace_id: Option<TraceId>,
    /// Only lines of this request
    #[arg(long)]
    pub request_id: Option<String>,
    /// Only lines with this value of a field, or of event, level, logger or timestamp; can be given more than once
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub field: Vec<String>,
    /// Only lines with this text in their event, logger, keys or values
    #[arg(long)]
    pub text: Option<String>,
    /// Only lines since this time: 10m (ago), 2h, 3days, 2025-01-15, or 2025-01-15T10:30:00Z with any offset and precision
    #[arg(long, value_parser = instant, allow_hyphen_values = true)]
    pub since: Option<SystemTime>,
    /// Only lines before this time, in the same formats
    #[arg(long, value_parser = instant, allow_hyphen_values = true)]
    pub until: Option<SystemTime>,
    /// Keeps printing new lines, also after a rotation, until Ctrl-C or the end of a pipe
    #[arg(long, short)]
    pub follow: bool,
    /// Prints lines as stored; lines that are not JSON are skipped, and counted on stderr
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct BlackBox {
    /// Black box file; those of crashed runs end with .1 (the newest) to .3
    pub file: PathBuf,
    /// Time before the last record to show, such as 10s or 5m
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub last: Duration,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Sql {
    /// A single SELECT; other statements are rejected
    #[arg(required_unless_present_any = ["name", "list"], conflicts_with_all = ["name", "list"])]
    pub statement: Option<String>,
    /// Runs one of the queries of --list
    #[arg(long)]
    pub name: Option<String>,
    /// Argument of the named query
    #[arg(long, requires = "name")]
    pub argument: Option<String>,
    /// Lists the named queries
    #[arg(long)]
    pub list: bool,
    /// Maximum number of rows
    #[arg(long, default_value_t = 100, value_parser = whole(0..=usize::MAX))]
    pub limit: usize,
    /// Time after which the statement is stopped, such as 30s or 2m
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub timeout: Duration,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
    /// Reads only hours since this time, including all of the hour that it is in: 2h (ago), 2025-01-15, or 2025-01-15T10:30:00Z; use WHERE for exact times
    #[arg(long, value_parser = instant, allow_hyphen_values = true)]
    pub since: Option<SystemTime>,
    /// Reads only hours before this time, including all of the hour that it is in, in the same formats
    #[arg(long, value_parser = instant, allow_hyphen_values = true)]
    pub until: Option<SystemTime>,
    /// Maximum bytes of the files copied from all buckets together
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 30, value_parser = whole(0..=u64::MAX))]
    pub s3_bytes: u64,
    /// Directory of a history, which may be in use, or s3://BUCKET/PREFIX; can be given more than once, for several replicas
    #[arg(
        long = "dir",
        value_name = "DIR",
        env = "OPS_HISTORY_DIR",
        required_unless_present_any = ["list", "admin"]
    )]
    pub dirs: Vec<PathBuf>,
    /// Admin address of a running platform on this machine, whose history is queried too, up to now; can be given more than
    /// once. The token is read from OPS_ADMIN_TOKEN or the file OPS_ADMIN_TOKEN_FILE
    #[arg(long, value_name = "ADDRESS")]
    pub admin: Vec<String>,
}

#[derive(Args, Debug)]
pub struct HistoryDirs {
    /// Directory of a history, which may be in use, or for stats s3://BUCKET/PREFIX; can be given more than once, for several
    /// replicas
    #[arg(
        long = "dir",
        value_name = "DIR",
        env = "OPS_HISTORY_DIR",
        required = true
    )]
    pub dirs: Vec<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum History {
    /// Shows files, rows and bytes of each table, and unreadable files
    Stats {
        /// Reads every file and compares its checksum
        #[arg(long)]
        verify: bool,
        /// Prints JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        dirs: HistoryDirs,
    },
    /// Removes the files of hours that ended at least this long ago
    Prune {
        /// Age, such as 6h or 2days
        #[arg(long, value_name = "TIME", value_parser = duration)]
        older_than: Duration,
        #[command(flatten)]
        dirs: HistoryDirs,
    },
    /// Copies the files of some hours to a directory or a bucket
    Export {
        /// Target directory, or s3://BUCKET/PREFIX
        to: PathBuf,
        /// Only hours since this time: 2h (ago), 2025-01-15, or 2025-01-15T10:30:00Z
        #[arg(long, value_parser = instant, allow_hyphen_values = true)]
        since: Option<SystemTime>,
        /// Only hours before this time, in the same formats
        #[arg(long, value_parser = instant, allow_hyphen_values = true)]
        until: Option<SystemTime>,
        #[command(flatten)]
        dirs: HistoryDirs,
    },
}

fn pair(text: &str) -> Result<String, Refused> {
    let is_pair = text.rfind('=').is_some_and(|at| at > 0);
    let pair = is_pair.then(|| text.to_owned());
    pair.ok_or(Refused("expected KEY=VALUE"))
}

fn instant(text: &str) -> Result<SystemTime, Refused> {
    let ago = text.strip_prefix('-').unwrap_or(text);
    if let Ok(ago) = humantime::parse_duration(ago) {
        let then = SystemTime::now().checked_sub(ago);
        return then.ok_or(Refused("the duration is too long"));
    }
    // times without an offset are in UTC
    parse_instant(text)
        .or_else(|_| parse_instant(&format!("{text}Z")))
        .map_err(|_| {
            Refused("expected a duration such as 10m (ago), a day such as 2025-01-15, or a timestamp such as 2025-01-15T10:30:00Z or 2025-01-15T12:30:00.123+02:00")
        })
}

#[derive(Args, Debug)]
pub struct Healthcheck {
    /// Address of the API; 0.0.0.0 is checked over loopback
    #[arg(long, env = "HOST", default_value = "127.0.0.1", value_parser = host)]
    pub host: IpAddr,
    /// Port of the API
    #[arg(long, env = "PORT", default_value_t = 8000, value_parser = whole(0..=u16::MAX))]
    pub port: u16,
}

#[derive(Args, Debug)]
pub struct Serve {
    /// Address of the API
    #[arg(long, env = "HOST", default_value = "127.0.0.1", value_parser = host)]
    pub host: IpAddr,
    /// Port of the API; 0 selects a free one
    #[arg(long, env = "PORT", default_value_t = 8000, value_parser = whole(0..=u16::MAX))]
    pub port: u16,
    /// Port of the admin page, on loopback; 0 selects a free one [default: OPS_ADMIN_ADDR, else 8001 or a free one]
    #[arg(long, env = "KEARNEY_ADMIN_PORT", value_parser = whole(0..=u16::MAX))]
    pub admin_port: Option<u16>,
    /// Seconds to keep serving after SIGTERM while not ready, so that load balancers can react; at most 20
    #[arg(long, env = "OPS_GRACE_SECONDS", value_name = "SECONDS", default_value_t = 0, value_parser = whole(0..=20_u64))]
    pub grace_seconds: u64,
    /// Flight SQL server that serves flights and airports instead of the warehouse: flight-sql://HOST:PORT or flight-sql+tls://HOST:PORT; its token is the secret KEARNEY_ENGINE_TOKEN
    #[arg(long, env = "KEARNEY_ENGINE", value_name = "URL")]
    pub engine: Option<String>,
    #[arg(skip)]
    pub given: GivenOnCommandLine,
    #[command(flatten)]
    pub work: Work,
}

/// Options of `serve` given on the command line. The service reads the variables of the others itself, so that it can
/// report the variable as their source.
#[derive(Clone, Copy, Debug, Default)]
pub struct GivenOnCommandLine {
    pub host: bool,
    pub port: bool,
    pub grace_seconds: bool,
}

impl GivenOnCommandLine {
    fn of(matches: &ArgMatches) -> Self {
        let given = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        Self {
            host: given("host"),
            port: given("port"),
            grace_seconds: given("grace_seconds"),
        }
    }
}

#[derive(Args, Debug)]
pub struct Orchestrate {
    /// Job to run
    #[arg(long)]
    pub job: Job,
    /// Client of the run: a slug such as acme-west
    #[arg(long, value_name = "SLUG")]
    pub client: Option<Client>,
    /// Prints the run as JSON on stdout, without log lines
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub work: Work,
}

#[derive(Args, Debug)]
pub struct Runs {
    /// Only this run, with its phases
    #[arg(value_parser = run_id)]
    pub run_id: Option<Uuid>,
    /// Only runs in this state
    #[arg(long, value_parser = status)]
    pub status: Option<Status>,
    /// Maximum number of runs to list, at least 1
    #[arg(long, default_value_t = 10, value_parser = whole(1..=usize::MAX))]
    pub limit: usize,
    /// Prints JSON instead of lines
    #[arg(long)]
    pub json: bool,
    /// Data directory of the platform, which may be running
    #[arg(long, env = "KEARNEY_DATA_DIR", default_value = "data")]
    pub data_dir: PathBuf,
}

/// Reason why a value is rejected.
#[derive(Debug)]
struct Refused(&'static str);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Refused {}

/// Parses whole numbers of a range; the error states the range.
fn whole<T>(accepted: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, String> + Clone
where
    T: FromStr + PartialOrd + Display + Clone,
{
    move |text| {
        let number = text.parse().ok();
        let number = number.filter(|number| accepted.contains(number));
        let (least, most) = (accepted.start(), accepted.end());
        number.ok_or_else(|| format!("expected a whole number from {least} to {most}"))
    }
}

fn duration(text: &str) -> Result<Duration, Refused> {
    humantime::parse_duration(text)
        .map_err(|_| Refused("expected a duration with its unit, such as 30s, 5m or 24h"))
}

fn run_id(text: &str) -> Result<Uuid, Refused> {
    text.parse()
        .map_err(|_| Refused("expected a run id such as 01a228ee-5139-75ce-8804-9dcd0bff252e"))
}

fn status(text: &str) -> Result<Status, Refused> {
    Status::parse(text).ok_or(Refused(
        "expected queued, running, success, failed, cancelled, timeout or interrupted",
    ))
}

fn host(text: &str) -> Result<IpAddr, Refused> {
    if text.eq_ignore_ascii_case("localhost") {
        return Ok(Ipv4Addr::LOCALHOST.into());
    }
    let bracketed = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let address = match bracketed {
        Some(address) => address.parse().map(IpAddr::V6),
        None => text.parse(),
    };
    address.map_err(|_| Refused("expected an IP address of this machine, or localhost"))
}
