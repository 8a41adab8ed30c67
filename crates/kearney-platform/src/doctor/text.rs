//! Text output of the diagnosis.

use std::fmt::Write;
use std::io::IsTerminal;

use super::answers::Diagnosis;
use super::found::{Found, Severity};

pub(super) fn render(diagnosis: &Diagnosis) -> String {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_colored = !set("NO_COLOR") && std::io::stdout().is_terminal();
    let mut text = String::new();
    for tried in &diagnosis.tried {
        let (mark, color) = if tried.ok {
            ("ok ", "32")
        } else {
            ("!! ", "33")
        };
        let mark = paint(mark, color, is_colored);
        let _ = writeln!(
            text,
            "{mark} {:<9} {}: {}",
            tried.probe,
            tried.tried,
            one_line(&tried.answer)
        );
    }
    let _ = writeln!(text);
    if diagnosis.findings.is_empty() {
        let _ = writeln!(text, "{}", paint("no findings", "32", is_colored));
    }
    for finding in &diagnosis.findings {
        one(&mut text, finding, is_colored);
    }
    let seconds = diagnosis.took_ms as f64 / 1000.0;
    let count = diagnosis.findings.len();
    let noun = if count == 1 { "finding" } else { "findings" };
    let _ = writeln!(text, "{count} {noun} in {seconds:.1} s");
    text
}

fn one(text: &mut String, finding: &Found, is_colored: bool) {
    let (name, color) = match finding.severity {
        Severity::Critical => ("CRITICAL", "1;31"),
        Severity::Warning => ("WARNING ", "1;33"),
        Severity::Info => ("INFO    ", "36"),
    };
    let indent = if finding.explained_by.is_some() {
        "  "
    } else {
        ""
    };
    let because = finding.explained_by.as_ref();
    let because = because.map_or_else(String::new, |cause| format!("  (because of {cause})"));
    let _ = writeln!(
        text,
        "{indent}{} {}{because}",
        paint(name, color, is_colored),
        finding.id
    );
    let rows = [
        ("seen", Some(&finding.seen)),
        ("means", Some(&finding.means)),
        ("do", Some(&finding.action)),
        ("tried", Some(&finding.tried)),
        ("answer", Some(&finding.answer)),
        ("runbook", finding.runbook.as_ref()),
    ];
    for (label, value) in rows {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            let _ = writeln!(text, "{indent}  {label:<8} {}", one_line(value));
        }
    }
    let _ = writeln!(text);
}

/// Replaces control characters, so that texts of other programs cannot move the cursor.
fn one_line(text: &str) -> String {
    let shown = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    shown.collect()
}

fn paint(text: &str, color: &str, is_colored: bool) -> String {
    match is_colored {
        true => format!("\u{1b}[{color}m{text}\u{1b}[0m"),
        false => text.to_owned(),
    }
}
