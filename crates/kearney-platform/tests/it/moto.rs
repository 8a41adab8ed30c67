//! An AWS of this machine: moto, where `cargo xtask setup` could fetch it.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::served::Home;

const SOON: Duration = Duration::from_secs(60);

/// A server that is stopped when dropped.
pub(crate) struct Moto {
    child: Child,
    url: String,
}

impl Moto {
    /// `None` where it is not there and need not be.
    pub(crate) fn start() -> Option<Self> {
        let target = Path::new(env!("CARGO_BIN_EXE_kearney-platform"))
            .ancestors()
            .nth(2)?;
        let program = target.join("tools/python/bin/moto_server");
        if !program.exists() {
            let required = std::env::var_os("OPS_TEST_REQUIRE_TOOLS").is_some_and(|on| on == "1");
            assert!(!required, "{}: cargo xtask setup", program.display());
            return None;
        }
        // it takes no port 0: one that was free a moment ago
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &address.port().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = Self {
            child,
            url: format!("http://{address}"),
        };
        let asked = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(asked.elapsed() < SOON, "moto does not listen");
            std::thread::park_timeout(Duration::from_millis(50));
        }
        Some(started)
    }

    /// Lets the programs of this folder ask it.
    pub(crate) fn use_in(&self, home: &mut Home) {
        for (name, value) in [
            ("AWS_ENDPOINT_URL", &*self.url),
            ("AWS_REGION", "us-east-1"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "testing"),
            ("AWS_SECRET_ACCESS_KEY", "testing-key-of-nobody"),
        ] {
            home.set(name, value.to_owned().leak());
        }
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}
