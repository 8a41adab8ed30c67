//! A Flight SQL server for `--engine`: results, logins, and its end.

#[cfg(feature = "flight-sql")]
#[expect(
    dead_code,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "the server of data-cache's tests"
)]
#[path = "../../../data-cache/tests/it/flight_sql/server.rs"]
pub(crate) mod server;

use std::process::Stdio;

use crate::served::Home;

#[test]
fn engine_that_cannot_be_used_is_refused_at_the_start() {
    for address in ["postgres://cluster:5432", "flight-sql://me:hush@cluster:1"] {
        let home = Home::new();
        let mut program = home.program(&["serve", "--port", "0", "--engine", address]);
        let ended = program.stderr(Stdio::piped()).output().unwrap();
        let printed = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{printed}");
        assert!(
            printed.contains("--engine") && !printed.contains("hush"),
            "{printed}"
        );
        let accepted = match cfg!(feature = "flight-sql") {
            true => "flight-sql://HOST:PORT",
            false => "--features flight-sql",
        };
        assert!(printed.contains(accepted), "{printed}");
    }
}

#[cfg(feature = "flight-sql")]
pub(crate) use with_server::{ended, tables, with_engine};

#[cfg(feature = "flight-sql")]
mod with_server {
    use std::io::{BufRead, BufReader};
    use std::net::{SocketAddr, TcpStream};
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::server::{Faults, Server};
    use crate::served::{Answer, Home, Served, extract};

    const PATHS: [&str; 12] = [
        "/api/flights/summary?origin=SFO",
        "/api/flights/summary?origin=SFO&month=1",
        "/api/flights/summary?origin=sfo&month=6",
        "/api/flights/summary?origin=SFO&month=12",
        "/api/flights/summary?origin=ORD&month=2",
        "/api/flights/summary?origin=ATL",
        "/api/flights/summary?origin=ZZZ",
        "/api/airports?near=37.6,-122.4",
        "/api/airports?near=37.6,-122.4&limit=1",
        "/api/airports?near=-90,180&limit=100",
        "/api/airports?near=0,0&limit=3",
        "/api/airports?near=71.3,-156.8&limit=20",
    ];
    const SFO: &str = PATHS[0];
    const ATL: &str = PATHS[5];

    /// Returns the statements that create the tables of the platform.
    pub(crate) fn tables() -> String {
        let file = |name: &str| extract().join(name).display().to_string();
        format!(
            "CREATE TABLE flights AS SELECT * FROM read_parquet('{}'); \
             CREATE TABLE airports AS SELECT * FROM read_csv('{}', types = {{'iata': 'VARCHAR'}})",
            file("flights-3m.parquet"),
            file("airports.csv")
        )
    }

    /// Returns a folder in which platforms use this engine.
    pub(crate) fn with_engine(address: String) -> Home {
        let mut home = Home::new();
        home.set("KEARNEY_ENGINE", address.leak());
        home
    }

    /// Stops the server, and returns once its port is closed.
    pub(crate) fn ended(server: Server) -> SocketAddr {
        let (address, begun) = (server.socket(), Instant::now());
        drop(server);
        while TcpStream::connect(address).is_ok() {
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "it still listens"
            );
            std::thread::park_timeout(Duration::from_millis(5));
        }
        address
    }

    fn is_unavailable(answer: &Answer, why: &str) {
        assert_eq!(answer.status, 503, "{}", answer.body);
        assert_eq!(answer.header("retry-after"), "5");
        let detail = answer.json()["detail"].to_string();
        assert!(detail.contains(why), "{detail}");
    }

    fn compare(served: &Served) {
        let own = Home::new().serve();
        for path in PATHS {
            let (expected, found) = (own.get(path), served.get(path));
            assert_eq!(
                (expected.status, found.status),
                (200, 200),
                "{}",
                found.body
            );
            assert_eq!(found.header("x-cache"), "miss", "{path}");
            assert_eq!(found.json(), expected.json(), "{path}");
            assert_eq!(found.body, expected.body, "{path}");
            let again = served.get(path);
            assert_eq!(again.header("x-cache"), "hit", "{path}");
            assert_eq!(again.body, expected.body, "{path}");
        }
    }

    #[test]
    fn answers_of_the_engine_are_those_of_the_warehouse() {
        let server = Server::start(&tables());
        let served = with_engine(server.address()).serve();
        let printed = format!("{} for flights and airports", server.address());
        assert!(served.block.iter().any(|line| line.contains(&printed)));
        compare(&served);
        assert_eq!(server.counts().results, PATHS.len());
        // invalid requests are rejected before the engine is queried
        assert_eq!(served.get("/api/airports?near=91,0").status, 400);
        assert_eq!(server.counts().results, PATHS.len());
    }

    #[test]
    fn answers_of_a_foreign_engine_are_those_of_the_warehouse() {
        // a server of another project, which `cargo xtask ci --full` builds
        let Some(program) = std::env::var_os("FLIGHT_SQL_SERVER") else {
            return;
        };
        let table = |name: &str, file: &str| format!("{name}={}", extract().join(file).display());
        let mut engine = Command::new(program)
            .arg(table("flights", "flights-3m.parquet"))
            .arg(table("airports", "airports.csv"))
            .env_remove("FLIGHT_SQL_TOKEN")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut lines = BufReader::new(engine.stdout.take().unwrap());
        lines.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("at ").unwrap().to_owned();
        compare(&with_engine(address).serve());
        engine.kill().unwrap();
        engine.wait().unwrap();
    }

    #[test]
    fn engine_that_is_gone_is_503_with_its_cause_until_it_is_back() {
        // a separate address, so that no other test takes the port meanwhile
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let own = SocketAddr::from(([127, 81, high, low.max(1)], 0));
        let server = Server::start_at(&tables(), own);
        let home = with_engine(server.address());
        let served = home.serve();
        let first = served.get(SFO);
        assert_eq!(first.status, 200, "{}", first.body);

        let address = ended(server);
        is_unavailable(&served.get(ATL), "no connection to the Flight SQL server");
        let kept = served.get(SFO);
        assert_eq!((kept.status, kept.header("x-cache")), (200, "hit"));
        assert_eq!(kept.body, first.body);
        // everything else continues
        assert_eq!(served.get("/readyz").status, 200);
        assert_eq!(served.get("/api/registry/datasets").status, 200);
        let lines = home.log_lines();
        let failed = lines
            .iter()
            .find(|line| line["event"] == "engine_unavailable");
        let why = failed.unwrap()["error"].to_string();
        assert!(why.contains("Connection refused"), "{why}");

        let server = Server::start_at(&tables(), address);
        let back = served.get(ATL);
        assert_eq!(
            (back.status, back.header("x-cache")),
            (200, "miss"),
            "{}",
            back.body
        );
        assert_eq!(server.counts().results, 1);
    }

    #[test]
    fn rotated_token_is_used_and_one_that_is_refused_is_not_shown() {
        let server = Server::start(&tables());
        let accept = |token: &str| {
            server.set(Faults {
                token: Some(token.to_owned()),
                ..Faults::default()
            });
        };
        let mut home = with_engine(server.address());
        let file = home.path("engine-token");
        std::fs::write(&file, "planted-token-one\n").unwrap();
        home.set(
            "KEARNEY_ENGINE_TOKEN_FILE",
            file.display().to_string().leak(),
        );
        accept("planted-token-one");
        let served = home.serve();
        assert_eq!(served.get(SFO).status, 200);
        accept("planted-token-two");
        std::fs::write(&file, "planted-token-two\n").unwrap();
        let rotated = served.get(ATL);
        assert_eq!(rotated.status, 200, "{}", rotated.body);
        accept("planted-token-three");
        let refused = served.get(PATHS[4]);
        is_unavailable(&refused, "rejected the login");
        let log = std::fs::read_to_string(home.path("logs/app.log")).unwrap();
        for text in [refused.body, log] {
            assert!(!text.contains("planted-token"), "{text}");
        }
    }

    #[test]
    fn engine_that_wants_a_login_is_503_without_one() {
        let server = Server::start(&tables());
        server.set(Faults {
            token: Some("any".to_owned()),
            ..Faults::default()
        });
        let served = with_engine(server.address()).serve();
        is_unavailable(&served.get(SFO), "rejected the login");
        assert_eq!(server.counts().results, 0);
    }
}
