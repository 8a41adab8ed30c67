use std::io::Write;
use std::process::Command;
use std::time::SystemTime;

use dev::file_system::Mounted;
use ops_black_box::{ErrorKind, open};

use crate::{Place, texts};

#[test]
fn without_space_there_is_no_black_box_and_the_one_before_is_kept() {
    let place = Place::new();
    let Some(_mounted) = Mounted::over(place.folder.path(), "256k") else {
        let _ = writeln!(std::io::stderr(), "nothing can be mounted here: not tested");
        return;
    };
    place
        .open()
        .line(SystemTime::now(), b"{\"event\":\"last words\"}");
    std::fs::write(place.folder.path().join("others"), vec![1; 150 * 1024]).unwrap();
    let opened = open(&place.config());
    let error = opened.black_box.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("No space left"), "{cause}");
    assert_eq!(
        texts(&opened.last_run.unwrap().reading),
        ["{\"event\":\"last words\"}"]
    );
    // no partial file is left, and the same run is not reported again
    assert_eq!(place.names(), ["others", "shop.box.1", "shop.box.lock"]);
    std::fs::remove_file(place.folder.path().join("others")).unwrap();
    let again = open(&place.config());
    assert!(again.black_box.is_ok() && again.last_run.is_none());
}

#[test]
fn on_a_disk_that_fills_up_later_the_lines_still_arrive() {
    let place = Place::new();
    let Some(_mounted) = Mounted::over(place.folder.path(), "256k") else {
        let _ = writeln!(std::io::stderr(), "nothing can be mounted here: not tested");
        return;
    };
    let black_box = place.open();
    let filling = std::fs::write(place.folder.path().join("others"), vec![1; 1 << 20]);
    assert!(filling.is_err());
    for number in 0..10_000 {
        black_box.line(
            SystemTime::now(),
            format!("{{\"number\":{number}}}").as_bytes(),
        );
    }
    let reading = crate::read(&place.file()).unwrap();
    assert_eq!(reading.records.last().unwrap().text, "{\"number\":9999}");
}

/// Mounts a file system of this kind from an image file; `None` if that is not possible here.
fn formatted(place: &Place, image: &Place, kind: &str) -> Option<Mounted> {
    let file = image.folder.path().join("image");
    let made = std::fs::File::create(&file).and_then(|image| image.set_len(128 << 20));
    made.unwrap();
    let formatted = Command::new(format!("mkfs.{kind}"))
        .arg(&file)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status();
    if !formatted.is_ok_and(|status| status.success()) {
        return None;
    }
    let options = ["-o".as_ref(), "loop".as_ref(), file.as_os_str()];
    Mounted::with(&options, place.folder.path())
}

#[test]
fn a_file_system_that_promises_no_space_is_refused_with_its_name() {
    let (place, image) = (Place::new(), Place::new());
    let Some(_mounted) = formatted(&place, &image, "btrfs") else {
        let _ = writeln!(std::io::stderr(), "no btrfs can be made here: not tested");
        return;
    };
    let error = open(&place.config()).black_box.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(
        error.to_string().contains("btrfs cannot guarantee space"),
        "{error}"
    );
    assert!(error.to_string().contains("use ext4"), "{error}");
    assert_eq!(place.names(), ["shop.box.lock"]);
}

#[test]
fn without_reserved_space_a_file_system_has_to_give_blocks() {
    // ext2 has no reservation, and writes in place
    let (place, image) = (Place::new(), Place::new());
    let Some(_mounted) = formatted(&place, &image, "ext2") else {
        let _ = writeln!(std::io::stderr(), "no ext2 can be made here: not tested");
        return;
    };
    place.open().line(SystemTime::now(), b"{}");
    assert_eq!(texts(&place.next_start().reading), ["{}"]);
}
