//! Tables of a run as text: printed, and copied to the documentation, where they must not be edited by hand.

use super::page::{figure, plain};
use super::results::{Results, Row};
use crate::{Result, setup, workspace};
use std::fmt::Write as _;

pub(crate) const DOCUMENT: &str = "docs/perf_strategy.md";
const BEGIN: &str = "<!-- from here on: written by `cargo xtask perf` -->\n";
/// Beginning of the line after the tables, which contains the digest of the tables.
const END: &str = "<!-- end of what `cargo xtask perf` wrote, ";

/// Returns the tables of a run; slower comparisons and missed goals come first.
pub(super) fn of(run: &Results) -> String {
    let mut text = String::new();
    let changed = if run.is_changed { ", with changes" } else { "" };
    let _ = writeln!(text, "Commit {}{changed}, on {}.", run.commit, run.machine);
    section(&mut text, "Where the other way is quicker", run.behind());
    section(&mut text, "Goals that are missed", run.missed());
    section(&mut text, "All figures", run.rows());
    text
}

fn section<'a>(text: &mut String, title: &str, rows: impl Iterator<Item = (&'a str, &'a Row)>) {
    let _ = writeln!(text, "\n### {title}\n");
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        let _ = writeln!(text, "None.");
        return;
    }
    let _ = writeln!(
        text,
        "| part | what | figure | beside | ratio | goal |\n|---|---|---:|---|---:|---:|"
    );
    for (part, row) in rows {
        let beside = row.beside.as_ref();
        let beside = beside.map(|(name, value)| format!("{name} {}", figure(*value, &row.unit)));
        let sign = if row.is_at_least { '≥' } else { '≤' };
        let _ = writeln!(
            text,
            "| {part} | {} | {} | {} | {} | {} |",
            row.what,
            figure(row.value, &row.unit),
            beside.unwrap_or_default(),
            row.ratio
                .map(|ratio| format!("{ratio:.3}"))
                .unwrap_or_default(),
            row.goal
                .map(|goal| format!("{sign} {}", plain(goal)))
                .unwrap_or_default()
        );
    }
}

/// Replaces the tables in the documentation.
pub(super) fn into_docs(run: &Results) -> Result<()> {
    let path = workspace::root().join(DOCUMENT);
    let text =
        std::fs::read_to_string(&path).map_err(|e| format!("cannot read {DOCUMENT}: {e}"))?;
    let tables = of(run);
    let marked = format!("{BEGIN}{tables}{}", end(&tables));
    let text = match split(&text) {
        Some((before, _, after)) => format!("{before}{marked}{after}"),
        None => format!("{}\n\n## The last full run\n\n{marked}", text.trim_end()),
    };
    super::results::write(&path, &text)
}

fn end(tables: &str) -> String {
    let digest = setup::sha256(tables.as_bytes());
    format!("{END}{digest:.16} -->\n")
}

/// Splits a document into the text before the tables, the tables, and the text after them.
fn split(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (tables, rest) = rest.split_once(END)?;
    let after = rest.split_once('\n').map_or("", |(_, after)| after);
    Some((before, tables, after))
}

/// Finds tables in the documentation that differ from what a run wrote.
pub(crate) fn findings(document: &str) -> Vec<String> {
    let found = match (document.contains(BEGIN.trim_end()), split(document)) {
        (false, _) => return Vec::new(),
        (true, None) => "has a changed line at its beginning or end".to_owned(),
        (true, Some((_, tables, _))) if document.contains(&format!("{tables}{}", end(tables))) => {
            return Vec::new();
        }
        (true, Some(_)) => "was changed by hand: run `cargo xtask perf`".to_owned(),
    };
    vec![format!("the table of the last run {found}")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_that_were_changed_by_hand_are_found() {
        let tables = "| api | 95th percentile | 7.00 ms |\n";
        let document = format!("# Title\n\n{BEGIN}{tables}{}\nmore\n", end(tables));
        assert_eq!(findings(&document), [""; 0]);
        assert_eq!(split(&document).unwrap().1, tables);
        assert_eq!(findings(&document.replace("7.00", "6.00")).len(), 1);
        assert_eq!(findings(&document.replace("end of what", "end")).len(), 1);
        assert_eq!(findings("# no tables"), [""; 0]);
    }
}
