//! Cases for results and errors.

use arrow::datatypes::DataType;

use super::{Case, Contract, Outcome, same};
use crate::params::{Params, Value};

pub(super) const CASES: &[Case] = &[
    ("identity_is_a_name_that_stays", identity),
    ("integers_keep_type_and_limits", integers),
    ("floating_point_keeps_type_and_value", floating),
    ("booleans_keep_type_and_value", booleans),
    ("text_keeps_spaces_quotes_and_unicode", text),
    ("dates_and_timestamps_keep_type_and_value", temporal),
    ("decimals_keep_scale_and_value", decimals),
    ("nulls_have_the_type_of_their_column", nulls),
    ("nulls_between_values_stay_where_they_are", nulls_between),
    ("schema_has_the_columns_in_their_order", schema),
    ("empty_result_has_one_batch_with_the_schema", empty),
    ("large_result_is_complete", large),
    ("parameters_are_bound_by_position", by_position),
    ("parameters_keep_their_values", values),
    ("parameters_are_never_read_as_sql", not_sql),
    ("null_is_a_parameter_too", null_parameter),
    ("missing_parameter_is_an_error", missing),
    ("parameter_too_many_is_an_error", surplus),
    ("syntax_error_is_an_error_that_says_so", syntax),
    ("unknown_table_is_an_error_that_names_it", unknown_table),
    ("error_in_a_row_is_an_error_of_the_query", row_error),
    ("writes_are_no_queries", writes),
];

const DIGITS: &str = "WITH d(n) AS (VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9))";

fn identity(on: &Contract) -> Outcome {
    let first = on.engine.identity();
    if first.is_empty() {
        return Err("the identity is empty".to_owned());
    }
    same("identity", &first, &on.engine.identity())
}

/// An expression, a check of its type, and its value as text.
type Typed = (&'static str, fn(&DataType) -> bool, &'static str);

/// Checks that these expressions, each queried as one row, have these types and values.
fn typed(on: &Contract, columns: &[Typed]) -> Outcome {
    for (expression, is_right, expected) in columns {
        let sql = format!("SELECT {expression} AS c");
        let batches = on
            .ask(&sql, &Params::new())
            .map_err(|error| format!("{sql}: {error}"))?;
        let first = batches.first().ok_or("no batch")?;
        let kind = first.schema().field(0).data_type().clone();
        if !is_right(&kind) {
            return Err(format!("{sql}: unexpected type {kind}"));
        }
        same(&sql, &super::rows_of(&batches)?, &[*expected])?;
    }
    Ok(())
}

fn is_text(kind: &DataType) -> bool {
    matches!(
        kind,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    )
}

fn integers(on: &Contract) -> Outcome {
    typed(
        on,
        &[
            (
                "CAST(-32768 AS SMALLINT)",
                |kind| *kind == DataType::Int16,
                "-32768",
            ),
            (
                "CAST(2147483647 AS INTEGER)",
                |kind| *kind == DataType::Int32,
                "2147483647",
            ),
            (
                "CAST(9223372036854775807 AS BIGINT)",
                |kind| *kind == DataType::Int64,
                "9223372036854775807",
            ),
            (
                "CAST(-9007199254740993 AS BIGINT)",
                |kind| *kind == DataType::Int64,
                "-9007199254740993",
            ),
        ],
    )
}

fn floating(on: &Contract) -> Outcome {
    typed(
        on,
        &[
            (
                "CAST(0.1 AS DOUBLE PRECISION)",
                |kind| *kind == DataType::Float64,
                "0.1",
            ),
            (
                "CAST(1.5 AS REAL)",
                |kind| *kind == DataType::Float32,
                "1.5",
            ),
        ],
    )
}

fn booleans(on: &Contract) -> Outcome {
    typed(
        on,
        &[
            (
                "CAST(1 = 1 AS BOOLEAN)",
                |kind| *kind == DataType::Boolean,
                "true",
            ),
            (
                "CAST(1 = 2 AS BOOLEAN)",
                |kind| *kind == DataType::Boolean,
                "false",
            ),
        ],
    )
}

fn text(on: &Contract) -> Outcome {
    typed(
        on,
        &[
            ("'a  b'", is_text, "a  b"),
            ("'O''Hare'", is_text, "O'Hare"),
            ("'Zürich 東京'", is_text, "Zürich 東京"),
            ("CAST('' AS VARCHAR)", is_text, ""),
        ],
    )
}

fn temporal(on: &Contract) -> Outcome {
    typed(
        on,
        &[
            (
                "CAST('1969-12-31' AS DATE)",
                |kind| *kind == DataType::Date32,
                "1969-12-31",
            ),
            (
                "CAST('2024-02-29 23:59:59.123456' AS TIMESTAMP)",
                |kind| matches!(kind, DataType::Timestamp(_, None)),
                "2024-02-29T23:59:59.123456",
            ),
        ],
    )
}

fn decimals(on: &Contract) -> Outcome {
    typed(
        on,
        &[
            (
                "CAST('12.30' AS DECIMAL(10, 2))",
                |kind| matches!(kind, DataType::Decimal128(10, 2)),
                "12.30",
            ),
            (
                "CAST('-12345678901234567890.01' AS DECIMAL(38, 2))",
                |kind| matches!(kind, DataType::Decimal128(38, 2)),
                "-12345678901234567890.01",
            ),
        ],
    )
}

fn nulls(on: &Contract) -> Outcome {
    typed(
        on,
        &[
            (
                "CAST(NULL AS INTEGER)",
                |kind| *kind == DataType::Int32,
                "NULL",
            ),
            ("CAST(NULL AS VARCHAR)", is_text, "NULL"),
            (
                "CAST(NULL AS DATE)",
                |kind| *kind == DataType::Date32,
                "NULL",
            ),
            (
                "CAST(NULL AS DOUBLE PRECISION)",
                |kind| *kind == DataType::Float64,
                "NULL",
            ),
        ],
    )
}

fn nulls_between(on: &Contract) -> Outcome {
    let sql =
        "SELECT n, s FROM (VALUES (1, 'a'), (2, NULL), (3, ''), (4, 'NULL')) AS t(n, s) ORDER BY n";
    // the text NULL and a missing text are distinguished by the column's null count
    let batches = on
        .ask(sql, &Params::new())
        .map_err(|error| format!("{sql}: {error}"))?;
    let missing: usize = batches
        .iter()
        .map(|batch| batch.column(1).null_count())
        .sum();
    same("number of NULLs", &missing, &1)?;
    same(
        sql,
        &super::rows_of(&batches)?,
        &["1|a", "2|NULL", "3|", "4|NULL"],
    )
}

fn schema(on: &Contract) -> Outcome {
    let sql = "SELECT 1 AS zebra, 'x' AS apple, 2 AS mango";
    let batches = on
        .ask(sql, &Params::new())
        .map_err(|error| format!("{sql}: {error}"))?;
    let schema = batches.first().ok_or("no batch")?.schema();
    let names: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| field.name().to_lowercase())
        .collect();
    same(sql, &names, &["zebra", "apple", "mango"])
}

fn empty(on: &Contract) -> Outcome {
    let sql = "SELECT n, s FROM (VALUES (1, 'a')) AS t(n, s)";
    let all = on
        .ask(sql, &Params::new())
        .map_err(|error| format!("{sql}: {error}"))?;
    let none = on
        .ask(&format!("{sql} WHERE n > 1"), &Params::new())
        .map_err(|error| format!("{sql}: {error}"))?;
    same("rows", &super::rows_of(&none)?.len(), &0)?;
    let (all, none) = (
        all.first().ok_or("no batch")?,
        none.first().ok_or("no batch")?,
    );
    let types = |batch: &arrow::array::RecordBatch| -> Vec<DataType> {
        let schema = batch.schema();
        schema
            .fields()
            .iter()
            .map(|field| field.data_type().clone())
            .collect()
    };
    same("types", &types(none), &types(all))
}

fn large(on: &Contract) -> Outcome {
    let sql = format!(
        "{DIGITS} SELECT CAST(a.n + 10 * b.n + 100 * c.n + 1000 * d.n + 10000 * e.n AS BIGINT) AS n \
         FROM d AS a CROSS JOIN d AS b CROSS JOIN d AS c CROSS JOIN d CROSS JOIN d AS e"
    );
    let batches = on
        .ask(&sql, &Params::new())
        .map_err(|error| format!("{sql}: {error}"))?;
    let first = batches.first().ok_or("no batch")?.schema();
    if batches.iter().any(|batch| batch.schema() != first) {
        return Err("batches have different schemas".to_owned());
    }
    let rows = super::rows_of(&batches)?;
    let mut numbers: Vec<u32> = rows.iter().filter_map(|row| row.parse().ok()).collect();
    numbers.sort_unstable();
    match numbers.into_iter().eq(0..100_000) {
        true => Ok(()),
        false => Err(format!(
            "{} rows, expected each number below 100000 once",
            rows.len()
        )),
    }
}

fn by_position(on: &Contract) -> Outcome {
    let sql = on.with_parameters("SELECT ?INTEGER? - ?INTEGER? AS n");
    on.expect(&sql, &Params::positional([7, 5]), &["2"])?;
    // ten and more: ordered by number, not as text
    let sum: Vec<_> = (1..=11).map(|at| format!("?INTEGER? * {at}")).collect();
    let sql = on.with_parameters(&format!("SELECT {} AS n", sum.join(" + ")));
    on.expect(&sql, &Params::positional(1..=11), &["506"])
}

fn values(on: &Contract) -> Outcome {
    let cases: [(&str, Value, &str); 8] = [
        ("INTEGER", Value::Int32(-5), "-5"),
        (
            "BIGINT",
            Value::Int64(9_007_199_254_740_993),
            "9007199254740993",
        ),
        ("DOUBLE PRECISION", Value::Double(0.1), "0.1"),
        ("BOOLEAN", Value::Bool(true), "true"),
        ("VARCHAR", Value::Text("Zürich".to_owned()), "Zürich"),
        ("DATE", Value::Date(19_782), "2024-02-29"),
        (
            "TIMESTAMP",
            Value::Timestamp(1_000_000),
            "1970-01-01T00:00:01",
        ),
        (
            "DECIMAL(10, 2)",
            Value::Decimal {
                unscaled: 1230,
                scale: 2,
            },
            "12.30",
        ),
    ];
    for (kind, value, expected) in cases {
        let sql = on.with_parameters(&format!("SELECT ?{kind}? AS c"));
        on.expect(&sql, &Params::positional([value]), &[expected])?;
    }
    Ok(())
}

fn not_sql(on: &Contract) -> Outcome {
    let sql = on.with_parameters("SELECT ?VARCHAR? AS c");
    for text in ["O'Hare", "'; SELECT 1 --", "\\' OR 1=1", "$1 ? :a", ""] {
        on.expect(&sql, &Params::positional([text]), &[text])?;
    }
    Ok(())
}

fn null_parameter(on: &Contract) -> Outcome {
    let sql = on.with_parameters("SELECT ?VARCHAR? AS c, ?INTEGER? AS n");
    on.expect(
        &sql,
        &Params::positional([Value::Null, Value::Int32(1)]),
        &["NULL|1"],
    )
}

fn fails(on: &Contract, sql: &str, params: &Params, word: &str) -> Outcome {
    match on.ask(sql, params) {
        Ok(_) => Err(format!("{sql}: expected an error")),
        Err(error) if error.to_string().contains(word) && !error.to_string().is_empty() => {
            on.expect("SELECT 1 AS n", &Params::new(), &["1"])
        }
        Err(error) => Err(format!(
            "{sql}: the error does not contain {word:?}: {error}"
        )),
    }
}

fn missing(on: &Contract) -> Outcome {
    let sql = on.with_parameters("SELECT ?INTEGER? + ?INTEGER? AS n");
    fails(on, &sql, &Params::positional([1]), "")
}

fn surplus(on: &Contract) -> Outcome {
    let sql = on.with_parameters("SELECT ?INTEGER? AS n");
    fails(on, &sql, &Params::positional([1, 2]), "")
}

fn syntax(on: &Contract) -> Outcome {
    fails(on, "SELECT 1 +", &Params::new(), "")?;
    fails(on, "SELECT (((", &Params::new(), "")
}

fn unknown_table(on: &Contract) -> Outcome {
    fails(
        on,
        "SELECT * FROM no_such_table_here",
        &Params::new(),
        "no_such_table_here",
    )
}

fn row_error(on: &Contract) -> Outcome {
    let sql = "SELECT CAST(s AS INTEGER) AS n FROM (VALUES ('1'), ('2'), ('x')) AS t(s)";
    fails(on, sql, &Params::new(), "")
}

fn writes(on: &Contract) -> Outcome {
    for sql in [
        "INSERT INTO t VALUES (1)",
        "DELETE FROM t",
        "UPDATE t SET a = 1",
        "DROP TABLE t",
        "CREATE TABLE t (a INTEGER)",
    ] {
        if on.engine.check(sql).is_ok() {
            return Err(format!("{sql}: accepted as a query"));
        }
    }
    on.engine
        .check("SELECT 1 AS n")
        .map_err(|error| error.to_string())
}
