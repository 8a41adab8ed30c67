//! A collector for checks of a platform that discards all spans: OTLP over HTTP, with 200 as the response. It counts
//! the spans, and can be unavailable for a while.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use flate2::read::GzDecoder;

use crate::Result;

/// Maximum bytes read of one request; a larger one ends its connection.
const BODY_MAX: u64 = 64 << 20;

/// Field numbers of the path from a request to its spans: resources, scopes, spans.
const PATH_OF_SPANS: [u64; 3] = [1, 2, 2];

/// Starts a collector on a free port that runs until this process ends, and returns its address.
pub(crate) fn start() -> Result<String> {
    Ok(Collector::start()?.url)
}

/// A running collector.
pub(crate) struct Collector {
    url: String,
    state: Arc<State>,
}

struct State {
    is_up: AtomicBool,
    spans: AtomicU64,
}

impl Collector {
    pub(crate) fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0");
        let listener = listener.map_err(|e| format!("cannot start a collector: {e}"))?;
        let address = listener.local_addr();
        let address = address.map_err(|e| format!("cannot read the collector's address: {e}"))?;
        let state = Arc::new(State {
            is_up: AtomicBool::new(true),
            spans: AtomicU64::new(0),
        });
        let of_thread = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = of_thread.clone();
                // the platform reopens a failed connection
                std::thread::spawn(move || serve(stream, &state));
            }
        });
        let url = format!("http://{address}");
        Ok(Self { url, state })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Returns the number of spans in successful requests.
    pub(crate) fn spans(&self) -> u64 {
        self.state.spans.load(Ordering::SeqCst)
    }

    /// Accepts requests, or closes every connection.
    pub(crate) fn set_up(&self, is_up: bool) {
        self.state.is_up.store(is_up, Ordering::SeqCst);
    }
}

fn serve(stream: TcpStream, state: &State) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(head) = head(&mut reader)? {
        let mut body = Vec::new();
        (&mut reader).take(head.length).read_to_end(&mut body)?;
        if !state.is_up.load(Ordering::SeqCst) {
            break;
        }
        if head.is_zipped {
            let mut plain = Vec::new();
            GzDecoder::new(&*body)
                .take(BODY_MAX)
                .read_to_end(&mut plain)?;
            body = plain;
        }
        state
            .spans
            .fetch_add(count(&body, &PATH_OF_SPANS), Ordering::SeqCst);
        let answer =
            b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        reader.get_mut().write_all(answer)?;
    }
    Ok(())
}

/// Returns the number of messages at the end of a path of fields (protobuf wire format); 0 if the message is invalid.
fn count(mut message: &[u8], path: &[u64]) -> u64 {
    let Some((field, path)) = path.split_first() else {
        return 1;
    };
    let mut found = 0;
    while let Some(key) = varint(&mut message) {
        let length = match key & 7 {
            0 => {
                varint(&mut message);
                continue;
            }
            1 => 8,
            2 => varint(&mut message).unwrap_or(u64::MAX),
            5 => 4,
            _ => return found,
        };
        let Some((inner, rest)) = usize::try_from(length)
            .ok()
            .and_then(|length| message.split_at_checked(length))
        else {
            return found;
        };
        message = rest;
        if key == field << 3 | 2 {
            found += count(inner, path);
        }
    }
    found
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

struct Head {
    length: u64,
    is_zipped: bool,
}

/// Reads the next head; `None` at the end of the connection.
fn head(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Head>> {
    let mut head = Head {
        length: 0,
        is_zipped: false,
    };
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            return Ok(Some(head).filter(|head| head.length <= BODY_MAX));
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            head.length = value.trim().parse().map_err(std::io::Error::other)?;
        }
        head.is_zipped |= line.starts_with("content-encoding:") && line.ends_with("gzip");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(field: u8, inner: &[u8]) -> Vec<u8> {
        let mut bytes = vec![field << 3 | 2, u8::try_from(inner.len()).unwrap()];
        bytes.extend_from_slice(inner);
        bytes
    }

    #[test]
    fn spans_are_counted_only_at_their_path_of_fields() {
        let span = message(2, &[5 << 3, 1]);
        let name = message(3, b"schema");
        let scope = message(2, &[span.clone(), name, span.clone(), span].concat());
        let resource = message(1, &[message(1, b"resource"), scope.clone(), scope].concat());
        let body = [resource.clone(), resource].concat();
        assert_eq!(count(&body, &PATH_OF_SPANS), 12);
        assert_eq!(count(&body[..body.len() - 1], &PATH_OF_SPANS), 6);
        assert_eq!(count(b"", &PATH_OF_SPANS), 0);
    }
}
