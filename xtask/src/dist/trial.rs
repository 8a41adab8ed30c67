//! `cargo xtask dist --trial`: runs the archive as the image does, in a folder with nothing else.

use super::archive;
use super::image::Image;
use super::root::command_in;
use crate::platform::Served;
use crate::tools::MANIFESTS;
use crate::workspace::{self, Scratch};
use crate::{Result, command, setup};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folder of the libraries in the base image with which the copied programs are linked.
const LIBRARIES: &str = "lib/x86_64-linux-gnu";
const QUERY: &str = "/api/flights/summary?origin=SFO";

/// Runs the archive, and checks the systemd unit and the Kubernetes manifest.
///
/// # Errors
///
/// Names the first step that failed.
pub(super) fn run(archive: &Path, name: &str) -> Result<()> {
    check_unit()?;
    check_manifest()?;
    if !rustix::process::geteuid().is_root() {
        println!("trial: skipped, a separate root folder requires root privileges");
        return Ok(());
    }
    let scratch = Scratch::new("trial")?;
    let dockerfile = workspace::root().join("Dockerfile");
    let image =
        Image::read(&fs::read_to_string(&dockerfile).map_err(|e| failed(&dockerfile, &e))?)?;
    let place = unpack(archive, name, &image, scratch.path())?;
    serve(&image, &place, scratch)
}

/// Creates the root folder, and returns the path of the program inside it.
fn unpack(archive: &Path, name: &str, image: &Image, scratch: &Path) -> Result<String> {
    archive::verify(archive)?;
    archive::unpack(archive, scratch)?;
    let copied = image.copies.iter();
    let mut places = copied.filter(|(from, _)| from == "/dist/kearney-platform");
    let (_, place) = places
        .next()
        .ok_or("the image does not copy the platform")?;
    let root = scratch.join("root");
    let folder = root.join(place.trim_start_matches('/'));
    make(folder.parent().unwrap_or(&root))?;
    fs::rename(scratch.join(name), &folder).map_err(|e| failed(&folder, &e))?;
    let count = archive::verify_files(&folder)?;
    println!("trial: the checksums of the archive and its {count} files match");
    for folder in ["proc", "dev", "tmp", "lib64", LIBRARIES] {
        make(&root.join(folder))?;
    }
    write(&root.join("dev/null"))?;
    for volume in &image.volumes {
        make(&root.join(volume.trim_start_matches('/')))?;
    }
    copy_libraries(&folder, &root)?;
    Ok(place.clone())
}

/// Copies the libraries that the loader finds on this machine for the program and for libduckdb, except libduckdb
/// itself.
fn copy_libraries(folder: &Path, root: &Path) -> Result<()> {
    let program = folder.join("kearney-platform");
    let output = command::output(
        Command::new("ldd")
            .arg(program)
            .arg(folder.join("libduckdb.so")),
    )?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = text.split_whitespace().filter(|word| word.starts_with('/'));
    for library in words.map(|word| word.trim_end_matches(':')) {
        let path = Path::new(library);
        let Some(name) = path.file_name().filter(|_| !path.starts_with(folder)) else {
            continue;
        };
        let into = if name.to_string_lossy().starts_with("ld-") {
            "lib64"
        } else {
            LIBRARIES
        };
        fs::copy(path, root.join(into).join(name)).map_err(|e| failed(path, &e))?;
    }
    Ok(())
}

fn serve(image: &Image, place: &str, scratch: Scratch) -> Result<()> {
    let root = scratch.path().join("root");
    let data = scratch.path().join("volume");
    make(&data)?;
    let (uid, gid) = ids(&image.user)?;
    chown(&data, Some(uid), Some(gid)).map_err(|e| failed(&data, &e))?;
    let inside = image.volumes.first().ok_or("the image has no volume")?;
    let volumes = [(data.clone(), inside.clone())];
    let health = |port: &str| -> Result<Option<i32>> {
        let mut command = command_in(&root, &volumes, image, &[("PORT", port)], &image.health)?;
        Ok(command::output(&mut command)?.status.code())
    };
    expect("healthcheck before the start", &health("1")?, &Some(1))?;
    let variables = [
        ("HOST", "127.0.0.1"),
        ("PORT", "0"),
        ("OPS_ADMIN_ADDR", "127.0.0.1:0"),
        ("OTEL_TRACES_EXPORTER", "none"),
        ("REGISTRY_API_KEY", "an-example-of-a-key"),
    ];
    let command = command_in(&root, &volumes, image, &variables, &image.words)?;
    let served = Served::spawn(command, &data, scratch)?;
    let status = format!("/proc/{}/status", served.id());
    let status = fs::read_to_string(&status).map_err(|e| failed(Path::new(&status), &e))?;
    let user = status.lines().find(|line| line.starts_with("Uid:"));
    let expected = format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}");
    expect(
        "user of the process",
        &user.unwrap_or_default(),
        &expected.as_str(),
    )?;
    let seen = PathBuf::from(format!("/proc/{}/root{place}", served.id()));
    let written = fs::write(seen.join("written"), "").map_err(|e| e.kind());
    expect(
        "a write beside the program",
        &written,
        &Err(std::io::ErrorKind::ReadOnlyFilesystem),
    )?;
    let maps = fs::read_to_string(format!("/proc/{}/maps", served.id())).unwrap_or_default();
    let engine = maps.lines().find(|line| line.ends_with("/libduckdb.so"));
    let engine = engine.and_then(|line| line.split_whitespace().last());
    println!("trial: the engine is {}", engine.unwrap_or("not mapped"));
    let port = served.api.rsplit(':').next().unwrap_or_default().to_owned();
    expect("healthcheck", &health(&port)?, &Some(0))?;
    for path in ["/readyz", "/healthz", QUERY] {
        let body = served.get(path)?;
        println!("trial: GET {path} 200, {} bytes", body.len());
    }
    served.stop()?;
    println!("trial: exited with 0 after SIGTERM");
    Ok(())
}

/// Runs systemd's own check of the unit, if systemd is installed.
fn check_unit() -> Result<()> {
    let unit = workspace::root().join("configs/kearney-platform.service");
    let scratch = Scratch::new("unit")?;
    // the program is at the unit's path only on a machine where it is installed
    let text = fs::read_to_string(&unit).map_err(|e| failed(&unit, &e))?;
    let text = text.replace(
        "ExecStart=/opt/kearney-platform/kearney-platform",
        "ExecStart=/bin/true",
    );
    let copy = scratch.path().join("kearney-platform.service");
    fs::write(&copy, text).map_err(|e| failed(&copy, &e))?;
    for words in [
        ["verify", "--man=no"].as_slice(),
        &["security", "--offline=true", "--no-pager", "--threshold=20"],
    ] {
        let mut command = command::program("systemd-analyze");
        command.args(words).arg(&copy);
        match command::output(&mut command) {
            Err(cause) => {
                println!("trial: the unit is not checked: {cause}");
                return Ok(());
            }
            Ok(output) => {
                let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
                let last = stdout.lines().last().unwrap_or_default().trim();
                let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
                if !output.status.success() {
                    return Err(format!("{}: {last} {complaints}", command::shown(&command)));
                }
                println!(
                    "trial: systemd-analyze {}: {} {last}",
                    words[0], output.status
                );
            }
        }
    }
    Ok(())
}

fn check_manifest() -> Result<()> {
    setup::ensure(&[MANIFESTS])?;
    let Some(folder) = setup::folder_of(MANIFESTS) else {
        println!("trial: the manifest is not checked: kubernetes-validate is missing");
        return Ok(());
    };
    let manifest = workspace::root().join("configs/kubernetes.yaml");
    command::run(
        command::program(folder.join("bin/kubernetes-validate"))
            .arg("--strict")
            .arg(manifest),
    )
}

fn ids(user: &str) -> Result<(u32, u32)> {
    let ids = user.split_once(':');
    ids.and_then(|(uid, gid)| Some((uid.parse().ok()?, gid.parse().ok()?)))
        .ok_or_else(|| format!("expected uid:gid as USER of the image, got {user}"))
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<()> {
    if found == expected {
        println!("trial: {what}: {found:?}");
        return Ok(());
    }
    Err(format!("{what}: {found:?}, expected {expected:?}"))
}

fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|e| failed(folder, &e))?;
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(folder, open).map_err(|e| failed(folder, &e))
}

fn write(file: &Path) -> Result<()> {
    fs::write(file, "").map_err(|e| failed(file, &e))
}

fn failed(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}
