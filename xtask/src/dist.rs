//! `cargo xtask dist`: builds an archive with everything a machine needs to run the platform.

mod archive;
mod image;
mod licenses;
pub(crate) mod root;
mod trial;

use crate::metadata::Metadata;
use crate::tools::LIBDUCKDB;
use crate::workspace::{self, target_dir};
use crate::{Result, command, setup};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

const PACKAGE: &str = "kearney-platform";
const ENGINE: &str = "libduckdb.so";
/// Files of the checkout and their places in the archive.
const FILES: [(&str, &str); 4] = [
    ("configs", "configs"),
    ("LICENSE-APACHE", "licenses/LICENSE-APACHE"),
    ("LICENSE-MIT", "licenses/LICENSE-MIT"),
    ("crates/kearney-platform/README.md", "README.md"),
];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder for the unpacked files and the archive [default: dist in the target folder]
    #[arg(long)]
    to: Option<PathBuf>,
    /// Pack this program, which was built with KEARNEY_RPATH='$ORIGIN', instead of building one
    #[arg(long)]
    program: Option<PathBuf>,
    /// Run the archive as the Dockerfile specifies, in a separate root folder (needs root), and check the unit and the manifest
    #[arg(long)]
    trial: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if !setup::duckdb_is_installed() {
        return Err(setup::missing_duckdb_message(&[]));
    }
    let metadata = Metadata::read()?;
    let version = version(&metadata)?;
    let name = format!(
        "{PACKAGE}-{version}-{}-{}",
        std::env::consts::ARCH,
        std::env::consts::OS
    );
    let to = match &args.to {
        Some(to) => workspace::root().join(to),
        None => target_dir().join("dist"),
    };
    let folder = to.join(&name);
    clear(&folder)?;
    let program = match &args.program {
        Some(program) => workspace::root().join(program),
        None => build()?,
    };
    fill(&folder, &program, &metadata)?;
    start(&folder)?;
    archive::write_checksums(&folder)?;
    let archive = to.join(format!("{name}.tar.gz"));
    archive::pack(&folder, &name, &archive)?;
    println!("dist: {}", folder.display());
    println!("dist: {}", archive.display());
    if args.trial {
        trial::run(&archive, &name)?;
    }
    Ok(())
}

fn version(metadata: &Metadata) -> Result<String> {
    let crates = metadata.crates();
    let platform = crates.iter().find(|package| package.name == PACKAGE);
    platform
        .map(|package| package.version.clone())
        .ok_or_else(|| format!("no package {PACKAGE}"))
}

/// Builds a program that looks for libduckdb in its own directory.
fn build() -> Result<PathBuf> {
    let mut cargo = command::cargo(["build", "--release", "--locked", "--package", PACKAGE]);
    command::run(cargo.env("KEARNEY_RPATH", "$ORIGIN"))?;
    Ok(target_dir().join("release").join(PACKAGE))
}

fn fill(folder: &Path, program: &Path, metadata: &Metadata) -> Result<()> {
    copy(program, &folder.join(PACKAGE))?;
    copy(&engine()?, &folder.join(ENGINE))?;
    for (from, to) in FILES {
        copy(&workspace::root().join(from), &folder.join(to))?;
    }
    if let Some(duckdb) = setup::folder_of(LIBDUCKDB) {
        copy(
            &duckdb.join("LICENSE"),
            &folder.join("licenses/LICENSE-duckdb"),
        )?;
    }
    let third_party = folder.join("licenses/THIRD-PARTY.txt");
    fs::write(&third_party, licenses::collect(metadata, PACKAGE)?)
        .map_err(|e| format!("cannot write {}: {e}", third_party.display()))
}

/// Returns the library that the program was linked with.
fn engine() -> Result<PathBuf> {
    let pointed_at = std::env::var_os("DUCKDB_LIB_DIR").map(|dir| workspace::root().join(dir));
    let folders = pointed_at.into_iter().chain(setup::folder_of(LIBDUCKDB));
    let mut files = folders.map(|folder| folder.join(ENGINE));
    files
        .find(|file| file.exists())
        .ok_or_else(|| setup::missing_duckdb_message(&[]))
}

/// Starts the program without this environment: it has to find libduckdb in its own directory.
fn start(folder: &Path) -> Result<()> {
    let mut program = command::program(folder.join(PACKAGE));
    program.arg("--version").env_clear().stdout(Stdio::null());
    command::run(&mut program)?;
    let text = fs::read(folder.join(PACKAGE)).map_err(|e| format!("cannot read {PACKAGE}: {e}"))?;
    let rpath = b"\0$ORIGIN\0";
    if text.windows(rpath.len()).any(|bytes| bytes == rpath) {
        return Ok(());
    }
    Err(format!(
        "{PACKAGE} does not look for {ENGINE} in its own folder"
    ))
}

/// Copies a file, or a folder recursively.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let failed =
        |e: std::io::Error| format!("cannot copy {} to {}: {e}", from.display(), to.display());
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    if !from.is_dir() {
        return fs::copy(from, to).map(drop).map_err(failed);
    }
    for entry in fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

fn clear(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("cannot remove {}: {e}", folder.display()))
        }
        _ => Ok(()),
    }
}
