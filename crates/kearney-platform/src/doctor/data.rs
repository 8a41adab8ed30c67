//! Checks what the platform writes to: data directory, lock, log file, and free disk space.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use ops_layer::log::Level;
use ops_layer::log::reader::StoredLine;

use super::answers::Answers;
use super::found::{Found, Severity};
use super::options::Doctor;
use crate::files;

/// Outcome for a lock that is held by a platform.
pub(super) const LOCK_IS_HELD: &str = "held: a platform serves from it";
/// Outcome for a lock that is free.
pub(super) const LOCK_IS_FREE: &str = "free: no platform serves from it";
/// Outcome for a named directory without a lock.
pub(super) const LOCK_IS_ABSENT: &str = "absent: no platform has served from it";
/// Outcome for a named directory that does not exist.
pub(super) const DIR_IS_ABSENT: &str = "absent: the data directory does not exist";
/// Bytes at the end of the log that are searched for the last error.
const LOG_TAIL_BYTES: u64 = 64 * 1024;

pub(super) fn ask(options: &Doctor) -> Answers {
    let mut answers = Answers::default();
    dir(&mut answers, options.data_dir());
    lock(&mut answers, options);
    let disk = ops_layer::diagnose_disk(options.data_dir());
    let shown = options.data_dir().display().to_string();
    let message = free_space(options.data_dir(), &disk);
    answers.note("data", format!("free space of {shown}"), message);
    answers.find(disk.into_iter().map(Found::from));
    if let Some(log_file) = options.log_file.path() {
        log(&mut answers, log_file);
        answers.last_error = last_error(log_file);
        let folder = log_file
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let disk = ops_layer::diagnose_disk(folder);
        answers.note(
            "data",
            format!("free space of {}", folder.display()),
            free_space(folder, &disk),
        );
        answers.find(disk.into_iter().map(Found::from));
    }
    answers
}

fn free_space(dir: &Path, findings: &[ops_layer::Finding]) -> String {
    // free space of a missing directory is that of its nearest existing parent
    let there = std::path::absolute(dir);
    let there = there.as_deref().unwrap_or(dir).ancestors();
    let read = there
        .filter(|dir| dir.exists())
        .map(rustix::fs::statvfs)
        .next();
    match (findings.first(), read) {
        (Some(finding), _) => finding.seen.clone(),
        (None, Some(Ok(_))) => "sufficient".to_owned(),
        (None, Some(Err(why))) => format!("cannot be read: {why}"),
        (None, None) => "cannot be read".to_owned(),
    }
}

/// Creates a file with a unique name and removes it.
fn dir(answers: &mut Answers, dir: &Path) {
    let draft = dir.join(format!(".doctor-{}", std::process::id()));
    let written = OpenOptions::new().write(true).create_new(true).open(&draft);
    let written = written.and_then(|mut file| io::Write::write_all(&mut file, b"doctor"));
    // exists only if it could be created
    let _ = std::fs::remove_file(&draft);
    let shown = dir.display();
    let tried = format!("write a file in {shown}");
    match written {
        Ok(()) => answers.note("data", tried, "written and removed"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            answers.note("data", tried, "no such directory");
            answers.blame();
            answers.find([Found::new("data_dir_missing", Severity::Info)
                .seen(format!("{shown} does not exist"))
                .means("The platform creates it at its first start; an existing one is elsewhere.")
                .action("Set the right one with --data-dir or KEARNEY_DATA_DIR.")]);
        }
        Err(error) => {
            answers.note("data", tried, error.to_string());
            let finding = Found::new("data_dir_not_writable", Severity::Critical)
                .seen(format!("{shown}: {error}"))
                .means("Registry, warehouse and cache cannot be written.")
                .action(
                    "Make the directory writable for this user, or run the doctor as the platform's user.",
                );
            let finding = match error.kind() {
                io::ErrorKind::StorageFull => finding.explained_by("disk_full"),
                _ => finding,
            };
            answers.find([finding.runbook("disk-full")]);
        }
    }
}

fn lock(answers: &mut Answers, options: &Doctor) {
    let path = options.data_dir().join(".lock");
    let read = match File::open(&path) {
        // without a named directory, the command may run anywhere
        Err(error)
            if error.kind() == io::ErrorKind::NotFound && options.named_data_dir.is_some() =>
        {
            match options.data_dir().exists() {
                true => Ok(LOCK_IS_ABSENT),
                false => Err(DIR_IS_ABSENT.to_owned()),
            }
        }
        Err(error) => Err(error.to_string()),
        Ok(file) => match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Ok(LOCK_IS_HELD),
            Err(TryLockError::Error(error)) => Err(error.to_string()),
            Ok(()) => Ok(LOCK_IS_FREE),
        },
    };
    let is_read = read.is_ok();
    let answer = read.map_or_else(|why| why, str::to_owned);
    answers.note("data", format!("lock {}", path.display()), answer);
    if !is_read {
        answers.blame();
    }
}

/// Returns the last line of level `error` or above in the tail of the log, formatted for reading.
fn last_error(path: &Path) -> Option<String> {
    let mut file = files::open_regular(path).ok()?;
    let start = file.metadata().ok()?.len().saturating_sub(LOG_TAIL_BYTES);
    file.seek(SeekFrom::Start(start)).ok()?;
    let mut end = Vec::new();
    file.take(LOG_TAIL_BYTES).read_to_end(&mut end).ok()?;
    let end = String::from_utf8_lossy(&end);
    let mut lines = end.lines().rev();
    lines.find_map(|line| {
        let line = StoredLine::parse(line).ok()?;
        let is_error = line.level().is_some_and(|level| level >= Level::Error);
        is_error.then(|| line.to_string())
    })
}

/// Opens the log file for appending, and writes nothing.
fn log(answers: &mut Answers, path: &Path) {
    let tried = format!("open {} for appending", path.display());
    let found = path.metadata();
    match OpenOptions::new().append(true).open(path) {
        Ok(_) => {
            let bytes = found.map_or(0, |found| found.len());
            answers.note("data", tried, format!("opened, {bytes} bytes"));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            answers.note("data", tried, "does not exist yet");
        }
        Err(error) => {
            answers.note("data", tried, error.to_string());
            answers.find([Found::new("log_file_not_writable", Severity::Critical)
                .seen(format!("{}: {error}", path.display()))
                .means("Log lines are on the terminal and the admin page only.")
                .action(
                    "Make it writable for this user; a running platform reopens it automatically.",
                )
                .runbook("log-lines-missing")]);
        }
    }
}
