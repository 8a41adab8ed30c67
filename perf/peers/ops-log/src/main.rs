//! Compares the same event with structlog, with json and with orjson, and with zerolog and zap:
//! `cargo xtask bench --package ops-log --peers`.
//!
//! All write to memory, with a timestamp and two context fields. They alternate in blocks, measured by the processor
//! time of the thread, or of the process for other languages. With `--check`, missing a ratio by 25 % is a failure.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use ops_log::{Config, Output, Pipeline};

use dev::peer::Peer;
use dev::ratio::Ratios;
use dev::ten_fields;
use dev::ten_fields::{Memory, TRACE};

fn main() -> Result<(), Box<dyn Error>> {
    let tools = env::var_os("OPS_TOOLS").map_or_else(|| PathBuf::from(".tools"), PathBuf::from);
    let output = Output::writer(Memory::new()).json(true);
    let pipeline = Pipeline::new(Config::new().stdout(false).output(output))?;
    let log = pipeline.logger("api");
    ops_log::bind_context!(request_id = "req-abc123", trace_id = TRACE);
    let mut ratios = Ratios::from_args();
    for (renderer, goal) in [("json", 1.0 / 40.0), ("orjson", 1.0 / 25.0)] {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("structlog_lines.py");
        let mut structlog = Command::new(tools.join("peers/bin/python"));
        let mut structlog = Peer::start(structlog.arg(script).arg(renderer))?;
        ratios.at_most_of(
            "10 fields, JSON",
            goal,
            || ten_fields!([ops_log::info], log),
            (&format!("structlog with {renderer}"), || {
                structlog.measure()
            }),
        )?;
    }
    beside_go(&tools, &mut ratios, &pipeline)?;
    ratios.finish();
    Ok(())
}

/// Compares with zerolog and zap, if a Go compiler is installed.
fn beside_go(
    tools: &Path,
    ratios: &mut Ratios,
    pipeline: &Pipeline,
) -> Result<(), Box<dyn Error>> {
    let Some(lines) = go_lines(&tools.join("go"))? else {
        println!("zerolog and zap: no compiler of Go in {}", tools.display());
        return Ok(());
    };
    let (log, bound) = (
        pipeline.logger("api"),
        dev::ten_bound_fields!(pipeline.logger("api")),
    );
    for name in ["zerolog", "zap"] {
        let mut fields = Peer::start(Command::new(&lines).args([name, "fields"]))?;
        ratios.at_most_of(
            "10 fields, JSON",
            0.5,
            || ten_fields!([ops_log::info], log),
            (name, || fields.measure()),
        )?;
        drop(fields);
        let mut fields = Peer::start(Command::new(&lines).args([name, "bound"]))?;
        ratios.at_most_of(
            "10 bound fields, JSON",
            0.5,
            || ops_log::info!(bound, "request_completed"),
            (name, || fields.measure()),
        )?;
    }
    Ok(())
}

/// Compiles the program that writes lines with zerolog and zap, only from packages of the distribution.
fn go_lines(go: &Path) -> Result<Option<PathBuf>, Box<dyn Error>> {
    let root = go.join("usr/lib/go-1.19");
    let compiler = root.join("bin/go");
    if !compiler.exists() {
        return Ok(None);
    }
    let program = go.join("lines");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("go/main.go");
    let status = Command::new(compiler)
        .args(["build", "-o"])
        .args([&program, &source])
        .env("GOROOT", root)
        .env("GOPATH", go.join("usr/share/gocode"))
        .env("GOCACHE", go.join("cache"))
        .env("GO111MODULE", "off")
        .env("CGO_ENABLED", "0")
        .status()?;
    match status.success() {
        true => Ok(Some(program)),
        false => Err(format!("{} was not compiled", source.display()).into()),
    }
}
