//! Packs a folder reproducibly: the same files result in the same archive.

use crate::{Result, command, setup, workspace};
use flate2::read::GzDecoder;
use flate2::{Compression, GzBuilder};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

const CHECKSUMS: &str = "SHA256SUMS";

/// Writes a list for `sha256sum --check SHA256SUMS`.
pub(super) fn write_checksums(folder: &Path) -> Result<()> {
    let mut list = String::new();
    for file in workspace::files(folder)? {
        let digest = sha256(&folder.join(&file))?;
        list += &format!("{digest}  {}\n", file.display());
    }
    let path = folder.join(CHECKSUMS);
    fs::write(&path, list).map_err(|e| format!("cannot write {}: {e}", path.display()))
}

/// Packs the files of a folder under this name, and writes the checksum of the archive to a file beside it.
pub(super) fn pack(folder: &Path, name: &str, archive: &Path) -> Result<()> {
    let failed = |e: std::io::Error| format!("cannot write {}: {e}", archive.display());
    let gz = GzBuilder::new().mtime(0).write(
        File::create(archive).map_err(failed)?,
        Compression::default(),
    );
    let mut tar = tar::Builder::new(gz);
    let time = time_of_sources();
    for file in workspace::files(folder)? {
        let path = folder.join(&file);
        let bytes = fs::read(&path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mtime(time);
        header.set_mode(if is_program(&path) { 0o755 } else { 0o644 });
        tar.append_data(&mut header, Path::new(name).join(&file), bytes.as_slice())
            .map_err(failed)?;
    }
    let written = tar.into_inner().and_then(|gz| gz.finish());
    written.and_then(|mut file| file.flush()).map_err(failed)?;
    let file_name = archive.file_name().unwrap_or_default().to_string_lossy();
    let beside = PathBuf::from(format!("{}.sha256", archive.display()));
    let line = format!("{}  {file_name}\n", sha256(archive)?);
    fs::write(&beside, line).map_err(|e| format!("cannot write {}: {e}", beside.display()))
}

/// Compares an archive with its checksum file.
pub(super) fn verify(archive: &Path) -> Result<()> {
    let beside = PathBuf::from(format!("{}.sha256", archive.display()));
    let list = fs::read_to_string(&beside)
        .map_err(|e| format!("cannot read {}: {e}", beside.display()))?;
    compare(archive.parent().unwrap_or(Path::new(".")), &list).map(drop)
}

/// Compares the files of an unpacked archive with the included list, and returns their number.
pub(super) fn verify_files(folder: &Path) -> Result<usize> {
    let path = folder.join(CHECKSUMS);
    let list =
        fs::read_to_string(&path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    let compared = compare(folder, &list)?;
    // the list does not include itself
    match workspace::files(folder)?.len() {
        found if found == compared + 1 => Ok(compared),
        found => Err(format!(
            "{} lists {compared} files, found {found}",
            path.display()
        )),
    }
}

fn compare(folder: &Path, list: &str) -> Result<usize> {
    for line in list.lines() {
        let (digest, file) = line.split_once("  ").unwrap_or((line, ""));
        if sha256(&folder.join(file))? != digest {
            return Err(format!("{file}: checksum mismatch"));
        }
    }
    Ok(list.lines().count())
}

/// Unpacks an archive into a folder.
pub(super) fn unpack(archive: &Path, into: &Path) -> Result<()> {
    let failed = |e: std::io::Error| format!("cannot unpack {}: {e}", archive.display());
    let file = File::open(archive).map_err(failed)?;
    tar::Archive::new(GzDecoder::new(file))
        .unpack(into)
        .map_err(failed)
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o100 != 0)
}

fn sha256(path: &Path) -> Result<String> {
    let bytes = fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    Ok(setup::sha256(&bytes))
}

/// Returns `SOURCE_DATE_EPOCH`, else the time of the last commit, else 0, in seconds since 1970.
fn time_of_sources() -> u64 {
    let set = std::env::var("SOURCE_DATE_EPOCH").ok();
    let committed = || {
        let git = command::output(command::program("git").args(["log", "-1", "--format=%ct"]));
        String::from_utf8(git.ok()?.stdout).ok()
    };
    let text = set.or_else(committed).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Scratch;

    #[test]
    fn an_archive_is_the_same_twice_and_its_checksums_hold() {
        let scratch = Scratch::new("test-pack").unwrap();
        let folder = scratch.path().join("folder");
        fs::create_dir_all(folder.join("b")).unwrap();
        fs::write(folder.join("b/inner"), "2").unwrap();
        fs::write(folder.join("a"), "1").unwrap();
        write_checksums(&folder).unwrap();
        let list = fs::read_to_string(folder.join(CHECKSUMS)).unwrap();
        let names = list.lines().map(|line| line.split_once("  ").unwrap().1);
        assert_eq!(names.collect::<Vec<_>>(), ["a", "b/inner"]);
        let packed = [1, 2].map(|number| {
            let archive = scratch.path().join(format!("{number}.tar.gz"));
            pack(&folder, "name", &archive).unwrap();
            fs::read(archive).unwrap()
        });
        assert_eq!(packed[0], packed[1]);
        let archive = scratch.path().join("1.tar.gz");
        verify(&archive).unwrap();
        unpack(&archive, scratch.path()).unwrap();
        let unpacked = scratch.path().join("name");
        assert_eq!(verify_files(&unpacked), Ok(2));
        fs::write(unpacked.join("a"), "3").unwrap();
        assert!(verify_files(&unpacked).is_err());
        let mut tar = tar::Archive::new(GzDecoder::new(packed[0].as_slice()));
        let paths = tar
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string());
        assert_eq!(
            paths.collect::<Vec<_>>(),
            ["name/SHA256SUMS", "name/a", "name/b/inner"]
        );
    }
}
