use std::sync::Arc;

use slog::Drain;

use crate::{Level, Value, output};

/// Writes lines under a name. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct Logger {
    name: Option<Arc<str>>,
    bound: Arc<Vec<(String, Value)>>,
}

/// A logger of this name.
pub fn get_logger(name: &str) -> Logger {
    Logger {
        name: Some(name.into()),
        bound: Arc::default(),
    }
}

impl Logger {
    /// The root logger, whose name is the service's.
    pub fn root() -> Self {
        Self {
            name: None,
            bound: Arc::default(),
        }
    }

    /// A logger whose lines all carry this field.
    #[must_use]
    pub fn bind(&self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        let mut bound = self.bound.as_ref().clone();
        bound.push((key.into(), value.into()));
        Self {
            name: self.name.clone(),
            bound: Arc::new(bound),
        }
    }

    /// Writes a line; the macros call this.
    pub fn log(&self, level: Level, event: &str, fields: &[(&str, Value)]) {
        if !output::is_enabled(level) {
            return;
        }
        let bound = self
            .bound
            .iter()
            .map(|(key, value)| (key.as_str(), value.clone()));
        let all: Vec<(&str, Value)> = bound.chain(fields.iter().cloned()).collect();
        output::write(self.name.as_deref(), level, event, &all);
    }

    /// A `slog` logger whose records become lines of this one.
    pub fn slog(&self) -> slog::Logger {
        slog::Logger::root(SlogDrain(self.clone()).ignore_res(), slog::o!())
    }
}

/// Our lines as the drain of any `slog` logger.
#[derive(Clone, Debug)]
pub struct SlogDrain(Logger);

impl Drain for SlogDrain {
    type Ok = ();
    type Err = slog::Never;

    fn log(
        &self,
        record: &slog::Record<'_>,
        values: &slog::OwnedKVList,
    ) -> Result<(), slog::Never> {
        use slog::KV;
        let mut collected = Collected(Vec::new());
        // slog hands the newest field first: the record's own, then the logger's
        let _ = record.kv().serialize(record, &mut collected);
        let _ = values.serialize(record, &mut collected);
        collected.0.reverse();
        let fields: Vec<(&str, Value)> = collected
            .0
            .iter()
            .map(|(key, value)| (key.as_str(), value.clone()))
            .collect();
        self.0
            .log(record.level().into(), &record.msg().to_string(), &fields);
        Ok(())
    }
}

struct Collected(Vec<(String, Value)>);

impl slog::Serializer for Collected {
    fn emit_arguments(&mut self, key: slog::Key, value: &std::fmt::Arguments<'_>) -> slog::Result {
        self.0
            .push((key.to_string(), Value::Text(value.to_string())));
        Ok(())
    }

    fn emit_i64(&mut self, key: slog::Key, value: i64) -> slog::Result {
        self.0.push((key.to_string(), Value::Int(value)));
        Ok(())
    }

    fn emit_u64(&mut self, key: slog::Key, value: u64) -> slog::Result {
        self.0.push((key.to_string(), Value::UInt(value)));
        Ok(())
    }

    fn emit_f64(&mut self, key: slog::Key, value: f64) -> slog::Result {
        self.0.push((key.to_string(), Value::Float(value)));
        Ok(())
    }

    fn emit_bool(&mut self, key: slog::Key, value: bool) -> slog::Result {
        self.0.push((key.to_string(), Value::Bool(value)));
        Ok(())
    }
}
