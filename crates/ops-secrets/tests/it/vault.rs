//! A real OpenBao server: its dev mode keeps everything in memory. It takes long, so it
//! runs only with `OPS_TEST_FULL=1`; skipped with one line if the server is not installed.
#![expect(clippy::panic, clippy::print_stdout, reason = "tests")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dev::tool;
use ops_secrets::{ErrorKind, SecretError, Secrets, VaultSource};
use serde_json::{Value, json};

use crate::config;

const LIMIT: Duration = Duration::from_secs(30);
const ROOT: &str = "the-root-token-of-a-test";

struct OpenBao {
    child: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Drop for OpenBao {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a port that was free a moment ago: the server's dev mode does not report which one it took.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl OpenBao {
    fn start() -> Option<Self> {
        if std::env::var_os("OPS_TEST_FULL").is_none_or(|on| on != "1") {
            println!("skipped: a server of OpenBao is started with OPS_TEST_FULL=1");
            return None;
        }
        let program = tool::find("openbao/bin/bao", "cargo xtask ci --full")?;
        // another process may take the port first: then the server ends, and the next port is tried
        (0..5).find_map(|_| Self::at(&program, free_port()))
    }

    fn at(program: &Path, port: u16) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("http://127.0.0.1:{port}");
        let mut command = Command::new(program);
        command
            .args(["server", "-dev", "-dev-no-store-token"])
            .arg(format!("-dev-root-token-id={ROOT}"))
            .arg(format!("-dev-listen-address=127.0.0.1:{port}"))
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut server = Self {
            child: command.spawn().unwrap(),
            url,
            _folder: folder,
        };
        let start = Instant::now();
        while start.elapsed() < LIMIT {
            if server.child.try_wait().unwrap().is_some() {
                return None;
            }
            let mount = server.try_call("GET", "/sys/mounts/secret/tune", ROOT, &Value::Null);
            if matches!(mount, Some((200, _))) {
                return Some(server);
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        panic!("the server does not answer");
    }

    fn try_call(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: &Value,
    ) -> Option<(u16, Value)> {
        let address = self.url.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).ok()?;
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let length = body.len();
        let request = format!(
            "{method} /v1{path} HTTP/1.1\r\nhost: {address}\r\nx-vault-token: {token}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let status = answer.split(' ').nth(1)?.parse().ok()?;
        let start = answer.find('{').unwrap_or(answer.len());
        let end = answer.rfind('}').map_or(start, |at| at + 1);
        Some((
            status,
            serde_json::from_str(&answer[start..end]).unwrap_or(Value::Null),
        ))
    }

    #[track_caller]
    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.try_call(method, path, ROOT, body).unwrap();
        assert!(
            (200..300).contains(&status),
            "{method} {path}: {status} {answer}"
        );
        answer
    }

    fn put(&self, path: &str, data: &Value) {
        self.call(
            "POST",
            &format!("/secret/data/{path}"),
            &json!({ "data": data }),
        );
    }

    /// Creates a token that may read everything below `db/`, for this many seconds.
    fn token(&self, seconds: u64, renewable: bool) -> String {
        self.policy();
        let ttl = format!("{seconds}s");
        let body = json!({"policies": ["db"], "ttl": ttl, "renewable": renewable});
        let answer = self.call("POST", "/auth/token/create", &body);
        answer["auth"]["client_token"].as_str().unwrap().to_owned()
    }

    fn policy(&self) {
        let rules = "path \"secret/data/db/*\" { capabilities = [\"read\"] }";
        self.call("PUT", "/sys/policies/acl/db", &json!({ "policy": rules }));
    }

    fn is_accepted(&self, token: &str) -> bool {
        let answer = self.try_call("GET", "/secret/data/db/login", token, &Value::Null);
        matches!(answer, Some((200, _)))
    }

    fn source(&self) -> VaultSource {
        VaultSource::new(self.url.clone()).unwrap()
    }
}

const CATALOG: &str = "secrets:
  password: {path: 'db/login#password'}
  user: {path: 'db/login#user'}
  login: {path: db/login}
  gone: {path: db/gone}
  other: {path: other/secret}
";

fn secrets(source: VaultSource) -> Secrets {
    Secrets::new(config().catalog_text(CATALOG).source(source)).unwrap()
}

fn read(secrets: &Secrets, name: &str) -> Result<String, SecretError> {
    let secret = secrets.get(name).ttl_seconds(0.0).blocking()?;
    Ok(secret.expose().to_owned())
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
fn a_secret_is_read_rotated_deleted_and_denied_as_the_server_says() {
    let Some(server) = OpenBao::start() else {
        return;
    };
    server.put(
        "db/login",
        &json!({"user": "ada", "password": "first-\"pass\"", "port": 5432}),
    );
    server.put("other/secret", &json!({"x": "y"}));
    let reader = secrets(server.source().token(server.token(600, true)));
    assert_eq!(read(&reader, "password").unwrap(), "first-\"pass\"");
    assert_eq!(
        reader.get("user").blocking().unwrap().source().as_str(),
        "vault"
    );
    let whole: Value = reader.get_as_blocking("login").unwrap();
    assert_eq!(
        whole,
        json!({"user": "ada", "password": "first-\"pass\"", "port": 5432})
    );

    // rotation: noticed by the next lookup, and by a watch
    server.put(
        "db/login",
        &json!({"user": "ada", "password": "second-pass"}),
    );
    assert_eq!(read(&reader, "password").unwrap(), "second-pass");
    let again = reader.refresh_after_failure_blocking("password");
    assert_eq!(again.unwrap().expose(), "second-pass");

    // absent: never written, deleted, and destroyed
    for path in ["db/gone", "db/login"] {
        if path == "db/login" {
            server.call("DELETE", "/secret/data/db/login", &Value::Null);
        }
        let name = if path == "db/gone" {
            "gone"
        } else {
            "password"
        };
        let missing = read(&reader, name).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::Missing, "{missing}");
    }
    // a denial does not fall back to the default
    let denied = reader.get("other").or("a-default").blocking().unwrap_err();
    assert_eq!(denied.kind(), ErrorKind::AccessDenied, "{denied}");
    // an unknown mount is not an absent secret
    let elsewhere = secrets(server.source().token(ROOT).mount("no-such-mount"));
    let wrong = elsewhere
        .get("password")
        .or("a-default")
        .blocking()
        .unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Config, "{wrong}");
    for error in [denied, wrong] {
        assert!(!format!("{error} {error:?}").contains(ROOT), "{error}");
    }
}

#[test]
fn a_sealed_server_is_unavailable_and_the_last_value_is_served() {
    let Some(server) = OpenBao::start() else {
        return;
    };
    server.put(
        "db/login",
        &json!({"password": "before-the-seal", "user": "ada"}),
    );
    let reader = secrets(server.source().token(ROOT));
    let known = reader.get("password").ttl_seconds(1.0).blocking().unwrap();
    assert_eq!(known.expose(), "before-the-seal");
    server.call("PUT", "/sys/seal", &Value::Null);
    let error = read(&reader, "user").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("sealed"), "{error}");
    // past its time to live, while the server does not respond
    wait_until("the value is due", || {
        let secret = reader
            .get("password")
            .ttl_seconds(0.001)
            .blocking()
            .unwrap();
        assert_eq!(secret.expose(), "before-the-seal");
        reader.stats().stale_served > 0
    });
}

#[test]
fn an_expired_token_is_distinguished_from_a_denied_secret() {
    let Some(server) = OpenBao::start() else {
        return;
    };
    server.put(
        "db/login",
        &json!({"password": "p4ssw0rd-of-the-vault", "user": "ada"}),
    );
    let token = server.token(1, false);
    let reader = secrets(server.source().token(token.clone()));
    assert_eq!(read(&reader, "password").unwrap(), "p4ssw0rd-of-the-vault");
    wait_until("the token expires", || !server.is_accepted(&token));
    let expired = read(&reader, "password").unwrap_err();
    assert_eq!(expired.kind(), ErrorKind::Unauthenticated, "{expired}");
    assert!(
        !format!("{expired} {expired:?}").contains(&token),
        "{expired}"
    );
    // a file that an agent renews is read again
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let token = server.token(1, false);
    std::fs::write(&file, format!("{token}\n")).unwrap();
    let reader = secrets(server.source().token_file(&file));
    assert_eq!(read(&reader, "password").unwrap(), "p4ssw0rd-of-the-vault");
    wait_until("the token expires", || !server.is_accepted(&token));
    std::fs::write(&file, server.token(600, false)).unwrap();
    assert_eq!(read(&reader, "password").unwrap(), "p4ssw0rd-of-the-vault");
}

#[test]
fn a_lease_is_renewed_while_nobody_asks() {
    let Some(server) = OpenBao::start() else {
        return;
    };
    server.put(
        "db/login",
        &json!({"password": "kept-alive-password", "user": "ada"}),
    );
    let token = server.token(2, true);
    let reader = secrets(server.source().token(token.clone()));
    assert_eq!(read(&reader, "password").unwrap(), "kept-alive-password");
    let start = Instant::now();
    wait_until("three leases", || {
        assert!(
            server.is_accepted(&token),
            "expired after {:?}",
            start.elapsed()
        );
        start.elapsed() > Duration::from_secs(6)
    });
    drop(reader);
    // nothing renews the token of a source that was dropped
    wait_until("the token expires", || !server.is_accepted(&token));
}

#[test]
fn an_app_role_logs_in_and_again_when_its_token_is_revoked() {
    let Some(server) = OpenBao::start() else {
        return;
    };
    server.put(
        "db/login",
        &json!({"password": "for-the-app-role", "user": "ada"}),
    );
    server.policy();
    server.call("POST", "/sys/auth/apps", &json!({"type": "approle"}));
    let role = json!({"token_policies": ["db"], "token_ttl": "600s"});
    server.call("POST", "/auth/apps/role/api", &role);
    let role_id = server.call("GET", "/auth/apps/role/api/role-id", &Value::Null);
    let secret_id = server.call("POST", "/auth/apps/role/api/secret-id", &json!({}));
    let text = |answer: &Value, key: &str| answer["data"][key].as_str().unwrap().to_owned();
    let (role_id, secret_id) = (text(&role_id, "role_id"), text(&secret_id, "secret_id"));
    let reader = secrets(
        server
            .source()
            .app_role(&*role_id, &*secret_id)
            .login_mount("apps"),
    );
    assert_eq!(read(&reader, "password").unwrap(), "for-the-app-role");
    let accessors = server.call("LIST", "/auth/token/accessors", &Value::Null);
    for accessor in accessors["data"]["keys"].as_array().unwrap() {
        let body = json!({ "accessor": accessor });
        let of = server.call("POST", "/auth/token/lookup-accessor", &body);
        if of["data"]["path"] == "auth/apps/login" {
            server.call("POST", "/auth/token/revoke-accessor", &body);
        }
    }
    assert_eq!(read(&reader, "password").unwrap(), "for-the-app-role");
    let stranger = secrets(
        server
            .source()
            .app_role(role_id, "no-such-secret-id")
            .login_mount("apps"),
    );
    let refused = stranger
        .get("password")
        .or("a-default")
        .blocking()
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unauthenticated, "{refused}");
    assert!(
        !format!("{refused} {refused:?}").contains("no-such-secret-id"),
        "{refused}"
    );
}

/// Stands in for the TokenReview of a Kubernetes API server: it knows one service account by its token.
fn token_review() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = review(stream);
        }
    });
    url
}

fn review(mut stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line)? > 2 {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let known = asked["spec"]["token"]
        .as_str()
        .is_some_and(|token| token == jwt());
    let user = json!({"username": "system:serviceaccount:shop:api", "uid": "uid-1", "groups": []});
    let status = json!({"authenticated": known, "user": user});
    let answer =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status});
    let answer = answer.to_string();
    let length = answer.len();
    write!(
        stream,
        "HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{answer}"
    )
}

/// Certificate that the server requires, although the stand-in does not use it.
const UNUSED_CA: &str = "-----BEGIN CERTIFICATE-----
MIIBeTCCAR+gAwIBAgIUI3kBET9zLhwjF1KmWzTCjLe6mjQwCgYIKoZIzj0EAwIw
ETEPMA0GA1UEAwwGbm9ib2R5MCAXDTI2MTEyNjE4NDQyN1oYDzIxMjYxMTAyMTg0
NDI3WjARMQ8wDQYDVQQDDAZub2JvZHkwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AAQyUd7VYDukd1N1pGSskBxQEGtvg0ISmdivYlpJa4ZX43QSzlROusjFjYs1IfwI
d3jfdUGa+Gnos7pHdLkhXuD/o1MwUTAdBgNVHQ4EFgQUp4x+RD4GvAjR0Wd0zdaQ
fvqBjWAwHwYDVR0jBBgwFoAUp4x+RD4GvAjR0Wd0zdaQfvqBjWAwDwYDVR0TAQH/
BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEAyVuE7s60QdZeu9FxPNMS/230Xbgg
cfRcnD7c9rXKHpYCIE+eNKM5UvNX0KfD5ZbLUelJtrMohx1tWIqxWefgC3T4
-----END CERTIFICATE-----";

/// Returns the token of the service account `api` in `shop`. Only the review checks its signature.
fn jwt() -> String {
    let part = |text: &str| {
        const LETTERS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut out = String::new();
        for bytes in text.as_bytes().chunks(3) {
            let word = bytes
                .iter()
                .fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
            let word = word << (8 * (3 - bytes.len()));
            for at in 0..=bytes.len() {
                out.push(LETTERS[(word >> (18 - 6 * at) & 63) as usize] as char);
            }
        }
        out
    };
    let header = part(r#"{"alg":"RS256","typ":"JWT"}"#);
    let claims = part(
        r#"{"iss":"kubernetes/serviceaccount","sub":"system:serviceaccount:shop:api","exp":4102444800,"iat":1700000000,"nbf":1700000000,"kubernetes.io/serviceaccount/namespace":"shop","kubernetes.io/serviceaccount/service-account.name":"api","kubernetes.io/serviceaccount/service-account.uid":"uid-1"}"#,
    );
    format!(
        "{header}.{claims}.{}",
        part("no signature: the review decides")
    )
}

#[test]
fn a_pod_logs_in_with_its_service_account() {
    let Some(server) = OpenBao::start() else {
        return;
    };
    server.put(
        "db/login",
        &json!({"password": "for-the-pod", "user": "ada"}),
    );
    server.policy();
    server.call(
        "POST",
        "/sys/auth/kubernetes",
        &json!({"type": "kubernetes"}),
    );
    let host = json!({
        "kubernetes_host": token_review(), "token_reviewer_jwt": jwt(), "disable_local_ca_jwt": true, "kubernetes_ca_cert": UNUSED_CA,
        "disable_iss_validation": true,
    });
    server.call("POST", "/auth/kubernetes/config", &host);
    let role = json!({
        "bound_service_account_names": ["api"], "bound_service_account_namespaces": ["shop"],
        "token_policies": ["db"], "token_ttl": "600s",
    });
    server.call("POST", "/auth/kubernetes/role/api", &role);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, jwt()).unwrap();
    let source = || {
        server
            .source()
            .kubernetes("api")
            .service_account_token(&file)
    };
    assert_eq!(read(&secrets(source()), "password").unwrap(), "for-the-pod");
    std::fs::write(&file, jwt() + "x").unwrap();
    let refused = read(&secrets(source()), "password").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unauthenticated, "{refused}");
}

#[test]
fn an_invalid_address_is_refused_at_once() {
    for address in [
        "",
        "127.0.0.1:8200",
        "ftp://vault",
        "https://",
        "http://user:secret-pass@vault",
        "http://:8200",
        "http://vault:",
        "http://vault:port",
        "http://vault:99999",
        "http://vault 8200",
        "http://::1:8200",
        "http://vault:8200?secret-pass",
        "http://vault:8200/#secret-pass",
    ] {
        let error = VaultSource::new(address).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{address}");
        assert!(!error.to_string().contains("secret-pass"), "{error}");
    }
    for address in [
        "http://vault",
        "http://[::1]:8200",
        "http://my_proxy/vault/",
    ] {
        assert!(VaultSource::new(address).is_ok(), "{address}");
    }
    // nothing listens there, and no proxy of the environment is used
    let nobody = VaultSource::new(format!("http://127.0.0.1:{}", free_port())).unwrap();
    let error = secrets(nobody.token("t"))
        .get("password")
        .or("a-default")
        .blocking();
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Unavailable);
}
