use std::path::PathBuf;

use super::failure::Failure;
use super::settings::variable;
use crate::Error;

/// Minimum length of a token: 16 random characters cannot be guessed at the rate that the page allows.
const MIN_CHARS: usize = 16;

/// Reads the token of the admin page from `OPS_ADMIN_TOKEN`, or from the file that `OPS_ADMIN_TOKEN_FILE` names.
pub(super) fn from_env() -> Result<Option<String>, Error> {
    let failed = |failure| Error::new("admin", failure);
    let text = |text: &str| Some(text.to_owned());
    let (token, path) = match variable("OPS_ADMIN_TOKEN", "a text", text)? {
        Some(token) => (token, None),
        None => {
            let Some(path) = variable("OPS_ADMIN_TOKEN_FILE", "a path", |path| {
                Some(PathBuf::from(path))
            })?
            else {
                return Ok(None);
            };
            match std::fs::read_to_string(&path) {
                Ok(token) => (token.trim().to_owned(), Some(path)),
                Err(cause) => return Err(failed(Failure::TokenFile { path, cause })),
            }
        }
    };
    if token.len() < MIN_CHARS || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(failed(Failure::TokenTooShort { path }));
    }
    #[cfg(feature = "log")]
    ops_log::redact(&token);
    Ok(Some(token))
}
