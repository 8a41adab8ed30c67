//! The format of pprof: messages of `profile.proto` in gzip. <https://github.com/google/pprof/blob/main/proto/profile.proto>

use std::collections::HashMap;
use std::io::Write;
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;
use pprof::{Frames, Symbol};
use prost::Message;

use super::sampler::{Failed, Taken};

/// Name of the frame for processor time without a sample.
const UNSAMPLED: &str = "[not sampled: C library or missed sample]";

/// Encodes a profile.
pub(super) fn gzip(taken: &Taken) -> Result<Vec<u8>, Failed> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let written = encoder.write_all(&profile(taken).encode_to_vec());
    written
        .and_then(|()| encoder.finish())
        .map_err(|_| Failed::Broken)
}

fn profile(taken: &Taken) -> Profile {
    let mut tables = Tables::default();
    let period = nanoseconds(taken.period);
    let kind = |tables: &mut Tables, name, unit| ValueType {
        kind: tables.text(name),
        unit: tables.text(unit),
    };
    // the first string is empty
    tables.text("");
    let sample_type = vec![
        kind(&mut tables, "samples", "count"),
        kind(&mut tables, "cpu", "nanoseconds"),
    ];
    let mut sampled = 0;
    let mut sample = Vec::with_capacity(taken.report.data.len() + 1);
    for (frames, count) in &taken.report.data {
        let count = i64::try_from(*count).unwrap_or(i64::MAX);
        sampled += count;
        sample.push(tables.sample(frames, count, count.saturating_mul(period)));
    }
    let missing = nanoseconds(taken.cpu) - sampled.saturating_mul(period);
    if missing > period {
        let place = tables.place(vec![(UNSAMPLED.to_owned(), String::new(), 0)]);
        sample.push(Sample {
            location_id: vec![place],
            value: vec![missing / period, missing],
            label: Vec::new(),
        });
    }
    let comment = format!(
        "{sampled} samples in {:.1} s, in which the process used {:.3} s of CPU time. No samples are taken while the C \
         library runs",
        taken.duration.as_secs_f64(),
        taken.cpu.as_secs_f64(),
    );
    let comment = vec![tables.text(&comment)];
    let period_type = sample_type.last().cloned();
    let since = taken.started.duration_since(SystemTime::UNIX_EPOCH);
    Profile {
        sample_type,
        sample,
        location: tables.locations,
        function: tables.functions,
        string_table: tables.texts,
        time_nanos: nanoseconds(since.unwrap_or_default()),
        duration_nanos: nanoseconds(taken.duration),
        period_type,
        period,
        comment,
    }
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// One function of a stack: its name, its file, the line.
type Line = (String, String, i64);

/// Texts, functions and places that samples refer to by number.
#[derive(Default)]
struct Tables {
    texts: Vec<String>,
    text_ids: HashMap<String, i64>,
    functions: Vec<Function>,
    function_ids: HashMap<(i64, i64), u64>,
    locations: Vec<Location>,
    location_ids: HashMap<Vec<Line>, u64>,
}

impl Tables {
    fn text(&mut self, text: &str) -> i64 {
        if let Some(known) = self.text_ids.get(text) {
            return *known;
        }
        let id = self.texts.len().cast_signed() as i64;
        self.texts.push(text.to_owned());
        self.text_ids.insert(text.to_owned(), id);
        id
    }

    fn function(&mut self, name: &str, file: &str) -> u64 {
        let (name, filename) = (self.text(name), self.text(file));
        let functions = &mut self.functions;
        *self
            .function_ids
            .entry((name, filename))
            .or_insert_with(|| {
                let id = functions.len() as u64 + 1;
                functions.push(Function { id, name, filename });
                id
            })
    }

    /// Returns the id of a place with the functions that were inlined there, the innermost first.
    fn place(&mut self, lines: Vec<Line>) -> u64 {
        if let Some(known) = self.location_ids.get(&lines) {
            return *known;
        }
        let line = lines.iter().map(|(name, file, line)| LineOf {
            function_id: self.function(name, file),
            line: *line,
        });
        let line = line.collect();
        let id = self.locations.len() as u64 + 1;
        self.locations.push(Location { id, line });
        self.location_ids.insert(lines, id);
        id
    }

    fn sample(&mut self, frames: &Frames, count: i64, nanoseconds: i64) -> Sample {
        let places = frames.frames.iter().map(|frame| {
            let lines = frame.iter().map(line).collect();
            self.place(lines)
        });
        let location_id = places.collect();
        Sample {
            location_id,
            value: vec![count, nanoseconds],
            label: vec![Label {
                key: self.text("thread"),
                text: self.text(&frames.thread_name_or_id()),
            }],
        }
    }
}

fn line(symbol: &Symbol) -> Line {
    let name = match &symbol.name {
        Some(_) => symbol.name(),
        None => "[unknown]".to_owned(),
    };
    let file = symbol.filename.as_ref();
    let file = file.map_or_else(String::new, |file| file.to_string_lossy().into_owned());
    (name, file, i64::from(symbol.lineno()))
}

#[derive(Message)]
struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    time_nanos: i64,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    period: i64,
    #[prost(int64, repeated, tag = "13")]
    comment: Vec<i64>,
}

#[derive(Clone, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    kind: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    label: Vec<Label>,
}

#[derive(Message)]
struct Label {
    #[prost(int64, tag = "1")]
    key: i64,
    #[prost(int64, tag = "2")]
    text: i64,
}

#[derive(Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<LineOf>,
}

#[derive(Message)]
struct LineOf {
    #[prost(uint64, tag = "1")]
    function_id: u64,
    #[prost(int64, tag = "2")]
    line: i64,
}

#[derive(Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
    #[prost(int64, tag = "4")]
    filename: i64,
}
