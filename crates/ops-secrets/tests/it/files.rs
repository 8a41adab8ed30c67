//! Secrets in separate files.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use ops_secrets::{AwsMode, ErrorKind, FolderSource, SecretSource, Secrets};

use crate::{Bench, TOKEN_PATH, config};

#[test]
fn no_path_leads_out_of_the_folder_of_a_store() {
    let outside = tempfile::tempdir().unwrap();
    let folder = outside.path().join("mounted");
    fs::create_dir_all(folder.join("prod")).unwrap();
    write(&folder.join("prod/db"), "within", 0o400);
    write(&outside.path().join("db"), "outside", 0o400);
    let catalog = format!(
        "secrets: {{rooted: {{path: /prod/db}}, outside: {{path: '{0}/db'}}, up: {{path: prod/../../db}},
            full: {{path: '{1}/prod/db'}}, beside: {{path: '{1}-of-others/db'}}, full_up: {{path: '{1}/../db'}}}}",
        outside.path().display(),
        folder.display()
    );
    let config = config().catalog_text(catalog);
    let secrets = Secrets::new(config.source(FolderSource::new(&folder))).unwrap();
    let ask = |name: &str| secrets.get(name).optional_blocking();
    assert_eq!(ask("rooted").unwrap().unwrap().expose(), "within");
    assert_eq!(ask("full").unwrap().unwrap().expose(), "within");
    assert!(ask("outside").unwrap().is_none());
    assert!(ask("beside").unwrap().is_none());
    for name in ["up", "full_up"] {
        let refused = ask(name).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Config);
        assert!(
            refused.to_string().contains("within the folder"),
            "{refused}"
        );
    }
}

fn write(path: &Path, text: impl AsRef<[u8]>, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_name_that_no_catalog_has_is_looked_for_in_the_folder_and_its_error_says_so() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("api-key"), "under another name", 0o400);
    let secrets = |config: ops_secrets::Config| {
        let config = config.catalog_text("").secrets_folder(folder.path());
        Secrets::new(config).unwrap()
    };
    let tried = |secrets: &Secrets, name: &str| {
        let error = secrets.get(name).blocking().unwrap_err();
        let tried = error.tried().iter();
        tried
            .map(|attempt| (attempt.source, attempt.outcome.clone()))
            .collect::<Vec<_>>()
    };
    let here = folder.path().display();
    let absent = tried(&secrets(config()), "API_KEY");
    let sources: Vec<_> = absent.iter().map(|(source, _)| *source).collect();
    let expected = [SecretSource::Env, SecretSource::File, SecretSource::DotEnv];
    assert_eq!(sources, expected);
    assert_eq!(absent[1].1, format!("{here}: no file API_KEY"));
    // also for an error of the source after it
    let dotenv = folder.path().join("bad.env");
    write(&dotenv, "API_KEY='never closed", 0o600);
    let malformed = tried(&secrets(config().dotenv(&dotenv)), "API_KEY");
    let sources: Vec<_> = malformed.iter().map(|(source, _)| *source).collect();
    assert_eq!(sources, expected);
    write(&folder.path().join("EMPTY"), "", 0o400);
    let empty = tried(&secrets(config()), "EMPTY");
    assert!(empty[1].1.contains("counts as absent"), "{empty:?}");
}

#[test]
fn a_file_wins_over_aws_and_loses_to_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    write(&file, "from-the-file\n", 0o600);
    let named = file.to_str().unwrap().to_owned();
    let mut variables = vec![("MAPBOX_ACCESS_TOKEN_FILE", named)];
    let ask = |variables: Vec<(&'static str, String)>| {
        let bench = Bench::new(|config| config.environment(variables));
        bench.ssm.set(TOKEN_PATH, "from-ssm");
        let secret = bench.token().unwrap();
        (
            secret.source(),
            secret.expose().to_owned(),
            bench.ssm.calls().len(),
        )
    };
    let expected = (SecretSource::File, "from-the-file".to_owned(), 0);
    assert_eq!(ask(variables.clone()), expected);
    variables.push(("MAPBOX_ACCESS_TOKEN", "from-the-environment".into()));
    assert_eq!(ask(variables).0, SecretSource::Env);
    assert_eq!(ask(Vec::new()).0, SecretSource::AwsSsm);
}

#[test]
fn a_byte_order_mark_before_a_secret_is_no_part_of_it() {
    let folder = tempfile::tempdir().unwrap();
    // as `Out-File` and editors of Windows write them
    write(
        &folder.path().join("DB_PASSWORD"),
        "\u{feff}s3cret\r\n",
        0o400,
    );
    write(&folder.path().join("EMPTY"), "\u{feff}\r\n", 0o400);
    write(&folder.path().join("WITHIN"), "a\u{feff}", 0o400);
    let path = folder.path().join("DB_PASSWORD");
    let config = config().secrets_folder(folder.path());
    let config = config.environment([("BY_VARIABLE_FILE", path.to_str().unwrap())]);
    let secrets = Secrets::new(config.source(FolderSource::new(folder.path()))).unwrap();
    let text = |name: &str| secrets.get(name).blocking().unwrap().expose().to_owned();
    assert_eq!(text("DB_PASSWORD"), "s3cret");
    assert_eq!(text("BY_VARIABLE"), "s3cret");
    assert_eq!(text("WITHIN"), "a\u{feff}");
    let bytes = secrets.get("DB_PASSWORD").bytes_blocking().unwrap();
    assert_eq!(bytes.expose(), b"s3cret");
    assert!(secrets.get("EMPTY").optional_blocking().unwrap().is_none());
}

#[test]
fn a_mounted_folder_and_systemds_credentials_hold_secrets_by_name_and_by_variable() {
    let (mounted, credentials) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(&mounted.path().join("mapbox_token"), "by-name", 0o400);
    write(
        &mounted.path().join("DB_PASSWORD"),
        "by-variable\r\n",
        0o400,
    );
    write(
        &credentials.path().join("registry_api_key"),
        "systemd's\n\n",
        0o400,
    );
    write(
        &credentials.path().join("mapbox_token"),
        "the-second",
        0o400,
    );
    let directory = credentials.path().to_str().unwrap();
    let config = config()
        .secrets_folder(mounted.path())
        .environment([("CREDENTIALS_DIRECTORY", directory)]);
    let secrets = Secrets::new(config).unwrap();
    let rows = [
        ("mapbox_token", "by-name"),
        ("MAPBOX_ACCESS_TOKEN", "by-name"),
        ("DB_PASSWORD", "by-variable"),
        ("registry_api_key", "systemd's"),
    ];
    for (name, expected) in rows {
        let secret = secrets.get(name).blocking().unwrap();
        assert_eq!(
            (secret.expose(), secret.source()),
            (expected, SecretSource::File)
        );
    }
    for name in [".", "..", "..data"] {
        assert!(secrets.get(name).optional_blocking().unwrap().is_none());
    }
    let report = secrets.report();
    assert!(
        report
            .secrets
            .iter()
            .all(|secret| secret.source == SecretSource::File),
        "{report}"
    );
}

#[test]
fn a_changed_file_is_noticed_at_the_next_call() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mapbox_token");
    let bench = Bench::new(|config| config.secrets_folder(folder.path()));
    bench.ssm.set(TOKEN_PATH, "from-ssm");
    let read = || {
        let secret = bench.token().unwrap();
        secret.expose().to_owned()
    };
    write(&file, "first-value", 0o600);
    assert_eq!(read(), "first-value");
    write(&file, "other-value", 0o600);
    assert_eq!(read(), "other-value");
    let new = folder.path().join("new");
    write(&new, "third-value", 0o600);
    fs::rename(&new, &file).unwrap();
    assert_eq!(read(), "third-value");
    fs::remove_file(&file).unwrap();
    assert_eq!(read(), "from-ssm");
}

#[test]
fn a_file_that_was_named_and_cannot_be_used_is_an_error_and_never_a_default() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write(&path("anybody"), "planted", 0o666);
    write(&path("group"), "planted", 0o660);
    write(&path("not-text"), b"planted\xff", 0o600);
    write(&path("nul"), b"planted\0", 0o600);
    write(&path("huge"), vec![b'x'; 1024 * 1024 + 1], 0o600);
    fs::create_dir(path("folder")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(path("fifo"))
        .status();
    assert!(made.unwrap().success());
    let rows = [
        ("anybody", ErrorKind::Config),
        ("group", ErrorKind::Config),
        ("not-text", ErrorKind::Malformed),
        ("nul", ErrorKind::Malformed),
        ("huge", ErrorKind::Config),
        ("folder", ErrorKind::Config),
        ("fifo", ErrorKind::Config),
        ("missing", ErrorKind::Config),
    ];
    for (name, kind) in rows {
        let named = path(name).to_str().unwrap().to_owned();
        let secrets = Secrets::new(config().environment([("A_KEY_FILE", named)])).unwrap();
        let error = secrets.get("A_KEY").or("never").blocking().unwrap_err();
        assert_eq!(error.kind(), kind, "{name}: {error}");
        assert!(!error.to_string().contains("planted"), "{error}");
    }
}

#[test]
fn permissions_that_are_too_open_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("mapbox_token"), "a-value", 0o644);
    let secrets = Secrets::new(config().secrets_folder(folder.path())).unwrap();
    assert_eq!(
        secrets.get("mapbox_token").blocking().unwrap().expose(),
        "a-value"
    );
    let problems = secrets.report().secrets[0].problems.join("; ");
    assert!(problems.contains("readable by other users"), "{problems}");
}

/// Checks a credential as systemd creates it for a service with a user: an access
/// control list lets this user read, and its mask is shown in place of the group's bits.
#[test]
fn a_credential_of_systemd_is_not_too_open_by_its_groups_bits() {
    let (credentials, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for folder in [&credentials, &elsewhere] {
        write(&folder.path().join("by_group"), "a-value", 0o440);
        write(&folder.path().join("by_all"), "a-value", 0o444);
    }
    let named = elsewhere.path().join("by_group");
    let config = config()
        .catalog_text("secrets: {by_group: {}, by_all: {}, named: {}}")
        .environment([
            (
                "CREDENTIALS_DIRECTORY",
                credentials.path().to_str().unwrap(),
            ),
            ("NAMED_FILE", named.to_str().unwrap()),
        ]);
    let report = Secrets::new(config).unwrap().report();
    let is_open = |name: &str| {
        let mut secrets = report.secrets.iter();
        let secret = secrets.find(|secret| secret.name == name).unwrap();
        let problems = secret.problems.join("; ");
        problems.contains("readable by other users")
    };
    assert!(!is_open("by_group"));
    assert!(is_open("by_all"));
    assert!(is_open("named"));
}

/// Swaps a folder as the kubelet does: files are links into `..data`, which is a link that is replaced as a whole.
fn swap(root: &Path, version: usize, fill: impl FnOnce(&Path)) {
    let data = root.join(format!("..version-{version}"));
    fs::create_dir(&data).unwrap();
    fill(&data);
    symlink(&data, root.join("..data_tmp")).unwrap();
    fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    if version > 1 {
        fs::remove_dir_all(root.join(format!("..version-{}", version - 1))).unwrap();
    }
}

#[test]
fn a_swapped_folder_is_read_whole_and_never_missed() {
    let mounted = tempfile::tempdir().unwrap();
    let root = mounted.path();
    let publish = |version: usize| {
        // longer and shorter values, so that a mixture would be noticed
        let value = format!("{version:04}").repeat(1 + version % 7 * 400);
        let fill = |data: &Path| write(&data.join("mapbox_token"), value, 0o600);
        swap(root, version, fill);
    };
    publish(1);
    symlink("..data/mapbox_token", root.join("mapbox_token")).unwrap();
    let bench = Bench::new(|config| config.secrets_folder(root));
    let done = AtomicBool::new(false);
    let rounds = if std::env::var_os("OPS_TEST_FULL").is_some() {
        5000
    } else {
        300
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut last = 0;
                while !done.load(Ordering::Relaxed) {
                    let secret = bench.token().unwrap();
                    let text = secret.expose();
                    let version = text[..4].to_owned();
                    assert_eq!(text, version.repeat(text.len() / 4), "a mixture");
                    let version: usize = version.parse().unwrap();
                    assert!(version >= last, "{version} after {last}");
                    last = version;
                }
            });
        }
        for version in 2..rounds {
            publish(version);
        }
        let newest = format!("{:04}", rounds - 1);
        let secret = bench.token().unwrap();
        assert!(secret.expose().starts_with(&newest));
        done.store(true, Ordering::Relaxed);
    });
}

/// The path is so long that the folder is swapped, several times, before the file at its end is reached.
#[test]
fn a_swap_before_the_file_is_reached_is_no_absence() {
    let mounted = tempfile::tempdir().unwrap();
    let (root, file, dotenv) = (
        mounted.path(),
        mounted.path().join("mapbox_token"),
        mounted.path().join(".env"),
    );
    let fill = |data: &Path| {
        fs::create_dir(data.join("inner")).unwrap();
        symlink("inner/../".repeat(400) + "inner", data.join("detour")).unwrap();
        write(&data.join("mapbox_token"), "value", 0o600);
        write(&data.join(".env"), "MAPBOX_ACCESS_TOKEN=value", 0o600);
    };
    // Linux follows at most 40 links, and counts those of its attempts without and with locks
    for link in [&file, &dotenv] {
        let name = Path::new(link.file_name().unwrap());
        let target = Path::new("..data").join("detour/../".repeat(10)).join(name);
        symlink(target, link).unwrap();
    }
    swap(root, 1, fill);
    let variable = [("MAPBOX_ACCESS_TOKEN_FILE", file.to_str().unwrap())];
    let mut versions = 2..;
    for _ in 0..30 {
        // none of them read anything yet
        for config in [
            config().secrets_folder(root),
            config().environment(variable),
            config().dotenv(&dotenv),
        ] {
            let secrets = Secrets::new(config.aws(AwsMode::Off)).unwrap();
            std::thread::scope(|scope| {
                let reader = scope.spawn(|| secrets.get("mapbox_token").blocking());
                for version in versions.by_ref().take(20) {
                    swap(root, version, fill);
                    if reader.is_finished() {
                        break;
                    }
                }
                assert_eq!(reader.join().unwrap().unwrap().expose(), "value");
            });
        }
    }
    fs::remove_file(root.join(format!("..version-{}/mapbox_token", versions.start - 1))).unwrap();
    let secrets = Secrets::new(config().secrets_folder(root)).unwrap();
    let missing = secrets.get("mapbox_token").blocking().unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Missing, "{missing}");
}

#[test]
fn a_folder_may_be_a_source_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("db"), "from-the-folder\n", 0o600);
    let catalog = "secrets: {db_password: {path: db}, other: {default: d}}";
    let config = config()
        .catalog_text(catalog)
        .source(FolderSource::new(folder.path()));
    let secrets = Secrets::new(config).unwrap();
    let found = secrets.get("db_password").blocking().unwrap();
    assert_eq!(
        (found.expose(), found.source().as_str()),
        ("from-the-folder", "folder")
    );
    assert_eq!(
        secrets.get("other").blocking().unwrap().source(),
        SecretSource::Default
    );
}

#[test]
fn an_empty_file_of_a_folder_hides_no_other_one_and_is_reported() {
    let (mounted, credentials) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let directory = credentials.path().to_str().unwrap();
    let config = config()
        .catalog_text("secrets: {db_password: {}, api_key: {}, gone: {required: true}}")
        .secrets_folder(mounted.path())
        .environment([("CREDENTIALS_DIRECTORY", directory)]);
    write(&mounted.path().join("db_password"), "", 0o400);
    write(&credentials.path().join("db_password"), "by-systemd", 0o400);
    write(&mounted.path().join("api_key"), "\n", 0o400);
    write(&mounted.path().join("API_KEY"), "by-variable", 0o400);
    write(&mounted.path().join("gone"), "", 0o400);
    let secrets = Secrets::new(config).unwrap();
    let read = |name: &str| secrets.get(name).blocking();
    assert_eq!(read("db_password").unwrap().expose(), "by-systemd");
    assert_eq!(read("api_key").unwrap().expose(), "by-variable");
    let missing = read("gone").unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Missing);
    let message = format!(
        "{}: the file is empty",
        mounted.path().join("gone").display()
    );
    assert!(missing.to_string().contains(&message), "{missing}");
}

#[test]
fn a_file_that_a_variable_names_is_no_absent_secret_when_it_is_empty() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    for text in ["", "\n"] {
        write(&path, text, 0o600);
        let variables = [("MAPBOX_ACCESS_TOKEN_FILE", path.to_str().unwrap())];
        let secrets = Secrets::new(config().environment(variables)).unwrap();
        let asked = secrets.get("mapbox_token").or("never").blocking();
        let error = asked.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        let message = format!("{}: the file is empty", path.display());
        assert!(error.to_string().contains(&message), "{error}");
    }
    // in a folder, as in the environment, an empty value counts as unset
    write(&folder.path().join("mapbox_token"), "", 0o600);
    let secrets = Secrets::new(config().secrets_folder(folder.path())).unwrap();
    let secret = secrets.get("mapbox_token").or("local").blocking().unwrap();
    assert_eq!(secret.source(), SecretSource::Default);
}

#[test]
fn relative_paths_stay_what_they_were_if_the_process_moves_to_another_directory() {
    if std::env::var_os("OPS_TEST_MOVES").is_some() {
        return move_on();
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("secrets")).unwrap();
    fs::create_dir(at("elsewhere")).unwrap();
    write(&at(".env"), "IN_DOTENV=from-dotenv\n", 0o600);
    write(&at("secrets/in_folder"), "from-the-folder", 0o600);
    write(&at("named"), "from-the-file", 0o600);
    write(&at("elsewhere/named"), "another-file", 0o600);
    let name =
        "files::relative_paths_stay_what_they_were_if_the_process_moves_to_another_directory";
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", name, "--test-threads=1"]);
    child.env("OPS_TEST_MOVES", "1").current_dir(folder.path());
    let output = child.output().unwrap();
    let message = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{message}");
    assert!(message.contains("1 passed"), "{message}");
}

fn move_on() {
    let config = config()
        .catalog_text("secrets: {in_dotenv: {}, in_folder: {}, in_file: {}}")
        .environment([("IN_FILE_FILE", "named")])
        .dotenv(".env")
        .secrets_folder("secrets");
    let secrets = Secrets::new(config).unwrap();
    std::env::set_current_dir("elsewhere").unwrap();
    let found = ["in_dotenv", "in_folder", "in_file"].map(|name| {
        let secret = secrets.get(name).blocking().unwrap();
        secret.expose().to_owned()
    });
    assert_eq!(found, ["from-dotenv", "from-the-folder", "from-the-file"]);
    assert_eq!(secrets.report().dotenv.path, ".env");
}

#[test]
fn a_file_that_could_not_be_opened_for_want_of_descriptors_is_read_once_there_are_some() {
    if std::env::var_os("OPS_TEST_DESCRIPTORS").is_some() {
        return without_descriptors();
    }
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("env"), "IN_DOTENV=from-dotenv\n", 0o600);
    write(&folder.path().join("in_folder"), "from-the-folder", 0o600);
    let name = "files::a_file_that_could_not_be_opened_for_want_of_descriptors_is_read_once_there_are_some";
    let mut child = std::process::Command::new("sh");
    child.args(["-c", "ulimit -n 64 && exec \"$0\" \"$@\""]);
    child.arg(std::env::current_exe().unwrap());
    child.args(["--exact", name, "--test-threads=1"]);
    child
        .env("OPS_TEST_DESCRIPTORS", "1")
        .current_dir(folder.path());
    let output = child.output().unwrap();
    let message = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{message}");
    assert!(message.contains("1 passed"), "{message}");
}

fn without_descriptors() {
    let config = config()
        .catalog_text("secrets: {in_dotenv: {default: never}, in_folder: {default: never}}")
        .dotenv("env")
        .secrets_folder(".");
    let secrets = Secrets::new(config).unwrap();
    let get = |name: &str| secrets.get(name).blocking();
    let held: Vec<_> = std::iter::from_fn(|| fs::File::open("env").ok()).collect();
    for name in ["in_dotenv", "in_folder"] {
        let failed = get(name).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Transient, "{failed}");
        assert!(failed.to_string().contains("open files"), "{failed}");
    }
    drop(held);
    assert_eq!(get("in_dotenv").unwrap().expose(), "from-dotenv");
    assert_eq!(get("in_folder").unwrap().expose(), "from-the-folder");
}
