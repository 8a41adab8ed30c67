use std::sync::{Arc, LazyLock};

use arc_swap::ArcSwapOption;

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

/// The list of the process, once one was configured.
static CURRENT: ArcSwapOption<DenyList> = ArcSwapOption::const_empty();

/// Makes this the list of the process.
pub(crate) fn set_current(list: DenyList) {
    CURRENT.store(Some(Arc::new(list)));
}

/// The list of the process.
pub(crate) fn with_current<R>(work: impl FnOnce(&DenyList) -> R) -> R {
    static DEFAULT: LazyLock<DenyList> = LazyLock::new(|| DenyList::new(DENIED_KEYS));
    match CURRENT.load().as_ref() {
        Some(list) => work(list),
        None => work(&DEFAULT),
    }
}

/// Decides by its key whether a value may be written.
#[derive(Clone, Debug)]
pub(crate) struct DenyList {
    words: Arc<[Box<str>]>,
    /// The last four letters of all words: most keys are let through after one look.
    endings: [u64; ENDING_WORDS],
    /// Whether a word has fewer letters: then every key is compared.
    has_short: bool,
}

impl DenyList {
    pub(crate) fn new<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let words: Arc<[Box<str>]> = words
            .into_iter()
            .filter(|word| !word.is_empty())
            .map(|word| normalized(word).collect::<String>().into())
            .collect();
        let mut endings = [0; ENDING_WORDS];
        for word in words.iter() {
            let Ending { word, bit } = ending(word.as_bytes());
            endings[word] |= bit;
        }
        let has_short = words.iter().any(|word| word.len() < 4);
        Self {
            words,
            endings,
            has_short,
        }
    }

    /// Whether the key is a word of the list, or ends in one: `db_password`, `X-API-Key`, `refreshToken`.
    #[inline]
    pub(crate) fn has(&self, key: &[u8]) -> bool {
        self.has_with(key, ending(key))
    }

    /// The same, where the key's ending is known.
    #[inline]
    pub(crate) fn has_with(&self, key: &[u8], ending: Ending) -> bool {
        (self.endings[ending.word] & ending.bit != 0 || self.has_short) && self.has_word(key)
    }

    #[cold]
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

/// Two bytes are equal where the case and the kind of dash are all that differs.
const fn fold(byte: u8) -> u8 {
    if byte == b'-' {
        b'_'
    } else {
        byte.to_ascii_lowercase()
    }
}

/// 1024 bits.
const ENDING_WORDS: usize = 16;

/// The last four letters of a key; none where there are fewer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending {
    word: usize,
    bit: u64,
}

#[inline]
pub(crate) const fn ending(key: &[u8]) -> Ending {
    let [.., a, b, c, d] = key else {
        return Ending { word: 0, bit: 0 };
    };
    let letters = u32::from_le_bytes([fold(*a), fold(*b), fold(*c), fold(*d)]);
    let mixed = letters.wrapping_mul(0x9e37_79b1) >> 22;
    Ending {
        word: (mixed >> 6) as usize,
        bit: 1 << (mixed & 63),
    }
}
