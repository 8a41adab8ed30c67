//! Questions to the history: its named ones, and SQL of users with a token.

mod answer;

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{Extensions, StatusCode, Uri};
use serde::{Deserialize, Serialize};

use crate::actions::Change;
use crate::audit::{AuditedRequest, redacted_excerpt};
use crate::conditions::Conditions;
use crate::history::{TIME_MAX, Turn, Unanswered};
use crate::text::{printable, redacted};
use crate::{Admin, Ask, History, Rows, Statement};
use answer::Answer;

/// Maximum number of rows in the result of a statement; further ones are left out, which the response shows.
const ROWS_MAX: usize = 1000;
/// Maximum number of rows in the result of a named question: a day has 1440 minutes.
const NAMED_ROWS_MAX: usize = 2000;
/// Time to write pending records to files before a question is answered.
const FLUSH_TIME: Duration = Duration::from_secs(5);

/// Request to write pending records to files.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FlushNow {}

/// Place of the files, once they include what was offered.
#[derive(Debug, Serialize)]
struct Flushed {
    directory: String,
    run: u64,
    /// `false` if writing timed out.
    written: bool,
}

/// `POST /api/history/flush`: writes pending records to files, so that their readers find everything up to now.
pub(crate) async fn flush(
    State(admin): State<Admin>,
    Change(FlushNow {}): Change<FlushNow>,
) -> Response {
    let Some(history) = admin.history_shown().cloned() else {
        return no_history();
    };
    let flushing = history.clone();
    let written = tokio::task::spawn_blocking(move || flushing.flush(FLUSH_TIME)).await;
    let written = written.unwrap_or(false);
    // writing may have changed the number of the run
    let (directory, run) = (history.directory().to_owned(), history.run());
    Json(Flushed {
        directory,
        run,
        written,
    })
    .into_response()
}

/// `GET /api/history/{name}?argument=`: answers one of the named questions.
pub(crate) async fn named(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    uri: Uri,
) -> Response {
    let Some(history) = admin.history_shown().cloned() else {
        return no_history();
    };
    let argument = match Conditions::read(&uri, &["argument"]) {
        Ok(conditions) => conditions.text("argument"),
        Err(refused) => return refused.into_response(),
    };
    if !history.questions().iter().any(|known| known.name == name) {
        let names: Vec<_> = history.questions().iter().map(|known| known.name).collect();
        let known = format!("unknown query, expected one of: {}\n", names.join(", "));
        return (StatusCode::NOT_FOUND, known).into_response();
    }
    let answered = ask(history, move |turn| {
        let (name, argument) = (name.as_str(), argument.as_deref());
        turn.ask(Ask {
            statement: Statement::Named { name, argument },
            rows: NAMED_ROWS_MAX,
            time: TIME_MAX,
        })
    });
    match answered.await {
        Ok((rows, current)) => Json(Answer::new(rows, current)).into_response(),
        Err(unanswered) => unanswered.into_response(),
    }
}

/// Request to answer a statement.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Question {
    sql: String,
    /// Maximum number of rows in the result; [`ROWS_MAX`] unless lower.
    limit: Option<usize>,
    /// Person who asks; the admin page has no accounts.
    who: Option<String>,
}

/// `POST /api/sql`: answers one SELECT over the history, only with a token. The statement and its outcome are logged.
pub(crate) async fn sql(
    State(admin): State<Admin>,
    extensions: Extensions,
    Change(statement): Change<Question>,
) -> Response {
    let Some(history) = admin.history_shown().cloned() else {
        return no_history();
    };
    if admin.token_check().is_none() {
        return (StatusCode::FORBIDDEN, NO_TOKEN).into_response();
    }
    let audited = AuditedRequest::without_reason(&extensions, statement.who.as_deref(), "");
    let shown = redacted_excerpt(&statement.sql);
    let rows = statement.limit.unwrap_or(ROWS_MAX).min(ROWS_MAX);
    let answered = ask(history, move |turn| {
        turn.ask(Ask {
            statement: Statement::Sql(&statement.sql),
            rows,
            time: TIME_MAX,
        })
    });
    match answered.await {
        Ok((rows, current)) => {
            let done = format!("{} rows in {:.2} s", rows.rows.len(), rows.seconds);
            audited.report("sql", &shown, &done);
            Json(Answer::new(rows, current)).into_response()
        }
        Err(unanswered) => {
            audited.report("sql", &shown, &redacted_excerpt(unanswered.why()));
            unanswered.into_response()
        }
    }
}

/// Writes pending records to files, then asks, on a thread that may block.
/// Returns the rows, and whether they include everything up to now.
async fn ask(
    history: History,
    question: impl FnOnce(&Turn) -> Result<Rows, Unanswered> + Send + 'static,
) -> Result<(Rows, bool), Unanswered> {
    let turn = history.take_turn().await?;
    let work = move || {
        let current = history.flush(FLUSH_TIME);
        Ok((question(&turn)?, current))
    };
    let worked = tokio::task::spawn_blocking(work).await;
    worked.unwrap_or_else(|error| Err(Unanswered::Refused(error.to_string())))
}

const NO_TOKEN: &str =
    "SQL requires a token: set OPS_ADMIN_TOKEN, or Admin::token; named queries need none\n";

fn no_history() -> Response {
    let why = "no history is configured: set OPS_HISTORY_DIR, or Admin::history\n";
    (StatusCode::NOT_FOUND, why).into_response()
}

impl Unanswered {
    fn why(&self) -> &str {
        match self {
            Self::NoEngine => {
                "this program has no SQL engine (feature duckdb of ops-layer); read the files with kearney-platform sql or any Parquet reader"
            }
            Self::Busy => {
                "another query is running; one runs at a time, and this one waited for 10 s"
            }
            Self::Refused(why) => why,
        }
    }
}

impl IntoResponse for Unanswered {
    fn into_response(self) -> Response {
        let status = match self {
            Self::NoEngine => StatusCode::NOT_IMPLEMENTED,
            Self::Busy => StatusCode::CONFLICT,
            Self::Refused(_) => StatusCode::BAD_REQUEST,
        };
        let why = redacted(self.why());
        let lines: Vec<_> = why.lines().map(printable).collect();
        (status, lines.join("\n") + "\n").into_response()
    }
}
