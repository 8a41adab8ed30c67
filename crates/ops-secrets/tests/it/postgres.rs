//! A real PostgreSQL whose password changes a hundred times under load. It takes long, so it
//! runs only with `OPS_TEST_FULL=1`; skipped with one line if the server is not installed.
#![expect(clippy::print_stdout, reason = "tests")]

#[path = "../../examples/postgres_pool/pool.rs"]
mod pool;

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use deadpool::managed::Pool;
use ops_secrets::testing::MemorySource;
use ops_secrets::{MIN_REFRESH_INTERVAL, Secrets};
use tokio_postgres::NoTls;

use crate::config;
use pool::Logins;

const CHANGES: usize = 100;
const QUERIES_PER_SECOND: u64 = 200;

struct Postgres {
    child: Child,
    folder: tempfile::TempDir,
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the folder of the server's programs. Debian installs them outside of the path, in a folder per version.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let mut folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    folders.sort();
    folders
        .into_iter()
        .rfind(|folder| folder.join("postgres").is_file() && folder.join("initdb").is_file())
}

/// Returns the ids of the user and group to run the server as if this process is root, which the server refuses.
fn user() -> Option<(u32, u32)> {
    let is_root = std::fs::metadata("/proc/self")
        .is_ok_and(|of| std::os::unix::fs::MetadataExt::uid(&of) == 0);
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = users.lines().find(|line| line.starts_with("postgres:"))?;
    let mut fields = line.split(':').skip(2);
    let ids = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    is_root.then_some(ids)
}

impl Postgres {
    fn start() -> Option<Self> {
        if std::env::var_os("OPS_TEST_FULL").is_none_or(|on| on != "1") {
            println!("skipped: a PostgreSQL server is started with OPS_TEST_FULL=1");
            return None;
        }
        let Some(programs) = programs() else {
            println!("skipped: no PostgreSQL server in /usr/lib/postgresql");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let ids = user();
        if let Some((user, group)) = ids {
            chown(folder.path(), Some(user), Some(group)).unwrap();
        }
        let command = |name: &str| {
            let mut command = Command::new(programs.join(name));
            command
                .current_dir(folder.path())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            if let Some((user, group)) = ids {
                command.gid(group).uid(user);
            }
            command
        };
        let data = folder.path().join("data");
        let password = folder.path().join("password");
        std::fs::write(&password, "of-the-superuser").unwrap();
        if let Some((user, group)) = ids {
            chown(&password, Some(user), Some(group)).unwrap();
        }
        let mut initdb = command("initdb");
        initdb.args([
            "--no-sync",
            "--auth=scram-sha-256",
            "--username=super",
            "--encoding=UTF8",
            "--locale=C",
        ]);
        initdb.arg("--pwfile").arg(&password).arg("-D").arg(&data);
        assert!(initdb.status().unwrap().success(), "initdb");
        let mut server = command("postgres");
        server.arg("-D").arg(&data).arg("-k").arg(folder.path());
        server.args(["-c", "listen_addresses=", "-c", "fsync=off"]);
        server.stderr(std::fs::File::create(folder.path().join("server.log")).unwrap());
        let child = server.spawn().unwrap();
        Some(Self { child, folder })
    }

    fn config(&self, user: &str) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config
            .host_path(self.folder.path())
            .user(user)
            .dbname("postgres");
        config
    }

    async fn superuser(&self) -> tokio_postgres::Client {
        let start = Instant::now();
        loop {
            let connected = self
                .config("super")
                .password("of-the-superuser")
                .connect(NoTls)
                .await;
            match connected {
                Ok((client, connection)) => {
                    tokio::spawn(connection);
                    return client;
                }
                Err(error) => assert!(start.elapsed() < Duration::from_secs(60), "{error}"),
            }
            tokio::task::yield_now().await;
        }
    }
}

fn random() -> String {
    use std::hash::{BuildHasher, RandomState};
    format!(
        "{:016x}{:016x}",
        RandomState::new().hash_one(1),
        RandomState::new().hash_one(2)
    )
}

#[test]
fn a_pool_whose_password_changes_a_hundred_times_fails_no_query() {
    let Some(server) = Postgres::start() else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.unwrap().block_on(rotate(&server));
}

async fn rotate(server: &Postgres) {
    let superuser = server.superuser().await;
    let mut passwords = vec![random()];
    let change = |password: &str| format!("ALTER ROLE app PASSWORD '{password}'");
    superuser
        .batch_execute("CREATE ROLE app LOGIN")
        .await
        .unwrap();
    superuser
        .batch_execute(&change(&passwords[0]))
        .await
        .unwrap();
    let store = MemorySource::new();
    store.set("db", &passwords[0]);
    let catalog = config().catalog_text("secrets: {db_password: {path: db}}");
    let secrets = Secrets::new(catalog.source(store.clone())).unwrap();
    let logins = Logins {
        secrets: secrets.clone(),
        server: server.config("app"),
        queries: 20,
        refused: AtomicU64::new(0),
    };
    let pool: Pool<Logins> = Pool::builder(logins).max_size(8).build().unwrap();

    let (answered, stopped) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let load = tokio::spawn(load(
        pool.clone(),
        Arc::clone(&answered),
        Arc::clone(&stopped),
    ));
    let mut slowest = Duration::ZERO;
    for _ in 0..CHANGES {
        let password = random();
        superuser.batch_execute(&change(&password)).await.unwrap();
        let changed = Instant::now();
        store.set("db", &password);
        passwords.push(password);
        // the next change follows once this password is in use, and the store may be queried again
        let mut used = None;
        while used.is_none() || changed.elapsed() < MIN_REFRESH_INTERVAL {
            let connection = pool.get().await.unwrap();
            let is_new = connection.password.expose() == passwords[passwords.len() - 1];
            used = used.or_else(|| is_new.then(|| changed.elapsed()));
            assert!(
                changed.elapsed() < Duration::from_secs(30),
                "the new password is not used"
            );
            drop(connection);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        slowest = slowest.max(used.unwrap_or_default());
    }
    stopped.store(1, Ordering::Relaxed);
    let failures = load.await.unwrap();
    let answered = answered.load(Ordering::Relaxed);
    println!(
        "{CHANGES} changes, {answered} queries answered, {} failed, {} logins refused, new password used within {slowest:?}",
        failures.len(),
        pool.manager().refused.load(Ordering::Relaxed)
    );
    assert!(failures.is_empty(), "{failures:?}");
    assert!(answered > 10 * CHANGES as u64, "{answered}");
    let said = format!(
        "{} {:?} {:?} {failures:?}",
        secrets.report(),
        secrets.report(),
        secrets.stats()
    );
    for password in &passwords {
        assert!(
            !said.contains(&password[..8]),
            "a password is in the report"
        );
    }
    assert!(
        no_password_in(server.folder.path(), &passwords),
        "a password is in a file"
    );
}

/// Sends queries at a steady rate, and returns those that failed.
async fn load(
    pool: Pool<Logins>,
    answered: Arc<AtomicU64>,
    stopped: Arc<AtomicU64>,
) -> Vec<String> {
    let mut every = tokio::time::interval(Duration::from_millis(1000 / QUERIES_PER_SECOND));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    let mut queries = tokio::task::JoinSet::new();
    let mut failures = Vec::new();
    while stopped.load(Ordering::Relaxed) == 0 {
        every.tick().await;
        let (pool, answered) = (pool.clone(), Arc::clone(&answered));
        queries.spawn(async move {
            let connection = pool.get().await.map_err(|error| error.to_string())?;
            let row = connection.client.query_one("SELECT 41 + 1", &[]).await;
            let number: i32 = row.map_err(|error| error.to_string())?.get(0);
            assert_eq!(number, 42);
            answered.fetch_add(1, Ordering::Relaxed);
            Ok::<(), String>(())
        });
        while let Some(done) = queries.try_join_next() {
            failures.extend(done.unwrap().err());
        }
    }
    while let Some(done) = queries.join_next().await {
        failures.extend(done.unwrap().err());
    }
    failures
}

/// Returns whether no password is in the server's log; the server stores only verifiers.
fn no_password_in(folder: &Path, passwords: &[String]) -> bool {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter(|file| file.path().is_file()).all(|file| {
        let text = std::fs::read(file.path()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        passwords
            .iter()
            .all(|password| !text.contains(password.as_str()))
    })
}
