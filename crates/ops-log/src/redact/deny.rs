use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, LazyLock};

use arc_swap::ArcSwapOption;

/// Default keys whose values are never written. The last word of a key decides,
/// regardless of digits and punctuation after it (`password_2`, `token[]`).
pub const DENIED_KEYS: &[&str] = &[
    "password",
    "passwords",
    "password_confirmation",
    "passwd",
    "passphrase",
    "passcode",
    "pwd",
    "pass",
    "secret",
    "secret_string",
    "secret_binary",
    "secret_value",
    "secret_key",
    "private_key",
    "access_key",
    "signing_key",
    "encryption_key",
    "account_key",
    "api_key",
    "api_keys",
    "token",
    "jwt",
    "bearer",
    "authorization",
    "cookie",
    "cookies",
    "session_id",
    "credential",
    "credentials",
    "dsn",
    "connection_string",
];

/// Default keys whose values are written although their last word is denied.
pub const ALLOWED_KEYS: &[&str] = &[
    "next_page_token",
    "page_token",
    "next_token",
    "continuation_token",
    "is_secret",
    "is_token",
    "is_password",
    "has_secret",
    "has_token",
    "has_password",
    "bypass",
    "compass",
];

/// List of the process, once one was configured.
static CURRENT: ArcSwapOption<DenyList> = ArcSwapOption::const_empty();

/// Sets the list of the process.
pub(crate) fn set_current(list: DenyList) {
    CURRENT.store(Some(Arc::new(list)));
}

/// Calls `work` with the list of the process.
pub(crate) fn with_current<R>(work: impl FnOnce(&DenyList) -> R) -> R {
    static DEFAULT: LazyLock<DenyList> =
        LazyLock::new(|| DenyList::new(DENIED_KEYS.iter(), ALLOWED_KEYS.iter()));
    match CURRENT.load().as_ref() {
        Some(list) => work(list),
        None => work(&DEFAULT),
    }
}

/// List of keys whose values must not be written.
#[derive(Clone, Debug)]
pub(crate) struct DenyList {
    words: Arc<[Box<[u8]>]>,
    allowed: Arc<[Box<[u8]>]>,
    /// Equal for lists with the same denied and allowed keys.
    id: u64,
    /// Bit table of the last three letters of all words, so that most keys
    /// pass after one lookup. All bits are set if a word has fewer letters.
    endings: [u64; ENDING_WORDS],
    /// Bit tables of the last four letters of longer words, and of words with three letters.
    fours: [u64; ENDING_WORDS],
    threes: [u64; ENDING_WORDS],
    /// Set if a word has fewer letters: then every key is compared.
    has_tiny: bool,
    has_paths: bool,
}

impl DenyList {
    /// Creates a list. Words with a dot are paths: `user.email` is `email` within `user`.
    pub(crate) fn new<T: AsRef<str>>(
        denied: impl IntoIterator<Item = T>,
        allowed: impl IntoIterator<Item = T>,
    ) -> Self {
        let (words, allowed) = (normalized(denied), normalized(allowed));
        let mut hasher = DefaultHasher::new();
        (&words, &allowed).hash(&mut hasher);
        let has_tiny = words.iter().any(|word| without_tail(word).len() < 3);
        let mut endings = [if has_tiny { u64::MAX } else { 0 }; ENDING_WORDS];
        let (mut fours, mut threes) = ([0; ENDING_WORDS], [0; ENDING_WORDS]);
        for word in words.iter() {
            let ending = ending(word);
            endings[ending.three.word] |= ending.three.bit;
            match without_tail(word).len() {
                4.. => fours[ending.four.word] |= ending.four.bit,
                _ => threes[ending.three.word] |= ending.three.bit,
            }
        }
        Self {
            has_tiny,
            has_paths: words.iter().any(|word| word.contains(&b'.')),
            words,
            allowed,
            id: hasher.finish(),
            endings,
            fours,
            threes,
        }
    }

    /// Returns an id that is equal for lists with the same denied and allowed keys.
    #[inline]
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Returns `true` if the key is a word of the list, or ends in one: `db_password`, `X-API-Key`, `privateKey`.
    #[inline]
    pub(crate) fn has(&self, key: &[u8]) -> bool {
        self.has_with(key, ending(key))
    }

    /// Same as [`has`](Self::has), for a key whose ending is known.
    #[inline]
    pub(crate) fn has_with(&self, key: &[u8], ending: Ending) -> bool {
        self.may_have(ending) && self.denies(key, key)
    }

    /// Returns `true` if the list may have a key with this ending. Most keys pass after one lookup.
    #[inline]
    pub(crate) fn may_have(&self, ending: Ending) -> bool {
        let BitIndex { word, bit } = ending.three;
        self.endings[word % ENDING_WORDS] & bit != 0 && self.may_have_four(ending)
    }

    /// Same as [`has`](Self::has), for a key within a value; `path` is the path of keys to it, itself included.
    pub(crate) fn has_within(&self, key: &[u8], path: &[u8]) -> bool {
        (self.has_paths || self.may_have_four(ending(key))) && self.denies(key, path)
    }

    #[inline]
    fn may_have_four(&self, ending: Ending) -> bool {
        let four = self.fours[ending.four.word % ENDING_WORDS] & ending.four.bit;
        let three = self.threes[ending.three.word % ENDING_WORDS] & ending.three.bit;
        four | three != 0 || self.has_tiny
    }

    #[cold]
    fn denies(&self, key: &[u8], path: &[u8]) -> bool {
        let denied = self.words.iter().any(|word| {
            let text = if word.contains(&b'.') { path } else { key };
            before_end(text, word).is_some()
        });
        denied && !self.allows(path)
    }

    fn allows(&self, path: &[u8]) -> bool {
        self.allowed.iter().any(|allowed| {
            before_end(path, allowed).is_some_and(|before| matches!(before, [] | [.., b'.']))
        })
    }
}

/// Returns the part of a text before a word at its end, with or without digits and punctuation after the word.
fn before_end<'a>(text: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
    before_word(text, word).or_else(|| before_word(without_tail(text), word))
}

/// Returns the part of a text before a word at its end, ignoring dashes within the word.
fn before_word<'a>(text: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
    let (mut text, mut word) = (text, word);
    while let [rest @ .., letter] = word {
        let [before @ .., last] = text else {
            return None;
        };
        if fold(*last) == *letter {
            word = rest;
        } else if !is_dash(*last) {
            return None;
        }
        text = before;
    }
    Some(text)
}

fn normalized<T: AsRef<str>>(words: impl IntoIterator<Item = T>) -> Arc<[Box<[u8]>]> {
    words
        .into_iter()
        .map(|word| {
            let letters = word.as_ref().bytes().filter(|byte| !is_dash(*byte));
            letters.map(fold).collect::<Box<[u8]>>()
        })
        .filter(|word| !word.is_empty())
        .collect()
}

/// Returns the byte in lower case, for comparisons that ignore case.
const fn fold(byte: u8) -> u8 {
    byte.to_ascii_lowercase()
}

/// Returns `true` for word separators: `api_key`, `api-key` and `apiKey` are the same word.
const fn is_dash(byte: u8) -> bool {
    matches!(byte, b'_' | b'-' | b' ')
}

/// Returns the text without digits and punctuation at its end,
/// so that `password_2` is a password and `token[]` a token.
const fn without_tail(text: &[u8]) -> &[u8] {
    let mut rest = text;
    while let [before @ .., last] = rest {
        if last.is_ascii_alphabetic() || !last.is_ascii() {
            break;
        }
        rest = before;
    }
    rest
}

/// Size of a bit table: 1024 bits.
const ENDING_WORDS: usize = 16;

/// Last four and last three letters of a key, before digits and punctuation at its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending {
    four: BitIndex,
    three: BitIndex,
}

/// Bit in a table; the first bit, without significance, if the key has fewer letters.
#[derive(Clone, Copy, Debug)]
struct BitIndex {
    word: usize,
    bit: u64,
}

impl BitIndex {
    const NONE: Self = Self { word: 0, bit: 1 };

    #[inline]
    const fn of(letters: u32) -> Self {
        let mixed = letters.wrapping_mul(0x9e37_79b1) >> 22;
        Self {
            word: (mixed >> 6) as usize,
            bit: 1 << (mixed & 63),
        }
    }
}

#[inline]
pub(crate) const fn ending(key: &[u8]) -> Ending {
    let (mut letters, mut count, mut rest) = ([0; 4], 0, without_tail(key));
    while let [before @ .., last] = rest {
        if !is_dash(*last) {
            count += 1;
            letters[4 - count] = fold(*last);
            if count == 4 {
                break;
            }
        }
        rest = before;
    }
    let [a, b, c, d] = letters;
    Ending {
        four: if count == 4 {
            BitIndex::of(u32::from_le_bytes([a, b, c, d]))
        } else {
            BitIndex::NONE
        },
        three: if count >= 3 {
            BitIndex::of(u32::from_le_bytes([0, b, c, d]))
        } else {
            BitIndex::NONE
        },
    }
}
