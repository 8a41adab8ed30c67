use std::io::{self, BufRead, Read};

const MAX_BODY_BYTES: usize = 256 * 1024 * 1024;

/// Head of a request: the parts that a collector needs.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) path: String,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
}

impl Head {
    /// Reads a head; `None` if the peer closed the connection.
    pub(super) fn read(stream: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut headers = Vec::new();
        loop {
            line.clear();
            if stream.read_line(&mut line)? <= 2 {
                return Ok(Some(Self { path, headers }));
            }
            if let Some((name, value)) = line.split_once(':') {
                headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(super) fn body(&self, stream: &mut impl Read) -> io::Result<Vec<u8>> {
        let length = self.header("content-length").and_then(|l| l.parse().ok());
        let length = length.filter(|length| *length <= MAX_BODY_BYTES);
        let length = length.ok_or_else(|| io::Error::other("missing or invalid content-length"))?;
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        match self.header("content-encoding") {
            Some("gzip") => unzipped(&body),
            _ => Ok(body),
        }
    }
}

#[cfg(feature = "gzip")]
fn unzipped(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(body).read_to_end(&mut plain)?;
    Ok(plain)
}

#[cfg(not(feature = "gzip"))]
fn unzipped(_: &[u8]) -> io::Result<Vec<u8>> {
    Err(io::Error::other("gzip requires the feature `gzip`"))
}
