//! Reference parsers, and their reading of an exposition.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Name and labels of a sample.
pub(crate) type Series = (String, BTreeMap<String, String>);

/// Python's `prometheus_client`, in a separate process.
pub(crate) struct Parsers {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

/// Content of one exposition.
pub(crate) struct Parsed {
    pub(crate) samples: BTreeMap<Series, f64>,
    /// Trace ids and values of exemplars.
    pub(crate) exemplars: Vec<(Series, String, f64)>,
    /// Type, help and unit of each family.
    pub(crate) families: BTreeMap<String, [String; 3]>,
}

impl Parsers {
    /// Starts the parsers, if `cargo xtask setup` fetched them.
    pub(crate) fn start() -> Option<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = here.join("../../.tools/python/bin/python");
        let has_it = Command::new(&python)
            .args(["-c", "import prometheus_client"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if !has_it {
            assert!(
                std::env::var_os("OPS_TEST_REQUIRE_TOOLS").is_none(),
                "prometheus_client is required"
            );
            let skipped = "skipped: no prometheus_client in .tools/python (cargo xtask setup)";
            let _ = writeln!(std::io::stdout(), "{skipped}");
            return None;
        }
        let mut child = Command::new(python)
            .arg(here.join("tests/it/parse_expositions.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Some(Self {
            child,
            stdin,
            stdout,
        })
    }

    /// Reads an exposition in the format `text` or `openmetrics`.
    pub(crate) fn parse(&mut self, format: &str, exposition: &str) -> Result<Parsed, String> {
        write!(self.stdin, "{format} {}\n{exposition}", exposition.len()).unwrap();
        self.stdin.flush().unwrap();
        let mut answer = String::new();
        self.stdout.read_line(&mut answer).unwrap();
        let answer: Answer = serde_json::from_str(&answer).unwrap();
        if let Some(error) = answer.error {
            return Err(error);
        }
        let mut parsed = Parsed {
            samples: BTreeMap::new(),
            exemplars: Vec::new(),
            families: answer.families,
        };
        for (name, labels, value, exemplar) in answer.samples {
            let series = (name, labels);
            if let Some((labels, value)) = exemplar {
                let trace = labels.get("trace_id").cloned().unwrap_or_default();
                parsed.exemplars.push((series.clone(), trace, value));
            }
            let value = value.parse().map_err(|_| format!("{value} is no number"))?;
            if parsed.samples.insert(series.clone(), value).is_some() {
                return Err(format!("{series:?} is there twice"));
            }
        }
        Ok(parsed)
    }
}

impl Drop for Parsers {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

type Sample = (
    String,
    BTreeMap<String, String>,
    String,
    Option<(BTreeMap<String, String>, f64)>,
);

#[derive(serde::Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Answer {
    error: Option<String>,
    samples: Vec<Sample>,
    families: BTreeMap<String, [String; 3]>,
}
