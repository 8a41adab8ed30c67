//! Views over files: ids as text, times without a zone, durations in milliseconds.

use super::last;
use crate::Table;
use crate::file::directory::Found;
use crate::table::{Form, REQUEST};

/// Returns the statements that create the views of these files, with `last_lines` only if the statement names it.
pub(super) fn views(files: &[Found], sql: &str) -> String {
    let mut views = String::new();
    for table in Table::ALL {
        let files = files.iter().filter(|one| one.name.table == *table);
        views += &create(table.as_str(), *table, files);
    }
    if sql.to_ascii_lowercase().contains("last_lines") {
        views += &create("last_lines", Table::Logs, &last::files(files));
    }
    views += &format!(
        "CREATE VIEW requests AS SELECT timestamp, http_request_method, url_path, http_route, http_response_status_code, \
         duration_ms, duration_us, error_type, trace_id, trace_id_bytes, request_id, severity_text, attributes, service_name, \
         service_instance_id, run FROM logs WHERE body = '{REQUEST}';\n"
    );
    views
}

/// Returns the statement that creates a view of these files.
fn create<'a>(name: &str, table: Table, files: impl IntoIterator<Item = &'a Found>) -> String {
    let files: Vec<_> = files.into_iter().collect();
    let columns = table.columns().iter();
    let columns: Vec<_> = columns
        .map(|column| view(column.name, column.form))
        .collect();
    let source = if files.is_empty() {
        empty_subquery(table)
    } else {
        rows_of(files)
    };
    let columns = columns.join(", ");
    format!("CREATE VIEW {name} AS SELECT {columns} FROM {source};\n")
}

fn view(name: &str, form: Form) -> String {
    match form {
        // a cast would convert by way of text
        Form::Time => format!("make_timestamp(epoch_us({name})) AS {name}"),
        Form::Id(_) => format!("lower(hex({name})) AS {name}, {name} AS {name}_bytes"),
        Form::Number if name == "duration_us" => {
            "duration_us, duration_us / 1000.0 AS duration_ms".to_owned()
        }
        _ => format!("\"{name}\""),
    }
}

/// Returns a subquery with the columns of a table and no rows.
fn empty_subquery(table: Table) -> String {
    let columns = table.columns().iter().map(|column| {
        let kind = match column.form {
            Form::Time => "TIMESTAMPTZ",
            Form::Number | Form::Code => "BIGINT",
            Form::Float => "DOUBLE",
            Form::LowCardinality | Form::SharedPrefix | Form::Json => "VARCHAR",
            Form::Id(_) => "BLOB",
        };
        format!("CAST(NULL AS {kind}) AS \"{}\"", column.name)
    });
    let columns: Vec<_> = columns.collect();
    format!("(SELECT {} WHERE false)", columns.join(", "))
}

/// Returns a table function that reads these files. Folders such as `run=7` in a path do not become columns.
pub(super) fn rows_of<'a>(files: impl IntoIterator<Item = &'a Found>) -> String {
    let patterns = files.into_iter().map(|one| literal(&pattern(one)));
    let patterns: Vec<_> = patterns.collect();
    let patterns = patterns.join(",");
    format!("read_parquet([{patterns}], hive_partitioning = false)")
}

/// Returns a glob pattern that matches only the path of this file, since SQL treats a path as a pattern.
pub(super) fn pattern(file: &Found) -> String {
    let mut pattern = String::new();
    for char in file.path.to_string_lossy().chars() {
        match char {
            '[' | '*' | '?' => pattern.extend(['[', char, ']']),
            _ => pattern.push(char),
        }
    }
    pattern
}

/// Quotes a text as an SQL literal.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
