//! One secret of the catalog with its cached state.

use std::sync::Arc;

use crate::Secret;
use crate::cache::entry::CacheEntry;
use crate::cache::in_use::InUse;
use crate::setup::catalog::Entry;
use crate::source::file::FileNames;
use crate::source::target::Target;

/// One secret of the catalog: its configuration and cached state.
pub(crate) struct Tracked {
    pub(crate) entry: Entry,
    pub(crate) target: Target,
    /// A remote source is queried for it.
    pub(crate) is_remote: bool,
    pub(crate) files: FileNames,
    pub(crate) cache: CacheEntry,
}

/// Secret as named by a caller.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// Name in the catalog, or the requested name.
    pub(crate) name: &'a str,
    pub(crate) tracked: Option<&'a Arc<Tracked>>,
}

impl<'a> Place<'a> {
    pub(crate) fn new(name: &'a str, tracked: Option<&'a Arc<Tracked>>) -> Self {
        Self { name, tracked }
    }

    /// Returns the variable that holds it, in the environment and in the `.env` file.
    pub(crate) fn variable(&self) -> &'a str {
        self.tracked
            .map_or(self.name, |tracked| tracked.entry.env_var.as_str())
    }

    /// Returns the name for listeners.
    pub(crate) fn own_name(&self) -> &'a str {
        self.tracked
            .map_or(self.name, |tracked| tracked.entry.name.as_str())
    }

    /// Returns whether listeners are notified of this value.
    pub(crate) fn is_sensitive(&self, value: &str) -> bool {
        self.tracked.map_or_else(
            || looks_secret(self.name) || has_password(value),
            |tracked| tracked.entry.sensitive,
        )
    }
}

impl<'a> From<&'a Arc<Tracked>> for Place<'a> {
    fn from(tracked: &'a Arc<Tracked>) -> Self {
        Self::new(&tracked.entry.name, Some(tracked))
    }
}

impl Tracked {
    pub(crate) fn in_use(&self) -> Option<Arc<InUse>> {
        self.cache.in_use.load_full()
    }

    /// Returns whether the catalog, which many can read, has a default for a secret whose name looks secret.
    pub(crate) fn has_plain_default(&self) -> bool {
        let entry = &self.entry;
        let has_default = entry.default.as_ref().is_some_and(|text| !text.is_empty());
        entry.sensitive && looks_secret(&entry.name) && has_default
    }

    /// Serves the value that listeners were just notified of directly to callers that set no time to live,
    /// if it is the remote one. Stops serving the remote one directly if another source has replaced it.
    pub(crate) fn hand_out(&self, secret: &Secret, ttl: std::time::Duration) {
        let known = self.cache.known();
        let Some(known) = known.as_ref() else { return };
        match known.secret() {
            // binary values are served on the general path, to callers that request bytes
            _ if secret.is_binary() => {}
            Some(remote) if remote.is_same(secret) => self.cache.enable_fast_path(known, ttl),
            _ => self.cache.disable_fast_path(known),
        }
    }
}

/// Parts that make a name look secret, at any position.
const SECRET_PARTS: [&str; 11] = [
    "key",
    "token",
    "secret",
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "pwd",
    "jwt",
    "credential",
    "dsn",
];

/// Last words that make a name look secret; earlier in a name they describe a purpose, as in `cookie_domain`.
const SECRET_ENDINGS: [&str; 7] = [
    "pass",
    "bearer",
    "authorization",
    "cookie",
    "cookies",
    "session_id",
    "connection_string",
];

/// Returns whether a name looks secret.
fn looks_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let ends_in = |word: &&str| {
        let before = name.strip_suffix(*word);
        before.is_some_and(|before| !before.ends_with(|last: char| last.is_alphanumeric()))
    };
    SECRET_PARTS.iter().any(|part| name.contains(part)) || SECRET_ENDINGS.iter().any(ends_in)
}

/// Returns whether a value contains a URL with a password, whatever its name:
/// `postgres://app:PASSWORD@db/name`. A password that equals the user name does not count.
fn has_password(value: &str) -> bool {
    let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '<' | '>' | '\\' | '`');
    value.split(is_end).any(|word| {
        // searched once per word, however many URLs it contains
        let last_at = word.rfind('@');
        word.match_indices("://").any(|(at, mark)| {
            let start = at + mark.len();
            let last_at = last_at.and_then(|at| at.checked_sub(start));
            let userinfo = userinfo(&word[start..], last_at);
            let userinfo = userinfo.and_then(|userinfo| userinfo.split_once(':'));
            userinfo.is_some_and(|(user, password)| !password.is_empty() && password != user)
        })
    })
}

/// Returns the user info of a URL, given its text after `://` and the position of the last `@` in it.
fn userinfo(rest: &str, last_at: Option<usize>) -> Option<&str> {
    let authority = rest.split(['/', '?', '#']).next()?;
    if let Some((userinfo, _)) = authority.rsplit_once('@') {
        return Some(userinfo);
    }
    // a password may contain a character that ends an authority; a port consists of digits only
    let is_host = |host: &str| {
        let port = host.rsplit_once(':').map_or("", |(_, port)| port);
        host.starts_with('[') || port.bytes().all(|byte| byte.is_ascii_digit())
    };
    match authority.split(',').all(is_host) {
        true => None,
        false => Some(&rest[..last_at?]),
    }
}
