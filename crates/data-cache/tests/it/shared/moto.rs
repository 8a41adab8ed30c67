//! A real S3 of this machine, where `cargo xtask setup` could fetch it, with a bucket.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};

pub(super) struct Moto {
    child: Child,
    pub(super) url: String,
}

/// Objects are private: whoever asks has credentials, which moto does not check.
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, \
                             SignedHeaders=host, Signature=0";

/// Starting it takes seconds: tests that run at the same time have one.
static RUNNING: Mutex<Weak<Moto>> = Mutex::new(Weak::new());

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Moto {
    /// `None`, told in one line, where moto is not installed; a failure where it has to be.
    pub(super) fn start() -> Option<Arc<Self>> {
        let mut running = RUNNING.lock().unwrap();
        if let Some(moto) = running.upgrade() {
            return Some(moto);
        }
        let mut child = Command::new(tool(
            "python/bin/moto_server",
            "`cargo xtask setup` installs it",
        )?)
        .args(["-H", "127.0.0.1", "-p", "0"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let url =
            lines.find_map(|line| Some(line.ok()?.split_once("Running on ")?.1.trim().to_owned()));
        std::thread::spawn(move || lines.for_each(drop));
        let url = url.unwrap();
        let moto = Arc::new(Self { child, url });
        *running = Arc::downgrade(&moto);
        Some(moto)
    }

    /// Makes a bucket.
    pub(super) fn bucket(&self, name: &str) {
        make_bucket(&self.url, name);
    }

    /// Names of the results in a bucket.
    pub(super) fn results(&self, bucket: &str) -> Vec<String> {
        let mut names = self.names(bucket);
        names.retain(|name| name.contains("/v1/"));
        names
    }

    /// Names of the objects of a bucket.
    pub(super) fn names(&self, bucket: &str) -> Vec<String> {
        let url = format!("{}/{bucket}?list-type=2", self.url);
        let text = ureq::get(url).header("authorization", AUTHORIZATION);
        let text = text.call().unwrap();
        let text = text.into_body().read_to_string().unwrap();
        let names = text.split("<Key>").skip(1);
        names
            .map(|rest| rest.split_once("</Key>").unwrap().0.to_owned())
            .collect()
    }

    pub(super) fn read(&self, bucket: &str, name: &str) -> Vec<u8> {
        let found = ureq::get(format!("{}/{bucket}/{name}", self.url));
        let found = found.header("authorization", AUTHORIZATION).call();
        found.unwrap().into_body().read_to_vec().unwrap()
    }

    pub(super) fn remove(&self, bucket: &str, name: &str) {
        let url = format!("{}/{bucket}/{name}", self.url);
        let delete = ureq::delete(url).header("authorization", AUTHORIZATION);
        delete.call().unwrap();
    }

    pub(super) fn write(&self, bucket: &str, name: &str, bytes: &[u8]) {
        let url = format!("{}/{bucket}/{name}", self.url);
        let put = ureq::put(url).header("authorization", AUTHORIZATION);
        put.send(bytes).unwrap();
    }
}

pub(super) fn make_bucket(url: &str, name: &str) {
    ureq::put(format!("{url}/{name}")).send_empty().unwrap();
}

/// The path of a fetched program. `None`, told in one line, where it is not installed; a failure where it has to be.
pub(super) fn tool(path: &str, installed_by: &str) -> Option<PathBuf> {
    let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.tools");
    let target = std::env::var_os("CARGO_TARGET_DIR").map(|path| PathBuf::from(path).join("tools"));
    let program = target.unwrap_or_else(|| workspace.into()).join(path);
    if program.is_file() {
        return Some(program);
    }
    let told = format!("skipped: no {}; {installed_by}", program.display());
    let is_required = std::env::var_os("OPS_TEST_REQUIRE_TOOLS").is_some_and(|on| on == "1");
    assert!(!is_required, "{told}");
    println!("{told}");
    None
}
