//! Records of the `log` crate.

use crate::Level;
use crate::bridge::noise;
use crate::pipeline::GLOBAL;
use crate::render::head::RecordMeta;
use crate::render::serialize::LogFields;

struct Facade;

static FACADE: Facade = Facade;

pub(super) fn install() {
    if log::set_logger(&FACADE).is_ok() {
        levels_changed();
    }
}

pub(super) fn levels_changed() {
    // another logger's maximum level must not be changed
    if std::ptr::addr_eq(log::logger(), &raw const FACADE) {
        log::set_max_level(match GLOBAL.levels.most_verbose() {
            None => log::LevelFilter::Off,
            Some(Level::Trace) => log::LevelFilter::Trace,
            Some(Level::Debug) => log::LevelFilter::Debug,
            Some(Level::Info) => log::LevelFilter::Info,
            Some(Level::Warning) => log::LevelFilter::Warn,
            Some(Level::Error | Level::Critical) => log::LevelFilter::Error,
        });
    }
}

fn level(of: log::Level) -> Level {
    match of {
        log::Level::Error => Level::Error,
        log::Level::Warn => Level::Warning,
        log::Level::Info => Level::Info,
        log::Level::Debug => Level::Debug,
        log::Level::Trace => Level::Trace,
    }
}

impl log::Log for Facade {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        noise::enabled(level(metadata.level()), metadata.target())
    }

    fn log(&self, record: &log::Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let meta = RecordMeta {
            level: level(record.level()),
            logger: Some(record.target()),
            event: record.args(),
            module: None,
            location: record.file().zip(record.line()),
            always: false,
        };
        GLOBAL.write(&meta, &[], &mut |line| {
            let _ = record.key_values().visit(&mut LogFields(line));
        });
    }

    fn flush(&self) {
        GLOBAL.flush(crate::pipeline::FLUSH_BUDGET);
    }
}
