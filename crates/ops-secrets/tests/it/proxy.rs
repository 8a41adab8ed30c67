//! A proxy in front of moto that makes chosen requests fail as AWS sometimes does.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

pub(crate) struct Proxy {
    pub(crate) url: String,
    shared: Arc<Shared>,
}

/// Function that returns status and body for an operation with this body.
type Answering = Box<dyn Fn(&str, &serde_json::Value) -> (u16, String) + Send + Sync>;

struct Shared {
    behind: Option<String>,
    answering: Option<Answering>,
    limit: Option<Limit>,
    rules: Mutex<Vec<Rule>>,
    seen: Mutex<Vec<String>>,
    heads: Mutex<Vec<String>>,
    sts: Mutex<Option<usize>>,
    released: Mutex<bool>,
    release: Condvar,
}

/// Requests per second, as AWS counts them: a bucket that fills steadily. Further requests are throttled.
struct Limit {
    per_second: f64,
    bucket: Mutex<(f64, Instant)>,
}

/// Fault for requests for `operation` whose body contains `text`.
#[derive(Clone)]
pub(crate) struct Rule {
    pub(crate) operation: &'static str,
    pub(crate) text: &'static str,
    pub(crate) fault: Fault,
}

#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Status, error code, message.
    Error(u16, &'static str, &'static str),
    /// A successful response with this body.
    Body(String),
    /// No response before [`Proxy::release`]; then the real one.
    Held,
    /// The connection ends without a response.
    HangUp,
}

impl Proxy {
    /// Creates a proxy in front of `behind`, or of nothing.
    pub(crate) fn new(behind: Option<&str>, rules: Vec<Rule>) -> Self {
        Self::start(behind, rules, None, None)
    }

    /// Creates an independent service, with a limit of requests per second.
    pub(crate) fn answering(
        per_second: Option<f64>,
        answer: impl Fn(&str, &serde_json::Value) -> (u16, String) + Send + Sync + 'static,
    ) -> Self {
        let limit = per_second.map(|per_second| Limit {
            per_second,
            bucket: Mutex::new((per_second, Instant::now())),
        });
        Self::start(None, Vec::new(), Some(Box::new(answer)), limit)
    }

    fn start(
        behind: Option<&str>,
        rules: Vec<Rule>,
        answering: Option<Answering>,
        limit: Option<Limit>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let address = behind.map(|url| url.trim_start_matches("http://").to_owned());
        let shared = Arc::new(Shared {
            behind: address,
            answering,
            limit,
            rules: Mutex::new(rules),
            seen: Mutex::default(),
            heads: Mutex::default(),
            sts: Mutex::default(),
            released: Mutex::default(),
            release: Condvar::new(),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = Arc::clone(&serving);
                std::thread::spawn(move || serving.serve(stream));
            }
        });
        Self { url, shared }
    }

    /// Creates a proxy in which every request gets this fault.
    pub(crate) fn always(fault: Fault) -> Self {
        let rule = Rule {
            operation: "",
            text: "",
            fault,
        };
        Self::new(None, vec![rule])
    }

    pub(crate) fn set(&self, rules: Vec<Rule>) {
        *self.shared.rules.lock().unwrap() = rules;
    }

    /// Releases held requests, and those to come.
    pub(crate) fn release(&self) {
        *self.shared.released.lock().unwrap() = true;
        self.shared.release.notify_all();
    }

    /// Returns the operations of the requests so far.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Returns the heads of the requests so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.shared.heads.lock().unwrap().clone()
    }

    /// Responds as STS does: the first time with a session that is about to expire, then by refusing the role.
    pub(crate) fn answer_as_sts(&self) {
        *self.shared.sts.lock().unwrap() = Some(0);
    }

    pub(crate) fn count(&self, operation: &str) -> usize {
        let seen = self.seen();
        seen.iter().filter(|seen| *seen == operation).count()
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) {
        let Some((head, body)) = read_request(&stream) else {
            return;
        };
        let operation = operation(&head);
        self.seen.lock().unwrap().push(operation.clone());
        self.heads.lock().unwrap().push(head.clone());
        if let Some(calls) = self.sts.lock().unwrap().as_mut() {
            *calls += 1;
            let _ = stream.write_all(sts(*calls).as_bytes());
            return;
        }
        let text = String::from_utf8_lossy(&body).into_owned();
        let applies = |rule: &&Rule| {
            (rule.operation.is_empty() || rule.operation == operation) && text.contains(rule.text)
        };
        let fault = self.rules.lock().unwrap().iter().find(applies).cloned();
        match fault.map(|rule| rule.fault) {
            Some(Fault::HangUp) => return,
            Some(Fault::Error(status, code, message)) => {
                let body = format!("{{\"__type\":\"{code}\",\"message\":\"{message}\"}}");
                let _ = stream.write_all(answer(status, &body).as_bytes());
                return;
            }
            Some(Fault::Body(body)) => {
                let _ = stream.write_all(answer(200, &body).as_bytes());
                return;
            }
            Some(Fault::Held) => {
                let released = self.released.lock().unwrap();
                drop(self.release.wait_while(released, |released| !*released));
            }
            None => {}
        }
        if self.limit.as_ref().is_some_and(|limit| !limit.admits()) {
            let body = "{\"__type\":\"ThrottlingException\",\"message\":\"Rate exceeded\"}";
            let _ = stream.write_all(answer(400, body).as_bytes());
            return;
        }
        if let Some(answering) = &self.answering {
            let json = serde_json::from_str(&text).unwrap_or_default();
            let (status, body) = answering(&operation, &json);
            let _ = stream.write_all(answer(status, &body).as_bytes());
            return;
        }
        let _ = self.forward(&mut stream, &head, &body);
    }

    fn forward(&self, stream: &mut TcpStream, head: &str, body: &[u8]) -> std::io::Result<()> {
        let Some(address) = &self.behind else {
            return Ok(());
        };
        let mut behind = TcpStream::connect(address)?;
        let mut lines = head.lines();
        write!(
            behind,
            "{}\r\nconnection: close\r\n",
            lines.next().unwrap_or_default()
        )?;
        for line in lines.filter(|line| !line.to_ascii_lowercase().starts_with("connection:")) {
            write!(behind, "{line}\r\n")?;
        }
        behind.write_all(b"\r\n")?;
        behind.write_all(body)?;
        std::io::copy(&mut behind, stream)?;
        Ok(())
    }
}

impl Limit {
    fn admits(&self) -> bool {
        let mut bucket = self.bucket.lock().unwrap();
        let filled = bucket.0 + bucket.1.elapsed().as_secs_f64() * self.per_second;
        *bucket = (filled.min(self.per_second), Instant::now());
        let admits = bucket.0 >= 1.0;
        bucket.0 -= if admits { 1.0 } else { 0.0 };
        admits
    }
}

fn read_request(stream: &TcpStream) -> Option<(String, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        head += line.trim_end();
        head += "\n";
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}

/// Returns `GetParameter` for `x-amz-target: AmazonSSM.GetParameter`.
fn operation(head: &str) -> String {
    let target = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("x-amz-target")
            .then(|| value.trim())
    });
    let operation = target.and_then(|target| target.rsplit('.').next());
    operation.unwrap_or_default().to_owned()
}

fn answer(status: u16, body: &str) -> String {
    let length = body.len();
    let head = "content-type: application/x-amz-json-1.1\r\nconnection: close";
    format!("HTTP/1.1 {status} X\r\n{head}\r\ncontent-length: {length}\r\n\r\n{body}")
}

fn sts(call: usize) -> String {
    let (status, body) = if call == 1 {
        let session = "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
            <AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>\
            <Expiration>2020-01-01T00:00:00Z</Expiration></Credentials><AssumedRoleUser>\
            <AssumedRoleId>i:s</AssumedRoleId><Arn>arn:aws:sts::123456789012:assumed-role/r/s</Arn>\
            </AssumedRoleUser></AssumeRoleResult></AssumeRoleResponse>";
        (200, session)
    } else {
        let refusal = "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
            <Code>AccessDenied</Code><Message>not authorized to perform: sts:AssumeRole</Message></Error></ErrorResponse>";
        (403, refusal)
    };
    answer(status, body).replace("application/x-amz-json-1.1", "text/xml")
}
