//! Support bundle: one archive with an index page, written atomically and readable only by this user.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use super::answers::Diagnosis;
use super::options::Doctor;
use super::{settings, text};
use crate::configs::open_secrets;
use crate::error::chain;
use crate::files;
use crate::output::redacted;

/// Maximum bytes of the log's tail.
const LOG_BYTES: u64 = 1 << 20;

pub(super) fn write(
    path: &Path,
    options: &Doctor,
    diagnosis: &Diagnosis,
    state: Option<&Value>,
    metrics: Option<&str>,
) -> io::Result<()> {
    // a device, pipe or link would be replaced rather than written to
    if std::fs::symlink_metadata(path).is_ok_and(|there| !there.is_file()) {
        let message = "exists and is not a regular file; choose another path";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
    }
    let draft = path.with_file_name(format!(
        "{}.{}.part",
        path.file_name().unwrap_or_default().to_string_lossy(),
        uuid::Uuid::now_v7().simple()
    ));
    let written = create(&draft).and_then(|file| {
        fill(&file, options, diagnosis, state, metrics)?;
        file.sync_all()?;
        std::fs::rename(&draft, path)
    });
    if written.is_err() {
        // if this fails too, the name of the draft shows that it is not a complete archive
        let _ = std::fs::remove_file(&draft);
    }
    written
}

fn create(draft: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(draft)
}

/// Name, description and text of each file.
type Part = (&'static str, &'static str, String);

fn fill(
    file: &File,
    options: &Doctor,
    diagnosis: &Diagnosis,
    state: Option<&Value>,
    metrics: Option<&str>,
) -> io::Result<()> {
    let report = open_secrets(options.config_dir.as_deref()).map(|secrets| secrets.report());
    let parts: Vec<Part> = vec![
        (
            "findings.txt",
            "Findings, causes first",
            text::render(diagnosis),
        ),
        (
            "findings.json",
            "The same findings as JSON",
            json(diagnosis),
        ),
        (
            "versions.txt",
            "Versions of this command and of the running platform",
            versions(metrics),
        ),
        (
            "settings.txt",
            "Settings and their sources, without secrets",
            settings::text(options),
        ),
        (
            "secrets.json",
            "Source and problems of each secret, without values",
            report.map_or_else(|error| chain(&error), |report| json(&report)),
        ),
        (
            "state.json",
            "The running platform: recent log lines and traces, cache, secrets, sparklines",
            state.map_or_else(|| "not available\n".to_owned(), json),
        ),
        (
            "metrics.txt",
            "All metrics",
            metrics.unwrap_or("not available\n").to_owned(),
        ),
        (
            "log.jsonl",
            "End of the log file",
            options.log_file.path().map_or_else(String::new, log),
        ),
        (
            "data.txt",
            "Files of the data directory and their sizes",
            listing(options.data_dir()),
        ),
    ];
    let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::default()));
    add(&mut archive, "index.html", &index(&parts, diagnosis))?;
    for (name, _, text) in parts {
        add(&mut archive, name, &redacted(text))?;
    }
    archive.into_inner()?.finish()?.flush()
}

fn add(archive: &mut tar::Builder<impl Write>, name: &str, text: &str) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o600);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    header.set_mtime(now.map_or(0, |now| now.as_secs()));
    archive.append_data(&mut header, format!("doctor/{name}"), text.as_bytes())
}

fn versions(metrics: Option<&str>) -> String {
    let running =
        metrics.and_then(|text| text.lines().find(|line| line.starts_with("build_info{")));
    format!(
        "doctor: {} {} {}\nplatform: {}\nsystem: {} {}\n",
        env!("CARGO_PKG_VERSION"),
        env!("KEARNEY_GIT_SHA"),
        env!("KEARNEY_RUSTC"),
        running.unwrap_or("not available"),
        std::env::consts::OS,
        std::env::consts::ARCH,
    )
}

/// Returns the last MiB of the log, from the start of a line. Lines were redacted when they were written.
fn log(path: &Path) -> String {
    let read = || -> io::Result<String> {
        let mut file = files::open_regular(path)?;
        let length = file.metadata()?.len();
        let start = length.saturating_sub(LOG_BYTES);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(LOG_BYTES).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(match (start, text.split_once('\n')) {
            (1.., Some((_, whole))) => whole.to_owned(),
            _ => text,
        })
    };
    read().unwrap_or_else(|error| format!("{}: {error}\n", path.display()))
}

/// Returns names and sizes of at most 1000 entries, two levels deep.
fn listing(dir: &Path) -> String {
    let mut text = String::new();
    let mut folders = vec![(dir.to_owned(), 0)];
    let mut rows = 0;
    while let Some((folder, depth)) = folders.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) => {
                let _ = writeln!(text, "{}: {error}", folder.display());
                continue;
            }
        };
        for entry in entries.flatten() {
            let Ok(metadata) = entry.metadata() else {
                continue; // removed meanwhile
            };
            rows += 1;
            if rows > 1000 {
                text += "and more\n";
                return text;
            }
            let _ = writeln!(text, "{:>12} {}", metadata.len(), entry.path().display());
            if metadata.is_dir() && depth < 2 {
                folders.push((entry.path(), depth + 1));
            }
        }
    }
    text
}

fn index(parts: &[Part], diagnosis: &Diagnosis) -> String {
    let mut page = String::from(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>doctor</title>\n<h1>Findings</h1>\n<ol>\n",
    );
    for finding in &diagnosis.findings {
        let because = finding.explained_by.as_ref();
        let because = because.map_or_else(String::new, |cause| format!(" (because of {cause})"));
        let _ = writeln!(
            page,
            "<li><b>{}</b>{}: {}<br>{}</li>",
            escaped(&finding.id),
            escaped(&because),
            escaped(&finding.seen),
            escaped(&finding.action)
        );
    }
    page += "</ol>\n<h1>Files</h1>\n<ul>\n";
    for (name, meaning, text) in parts {
        let _ = writeln!(
            page,
            "<li><a href=\"{name}\">{name}</a>: {meaning} ({} bytes)</li>",
            text.len()
        );
    }
    page += "</ul>\n</html>\n";
    redacted(page)
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|error| error.to_string())
}
