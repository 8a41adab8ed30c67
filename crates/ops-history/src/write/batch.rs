//! Rows of one table in memory, column by column.

use std::path::Path;

use parquet::data_type::{ByteArray, FixedLenByteArray};

use super::line::{Line, severity};
use super::record::{Sample, SampleValue, Span, micros};
use super::values::Values;
use crate::Table;
use crate::error::Error;
use crate::file::cells::Cells;
use crate::file::name::{HOUR_US, MINUTE_US, Name};
use crate::file::publish::{Content, publish};
use crate::file::requests::{Group, Requests};
use crate::step::Steps;
use crate::table::REQUEST;

/// Maximum number of rows of a file that is not merged.
const MAX_ROWS: usize = 16 * 1024;
/// Maximum bytes of texts in memory.
const MAX_TEXT: usize = 4 << 20;

/// Constants of a run, repeated in every row.
pub(super) struct Run {
    pub(super) number: u64,
    pub(super) instance: u64,
    service: ByteArray,
    instance_text: ByteArray,
}

impl Run {
    pub(super) fn new(number: u64, instance: u64, service: &str) -> Self {
        Self {
            number,
            instance,
            service: service.into(),
            instance_text: ByteArray::from(format!("{instance:016x}").into_bytes()),
        }
    }
}

/// One cell of a new row.
enum Cell<'a> {
    Null,
    Int(i64),
    Float(f64),
    Text(&'a str),
    Shared(&'a ByteArray),
    Id(&'a [u8]),
}

impl<'a> Cell<'a> {
    fn text(text: Option<&'a str>) -> Self {
        text.map_or(Self::Null, Self::Text)
    }

    fn int(number: Option<i64>) -> Self {
        number.map_or(Self::Null, Self::Int)
    }

    fn id(id: Option<&'a [u8]>) -> Self {
        id.map_or(Self::Null, Self::Id)
    }
}

pub(super) struct Batch {
    table: Table,
    times: Vec<i64>,
    columns: Vec<Cells>,
    values: Values,
}

impl Batch {
    pub(super) fn new(table: Table) -> Self {
        let columns = table.columns().iter();
        Self {
            table,
            times: Vec::new(),
            columns: columns.map(|column| Cells::of(column.form)).collect(),
            values: Values::default(),
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.times.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows() >= MAX_ROWS || self.values.text_bytes() >= MAX_TEXT
    }

    pub(super) fn clear(&mut self) {
        self.times.clear();
        self.columns.iter_mut().for_each(Cells::clear);
        self.values.clear();
    }

    pub(super) fn add_line(&mut self, at: i64, line: &Line<'_>, run: &Run) {
        let level = line.level.as_deref();
        self.add(
            at,
            &[
                Cell::Int(at),
                Cell::text(level),
                Cell::int(level.and_then(severity)),
                Cell::text(line.event.as_deref()),
                Cell::text(line.logger.as_deref()),
                Cell::id(line.trace_id.as_ref().map(|id| &id[..])),
                Cell::id(line.span_id.as_ref().map(|id| &id[..])),
                Cell::text(line.request_id.as_deref()),
                Cell::text(line.method.as_deref()),
                Cell::text(line.path.as_deref()),
                Cell::text(line.route.as_deref()),
                Cell::int(line.status),
                Cell::int(line.duration_us),
                Cell::text(line.error_type.as_deref()),
                Cell::text(line.rest.as_deref()),
                Cell::Shared(&run.service),
                Cell::Shared(&run.instance_text),
                Cell::Int(run.number as i64),
            ],
        );
    }

    pub(super) fn add_span(&mut self, span: &Span, run: &Run) {
        let at = micros(span.start);
        let took = i64::try_from(span.duration.as_micros()).unwrap_or(i64::MAX);
        self.add(
            at,
            &[
                Cell::Int(at),
                Cell::Int(took),
                Cell::Text(&span.name),
                Cell::Text(span.kind),
                Cell::Id(&span.trace_id),
                Cell::Id(&span.span_id),
                Cell::id(span.parent_span_id.as_ref().map(|id| &id[..])),
                Cell::Text(if span.is_error { "error" } else { "unset" }),
                Cell::Shared(&run.service),
                Cell::Shared(&run.instance_text),
                Cell::Int(run.number as i64),
            ],
        );
    }

    pub(super) fn add_sample(&mut self, sample: &Sample, run: &Run) {
        let at = micros(sample.at);
        let (bounds_text, counts_text);
        let (kind, value, count, sum, bounds, counts) = match &sample.value {
            SampleValue::Sum(value) => ("sum", Some(*value), None, None, None, None),
            SampleValue::Gauge(value) => ("gauge", Some(*value), None, None, None, None),
            SampleValue::Histogram {
                bounds,
                counts,
                sum,
            } => {
                bounds_text = list(bounds);
                counts_text = list(counts);
                let mut numbers = counts.iter();
                let count = numbers.try_fold(0_u64, |sum, number| sum.checked_add(*number));
                (
                    "histogram",
                    None,
                    count.and_then(|count| i64::try_from(count).ok()),
                    Some(*sum),
                    Some(bounds_text.as_str()),
                    Some(counts_text.as_str()),
                )
            }
        };
        let float = |number: Option<f64>| number.map_or(Cell::Null, Cell::Float);
        let some = |text: &'static str| Some(text).filter(|text| !text.is_empty());
        let attributes = Some(sample.attributes.as_str()).filter(|text| !text.is_empty());
        self.add(
            at,
            &[
                Cell::Int(at),
                Cell::Text(sample.name),
                Cell::Text(kind),
                Cell::text(some(sample.unit)),
                Cell::text(attributes),
                float(value),
                Cell::int(count),
                float(sum),
                Cell::text(bounds),
                Cell::text(counts),
                Cell::Shared(&run.service),
                Cell::Shared(&run.instance_text),
                Cell::Int(run.number as i64),
            ],
        );
    }

    fn add(&mut self, at: i64, row: &[Cell<'_>]) {
        self.times.push(at);
        let forms = self.table.columns().iter().map(|column| column.form);
        for ((cells, cell), form) in self.columns.iter_mut().zip(row).zip(forms) {
            match cells {
                Cells::Int(cells) => cells.push(match cell {
                    Cell::Int(number) => Some(*number),
                    _ => None,
                }),
                Cells::Float(cells) => cells.push(match cell {
                    Cell::Float(number) => Some(*number),
                    _ => None,
                }),
                Cells::Text(cells) => {
                    let before = cells.last().and_then(Option::as_ref);
                    let value = match cell {
                        Cell::Text(text) => Some(self.values.text(text, form, before)),
                        Cell::Shared(text) => Some((*text).clone()),
                        _ => None,
                    };
                    cells.push(value);
                }
                Cells::Id(cells) => cells.push(match cell {
                    Cell::Id(id) => {
                        let bytes = ByteArray::from(self.values.bytes(id));
                        Some(FixedLenByteArray::from(bytes))
                    }
                    _ => None,
                }),
            }
        }
    }

    /// Sets the run number of all rows, which may have changed while they waited.
    fn set_run(&mut self, number: u64) {
        let rows = self.rows();
        if let Some(Cells::Int(cells)) = self.columns.last_mut() {
            cells.clear();
            cells.resize(rows, Some(number as i64));
        }
    }

    /// Counts the requests among these rows of one hour.
    fn requests(&self, rows: &[u32], run: &Run) -> Option<String> {
        if self.table != Table::Logs {
            return None;
        }
        let column = |name: &str| {
            let mut columns = self.table.columns().iter();
            let index = columns.position(|column| column.name == name)?;
            self.columns.get(index)
        };
        let (body, method) = (column("body")?, column("http_request_method")?);
        let (route, status) = (column("http_route")?, column("http_response_status_code")?);
        let duration = column("duration_us")?;
        let mut requests = Requests::new(String::from_utf8_lossy(run.service.data()).into_owned());
        for row in rows.iter().map(|row| *row as usize) {
            if body.text(row) != Some(REQUEST) {
                continue;
            }
            let at = self.times.get(row).copied().unwrap_or_default();
            let group = Group {
                minute: at.rem_euclid(HOUR_US) / MINUTE_US,
                method: method.text(row).map(Into::into),
                route: route.text(row).map(Into::into),
                status: status.int(row),
            };
            requests.add(group, duration.int(row), 1);
        }
        requests.to_text()
    }

    /// Writes the rows as one file per hour. Returns the number of rows written, the number of files, and the failure
    /// that prevented the rest. Moves the values out, so the caller has to call [`clear`](Self::clear) next.
    pub(super) fn write(
        &mut self,
        dir: &Path,
        number: u64,
        run: &Run,
        steps: &Steps,
    ) -> (u64, u64, Result<(), Error>) {
        self.set_run(run.number);
        let mut rows: Vec<u32> = (0..self.rows() as u32).collect();
        let time = |row: &u32| self.times.get(*row as usize).copied().unwrap_or_default();
        // stable: rows with the same timestamp keep their order
        rows.sort_by_key(time);
        let (mut written, mut files) = (0, 0);
        for rows in rows.chunk_by(|a, b| time(a) / HOUR_US == time(b) / HOUR_US) {
            let name = Name {
                table: self.table,
                hour: rows.first().map(time).unwrap_or_default() / HOUR_US,
                run: run.number,
                instance: run.instance,
                first: number,
                last: number,
            };
            let content = Content {
                rows: rows.len(),
                requests: self.requests(rows, run),
            };
            let published = publish(dir, &name, content, steps, |groups| {
                groups.write(|column, writer| {
                    let cells = self.columns.get_mut(column);
                    cells.map_or(Ok(()), |cells| cells.write(rows, writer))
                })
            });
            match published {
                Ok(_) => {
                    written += rows.len() as u64;
                    files += 1;
                }
                Err(error) => return (written, files, Err(error)),
            }
        }
        (written, files, Ok(()))
    }
}

fn list<T: std::fmt::Display>(numbers: &[T]) -> String {
    let numbers: Vec<_> = numbers.iter().map(T::to_string).collect();
    format!("[{}]", numbers.join(","))
}
