//! A real SeaweedFS on this machine. Long, so only with
//! `OPS_TEST_FULL=1`; skipped with one line if it is not installed.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use data_cache::testing::TempDir;

pub(crate) struct Weed {
    child: Child,
    _dir: TempDir,
    ports: [u16; 8],
    pub(crate) url: String,
}

/// Time limit for the start, which takes three seconds on two idle cores.
const START: Duration = Duration::from_secs(60);
/// Clients that sign requests must be known; requests that create buckets are not signed.
const IDENTITIES: &str = r#"{"identities": [
    {"name": "anonymous", "actions": ["Admin", "Read", "Write", "List"]},
    {"name": "test", "credentials": [{"accessKey": "test", "secretKey": "test"}],
     "actions": ["Admin", "Read", "Write", "List"]}
]}"#;
const NAMES: [&str; 4] = ["master", "volume", "filer", "s3"];

impl Weed {
    pub(crate) fn start() -> Option<Self> {
        if std::env::var_os("OPS_TEST_FULL").is_none_or(|on| on != "1") {
            println!("skipped: a server of SeaweedFS is started with OPS_TEST_FULL=1");
            return None;
        }
        let program = dev::tool::find("seaweedfs/bin/weed", "cargo xtask ci --full")?;
        // another process may take a port first
        (0..3).find_map(|_| Self::start_once(&program))
    }

    fn start_once(program: &PathBuf) -> Option<Self> {
        let dir = TempDir::new().unwrap();
        let listeners = [(); 8].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = listeners.map(|l| l.local_addr().unwrap().port());
        let identities = dir.path().join("identities.json");
        std::fs::write(&identities, IDENTITIES).unwrap();
        let mut command = Command::new(program);
        command
            .arg("server")
            .arg(format!("-dir={}", dir.path().display()))
            .args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3"])
            .arg(format!("-s3.config={}", identities.display()))
            .args(["-master.volumeSizeLimitMB=64", "-volume.max=20"]);
        for (name, ports) in NAMES.iter().zip(ports.chunks(2)) {
            command
                .arg(format!("-{name}.port={}", ports[0]))
                .arg(format!("-{name}.port.grpc={}", ports[1]));
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let url = format!("http://127.0.0.1:{}", ports[6]);
        let mut weed = Self {
            child,
            _dir: dir,
            ports,
            url,
        };
        let begin = Instant::now();
        while ureq::get(format!("{}/healthz", weed.url)).call().is_err() {
            if begin.elapsed() > START || weed.child.try_wait().unwrap().is_some() {
                return None;
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        Some(weed)
    }
}

impl Weed {
    /// Creates a bucket. The first write to it takes seconds, since volumes are created for it.
    pub(crate) fn bucket(&self, name: &str) {
        let url = format!("{}/{name}", self.url);
        ureq::put(&url).send_empty().unwrap();
        let begin = Instant::now();
        let url = format!("{url}/first");
        while let Err(error) = ureq::put(&url).send("1") {
            assert!(begin.elapsed() < START, "{error}");
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
}

impl Drop for Weed {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for (name, ports) in NAMES.iter().zip(self.ports.chunks(2)) {
            for socket in [
                format!("seaweedfs-{name}-{}.sock", ports[0]),
                format!("seaweedfs-{name}-grpc-{}.sock", ports[1]),
            ] {
                let _ = std::fs::remove_file(std::env::temp_dir().join(socket));
            }
        }
    }
}
