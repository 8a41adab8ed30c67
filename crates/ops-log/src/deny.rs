use std::sync::Arc;

/// Keys whose values are never written, unless configured otherwise: the last word of a key decides.
pub const DENIED_KEYS: [&str; 14] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "secret_key",
    "private_key",
    "access_key",
    "api_key",
    "apikey",
    "token",
    "authorization",
    "cookie",
    "credential",
    "credentials",
];

/// Decides by its key whether a value may be written.
#[derive(Clone, Debug)]
pub(crate) struct DenyList {
    words: Arc<[Box<str>]>,
    /// The last two letters of all words: most keys are let through after one look.
    endings: Arc<[u32; 32]>,
}

impl DenyList {
    pub(crate) fn new<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let words: Arc<[Box<str>]> = words
            .into_iter()
            .filter(|word| !word.is_empty())
            .map(|word| normalized(word).collect::<String>().into())
            .collect();
        let mut endings = [0_u32; 32];
        for word in words.iter() {
            let (row, bit) = ending(word.as_bytes());
            endings[row] |= bit;
        }
        Self {
            words,
            endings: Arc::new(endings),
        }
    }

    /// Whether the key is a word of the list, or ends in one: `db_password`, `X-API-Key`, `refreshToken`.
    #[inline]
    pub(crate) fn has(&self, key: &[u8]) -> bool {
        let (row, bit) = ending(key);
        self.endings[row] & bit != 0 && self.has_word(key)
    }

    fn has_word(&self, key: &[u8]) -> bool {
        self.words.iter().any(|word| {
            key.len() >= word.len()
                && key[key.len() - word.len()..]
                    .iter()
                    .zip(word.bytes())
                    .all(|(a, b)| fold(*a) == b)
        })
    }
}

fn normalized(word: &str) -> impl Iterator<Item = char> {
    word.chars().map(|c| {
        if c == '-' {
            '_'
        } else {
            c.to_ascii_lowercase()
        }
    })
}

fn fold(byte: u8) -> u8 {
    if byte == b'-' {
        b'_'
    } else {
        byte.to_ascii_lowercase()
    }
}

/// Row and bit of the last two letters; a word of one letter shares its row with all that end in it.
#[inline]
fn ending(key: &[u8]) -> (usize, u32) {
    let [.., before, last] = key else {
        return (0, u32::MAX);
    };
    ((fold(*last) & 31) as usize, 1 << (fold(*before) & 31))
}
