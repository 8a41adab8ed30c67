use super::{HEAD_BYTES, MAGIC, MAX_NAME_BYTES, MAX_RING_BYTES, MIN_RING_BYTES, VERSION};

/// Part of the head that does not change during a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) ring_bytes: u64,
    pub(crate) run: u64,
    pub(crate) process: u64,
    /// Nanoseconds since 1970.
    pub(crate) started: u64,
    pub(crate) boot: [u8; 16],
    /// Device and inode; zeros if unknown.
    pub(crate) group: [u64; 2],
    pub(crate) service: String,
}

/// Offset of the checksum.
const CHECKSUM: usize = 248;
const NAME: usize = 88;

impl Head {
    pub(crate) fn to_bytes(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        let name = cut(&self.service, MAX_NAME_BYTES).as_bytes();
        let numbers = [
            MAGIC,
            u64::from(VERSION) | (HEAD_BYTES as u64) << 32,
            self.ring_bytes,
            self.run,
            self.process,
            self.started,
        ];
        for (at, number) in numbers.into_iter().enumerate() {
            put(&mut bytes, at * 8, number);
        }
        bytes[48..64].copy_from_slice(&self.boot);
        put(&mut bytes, 64, self.group[0]);
        put(&mut bytes, 72, self.group[1]);
        put(&mut bytes, 80, name.len() as u64);
        bytes[NAME..NAME + name.len()].copy_from_slice(name);
        let checksum = crc32fast::hash(&bytes[..CHECKSUM]);
        bytes[CHECKSUM..CHECKSUM + 4].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Parses the head; the error is the reason why it is not valid.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.is_empty() {
            return Err("the file is empty".to_owned());
        }
        let begins = bytes.len().min(8);
        if bytes[..begins] != MAGIC.to_le_bytes()[..begins] {
            let but = match bytes.iter().all(|byte| *byte == 0) {
                true => " but with zeros, as after a power loss",
                false => "",
            };
            return Err(format!(
                "not a black box: the file does not begin with OPSBBOX{but}"
            ));
        }
        if bytes.len() < HEAD_BYTES {
            let length = bytes.len();
            return Err(format!(
                "the file is truncated: it has {length} bytes, the header alone needs {HEAD_BYTES}"
            ));
        }
        let version = word(bytes, 8);
        if version != u64::from(VERSION) | (HEAD_BYTES as u64) << 32 {
            let version = version & 0xffff_ffff;
            return Err(format!(
                "unsupported format: version {version}, expected version {VERSION} with a header of {HEAD_BYTES} bytes"
            ));
        }
        let checksum = crc32fast::hash(&bytes[..CHECKSUM]);
        if bytes[CHECKSUM..CHECKSUM + 4] != checksum.to_le_bytes() {
            return Err("header checksum mismatch: the file is damaged or forged".into());
        }
        let ring_bytes = word(bytes, 16);
        if !ring_bytes.is_power_of_two() || !(MIN_RING_BYTES..=MAX_RING_BYTES).contains(&ring_bytes)
        {
            return Err(format!(
                "invalid ring size of {ring_bytes} bytes in the header, expected a power of two from {MIN_RING_BYTES} to {MAX_RING_BYTES}"
            ));
        }
        let name = word(bytes, 80);
        let name = usize::try_from(name).ok();
        let name = name.filter(|length| *length <= MAX_NAME_BYTES);
        let Some(name) = name else {
            return Err("the service name in the header is too long".into());
        };
        let mut boot = [0; 16];
        boot.copy_from_slice(&bytes[48..64]);
        Ok(Self {
            ring_bytes,
            run: word(bytes, 24),
            process: word(bytes, 32),
            started: word(bytes, 40),
            boot,
            group: [word(bytes, 64), word(bytes, 72)],
            service: String::from_utf8_lossy(&bytes[NAME..NAME + name]).into_owned(),
        })
    }
}

/// Reads eight bytes; zero if the file is too short.
pub(crate) fn word(bytes: &[u8], at: usize) -> u64 {
    let eight = bytes
        .get(at..at + 8)
        .and_then(|eight| eight.try_into().ok());
    eight.map_or(0, u64::from_le_bytes)
}

fn put(bytes: &mut [u8], at: usize, number: u64) {
    bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
}

/// Cuts a text at a character boundary.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}
