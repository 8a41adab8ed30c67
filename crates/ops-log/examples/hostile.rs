//! Program whose clock, trace ids and writer panic while a panic is logged: it must continue.

use ops_log::{Config, Output};

struct Hostile;

impl std::io::Write for Hostile {
    #[expect(clippy::panic, reason = "that is what it is for")]
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        panic!("in write")
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[expect(clippy::panic, reason = "that is what it is for")]
fn main() -> Result<(), ops_log::Error> {
    let config = Config::new()
        .json(true)
        .clock(|| panic!("no time"))
        .output(Output::writer(Hostile));
    let _log = ops_log::init(config)?;
    ops_log::set_trace_id_source(|| panic!("no span"));
    let result = std::panic::catch_unwind(|| panic!("deliberate"));
    ops_log::redact("registered-secret");
    let secret = std::panic::catch_unwind(|| panic!("with registered-secret within"));
    drop(secret);
    let shown = std::panic::catch_unwind(|| panic!("no login: Login {{ password: \"hunter2\" }}"));
    drop(shown);
    ops_log::info!("goes_on", caught = result.is_err());
    Ok(())
}
