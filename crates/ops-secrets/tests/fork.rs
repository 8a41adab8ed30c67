//! A process that is forked after its parent looked secrets up. Safe Rust cannot fork, so a few lines of C do it:
//! a library that is loaded before libc and forks when the program changes to a directory with a certain name.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

use std::process::Command;
use std::time::{Duration, Instant};

use ops_secrets::testing::MemorySource;
use ops_secrets::{AwsMode, Config, Secrets};

const FORKS: &str = "
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
int chdir(const char *path) {
    if (strcmp(path, \"fork-here\") != 0) return syscall(SYS_chdir, path);
    pid_t child = fork();
    if (child > 0) {
        int status = 0;
        waitpid(child, &status, 0);
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 99);
    }
    return 0;
}
";

#[test]
fn the_first_lookup_in_a_forked_child_gets_its_answer() {
    if std::env::var_os("OPS_TEST_FORKS").is_some() {
        return in_the_forking_process();
    }
    fork_in("the_first_lookup_in_a_forked_child_gets_its_answer");
}

#[cfg(feature = "vault")]
#[test]
fn a_forked_child_has_connections_of_its_own() {
    if std::env::var_os("OPS_TEST_FORKS").is_some() {
        return with_a_connection();
    }
    fork_in("a_forked_child_has_connections_of_its_own");
}

/// Runs a test in a process that forks, and whose child reports when it is done.
fn fork_in(name: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (source, library) = (
        folder.path().join("forks.c"),
        folder.path().join("forks.so"),
    );
    std::fs::write(&source, FORKS).unwrap();
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status();
    if !built.is_ok_and(|status| status.success()) {
        println!("skipped: no C compiler");
        return;
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", name, "--nocapture", "--test-threads=1"]);
    child.env("OPS_TEST_FORKS", "1").env("LD_PRELOAD", &library);
    let output = child.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(text.contains("the child has its answers"), "{text}");
}

/// Tests a child whose server responds with the port of the connection that it was queried on.
#[cfg(feature = "vault")]
fn with_a_connection() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            std::thread::spawn(move || tell_port(&client));
        }
    });
    let source = ops_secrets::VaultSource::new(url).unwrap().token("t");
    let nothing: [(&str, &str); 0] = [];
    let config = Config::default()
        .catalog_text("secrets: {port: {path: 'place#port'}}")
        .environment(nothing);
    let config = config.dotenv("/nonexistent/.env").source(source);
    let secrets = Secrets::new(config).unwrap();
    let port = || {
        let port = secrets.get("port").ttl_seconds(0.0).blocking().unwrap();
        port.expose().to_owned()
    };
    let of_parent = port();
    assert_eq!(of_parent, port(), "a connection is used again");
    std::env::set_current_dir("fork-here").unwrap(); // from here on this is the child
    let of_child = port();
    assert_ne!(of_child, of_parent);
    assert_eq!(of_child, port());
    println!("the child has its answers");
    std::process::exit(0);
}

#[cfg(feature = "vault")]
fn tell_port(mut client: &std::net::TcpStream) -> Option<()> {
    use std::io::{BufRead, BufReader, Write};
    let port = client.peer_addr().ok()?.port();
    let body = format!(r#"{{"data":{{"data":{{"port":"{port}"}},"ttl":0}}}}"#);
    let length = body.len();
    let answer = format!("HTTP/1.1 200 -\r\nContent-Length: {length}\r\n\r\n{body}");
    for line in BufReader::new(client).lines() {
        if line.ok()?.is_empty() {
            client.write_all(answer.as_bytes()).ok()?;
        }
    }
    None
}

fn in_the_forking_process() {
    let (ssm, held) = (MemorySource::new(), MemorySource::new());
    ssm.set("/a", "value-of-a");
    ssm.set("/b", "value-of-b");
    held.hold();
    // one lookup gets no response: the others complete before it
    let deadline = Duration::from_secs(5);
    let config = || {
        let nothing: [(&str, &str); 0] = [];
        let catalog =
            "secrets: {a: {aws_path: 'ssm:/a'}, b: {aws_path: 'ssm:/b'}, c: {aws_path: 'sm:c'}}";
        let config = Config::default().catalog_text(catalog).environment(nothing);
        config
            .dotenv("/nonexistent/.env")
            .aws(AwsMode::On)
            .deadline(deadline)
    };
    let secrets = Secrets::new(config().sources(&ssm, &held)).unwrap();
    secrets.get("a").blocking().unwrap();
    // a lookup of the parent is running, and its thread does not exist in the child
    let waiting = secrets.clone();
    let asking = std::thread::spawn(move || waiting.get("c").blocking());
    while secrets.waiting("c") == 0 {
        std::hint::spin_loop();
    }
    std::env::set_current_dir("fork-here").unwrap(); // from here on this is the child
    let start = Instant::now();
    assert_eq!(secrets.get("a").blocking().unwrap().expose(), "value-of-a");
    assert_eq!(secrets.get("b").blocking().unwrap().expose(), "value-of-b");
    let fresh = secrets.get("a").ttl_seconds(0.0).blocking().unwrap();
    assert_eq!(fresh.expose(), "value-of-a");
    secrets.get("c").blocking().unwrap_err();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    secrets.invalidate("b");
    let b = runtime.block_on(async { secrets.get("b").await }).unwrap();
    assert_eq!(b.expose(), "value-of-b");
    assert!(
        start.elapsed() < Duration::from_secs(60),
        "{:?}",
        start.elapsed()
    );
    println!("the child has its answers");
    std::mem::forget(asking);
    std::process::exit(0);
}
