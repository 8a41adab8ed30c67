//! The same event by structlog, with json and with orjson: `cargo xtask bench --package ops-log --peers`.
//!
//! Both write to memory, with a timestamp and two fields of context; they take turns in blocks, on the processor's time
//! of the thread. With `--check` a ratio that is missed by 25 % is a failure.


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
    ratios.finish();
    Ok(())
}
