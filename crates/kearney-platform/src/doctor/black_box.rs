//! Reads the black box of a platform that is not running, to find out how its run ended.

use std::io;
use std::path::Path;

use ops_layer::black_box::{Config, EndingKind, Error, read_here};

use super::answers::Answers;
use super::found::{Found, Severity};
use super::options::Doctor;

const RUNBOOK: &str = "last-run-crashed";

pub(super) fn ask(options: &Doctor) -> Answers {
    let mut answers = Answers::default();
    if let Some(path) = options.black_box.as_deref()
        && path != Path::new("off")
    {
        look(&mut answers, path);
    }
    answers
}

fn look(answers: &mut Answers, path: &Path) {
    let path = Config::new(path, "kearney-platform-api").file();
    let shown = path.display().to_string();
    let tried = format!("read {shown}");
    match read_here(&path) {
        Ok(reading) => {
            let ending = &reading.ending;
            answers.note(
                "black box",
                tried,
                format!("{}: {}", ending.kind, ending.how),
            );
            if !ending.is_clean() {
                answers.find([crashed(&reading.service, ending.kind, &ending.how, &shown)]);
            }
        }
        Err(error) if is_absent(&error) => {
            answers.note("black box", tried, "no such file");
        }
        Err(error) => {
            let why = crate::error::chain(&error);
            answers.note("black box", tried, why.clone());
            answers.find([Found::new("black_box_unreadable", Severity::Warning)
                .seen(why)
                .means("How the last run ended is unknown, and a start does not replace the file.")
                .action("Move the file away, or set another path with OPS_BLACK_BOX.")
                .runbook(RUNBOOK)]);
        }
    }
}

fn crashed(service: &str, kind: EndingKind, how: &str, file: &str) -> Found {
    Found::new("last_run_crashed", Severity::Warning)
        .seen(format!("the last run of {service} ended ({kind}): {how}"))
        .means("Requests in flight were aborted, and unwritten data is lost.")
        .action(format!(
            "Read its last seconds: kearney-platform black-box {file}"
        ))
        .runbook(RUNBOOK)
}

fn is_absent(error: &Error) -> bool {
    let cause = std::error::Error::source(error);
    let cause = cause.and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::NotFound)
}
