//! `kearney-platform orchestrate`: executes one run in this process.

use std::io::IsTerminal;
use std::time::Duration;

use ops_layer::StopSignal;

use super::runs;
use crate::addresses::Addresses;
use crate::args;
use crate::configs::Configs;
use crate::datasets::Source;
use crate::error::{Error, Kind, Result};
use crate::execution::{Progress, Signals, execute};
use crate::files::DataDir;
use crate::isochrone::Isochrones;
use crate::orchestrator::{Record, Status};
use crate::output::{print_json, print_result};
use crate::platform::Platform;
use crate::setup;

/// Time limit for exporting the last spans and lines.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

pub fn run(options: args::Orchestrate) -> Result<()> {
    let configs = Configs::read(options.work.config_dir.as_deref())?;
    let source = Source::choose(&options.work)?;
    let data = DataDir::lock(&options.work.data_dir)?;
    // a platform that was killed leaves its addresses behind
    Addresses::remove(data.path());
    setup::runtime()?.block_on(orchestrate(&options, &data, &configs, source))
}

async fn orchestrate(
    options: &args::Orchestrate,
    data: &DataDir,
    configs: &Configs,
    source: Source,
) -> Result<()> {
    let signals = Signals {
        cancel: setup::signals()?,
        stopping: StopSignal::manual(),
    };
    // on a terminal progress is shown instead, with --json only the document
    let has_lines = !options.json && !std::io::stderr().is_terminal();
    let cancel = signals.cancel.clone();
    let ops = setup::init(
        "kearney-platform-orchestrator",
        &options.work,
        data,
        configs,
        has_lines,
    )?;
    let isochrones = Isochrones::new(options.work.mapbox_url.clone());
    let opened = Platform::open(data, &ops, source, isochrones, signals.cancel.clone(), None);
    let platform = match opened {
        Ok(platform) => platform,
        Err(error) => {
            // a start that fails is not a crash; its lines are kept
            ops.refuse(&error, FLUSH_TIMEOUT).await;
            return Err(error);
        }
    };
    let record = Record::new(options.job, options.client.clone());
    let running = execute(platform, record, signals, None, Progress::terminal());
    let ended = ops_layer::spawn(running).await;
    ops.shutdown(FLUSH_TIMEOUT).await;
    let record = ended
        .map_err(|error| Error::new(Kind::Run, "the run ended unexpectedly").because(error))?;
    if options.json {
        print_json(&record)?;
    } else {
        print_result(&runs::describe(&record))?;
    }
    let (id, status) = (record.run_id, record.status.as_str());
    let kind = match record.status {
        Status::Success => return Ok(()),
        Status::Cancelled | Status::Interrupted => Kind::Cancelled,
        Status::Timeout => Kind::Timeout,
        _ => Kind::Run,
    };
    let message = Error::new(kind, format!("run {id} ended with status {status}"));
    let message = match kind {
        Kind::Cancelled => message.by_signal(cancel.number()),
        _ => message,
    };
    Err(match record.error {
        Some(why) => message.because(why),
        None => message,
    })
}
