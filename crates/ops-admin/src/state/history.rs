use serde::Serialize;

use crate::Admin;
use crate::history::Question;

/// State of the history.
#[derive(Debug, Serialize)]
pub(super) struct Part {
    directory: String,
    run: u64,
    /// An engine for statements is available.
    has_engine: bool,
    /// SQL of users is answered: there is a token.
    takes_sql: bool,
    questions: Vec<Question>,
}

pub(super) fn collect(admin: &Admin) -> Option<Part> {
    let history = admin.history_shown()?;
    Some(Part {
        directory: history.directory().to_owned(),
        run: history.run(),
        has_engine: history.has_engine(),
        takes_sql: history.has_engine() && admin.token_check().is_some(),
        questions: history.questions().to_vec(),
    })
}
