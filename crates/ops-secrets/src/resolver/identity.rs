//! Identity of the process at AWS, for diagnostics.

use std::time::Instant;

use tokio::sync::oneshot;

use crate::SecretError;
use crate::error::ErrorKind;
use crate::resolver::block_on::block_on;
use crate::resolver::secrets::Secrets;
use crate::source::FetchError;

impl Secrets {
    /// Asks AWS (the Security Token Service) for the identity of the credentials, and
    /// returns its ARN; `None` if AWS is not queried for secrets. Every policy allows this
    /// request, so a failure means that the credentials or the connection are at fault.
    ///
    /// Sends a request on each call, and waits as [`Get::blocking`](crate::Get::blocking)
    /// does, for at most the deadline of a lookup.
    ///
    /// # Errors
    /// Fails if there are no credentials, if AWS refuses them, or if it does not respond in time.
    pub fn aws_identity_blocking(&self) -> Result<Option<String>, SecretError> {
        let resolver = &self.resolver;
        let Some(identity) = resolver.chain.identity() else {
            return Ok(None);
        };
        let refused = |kind, detail: &str| {
            let message = format!("cannot get the caller identity from AWS: {detail}");
            SecretError::new(kind, message, Vec::new())
        };
        let late = || refused(ErrorKind::Transient, "no response within the deadline");
        let until = Instant::now() + resolver.config.deadline_duration();
        let (send, answered) = oneshot::channel();
        let asking = async move {
            let answer = identity.fetch(&[String::new()], until).await.pop();
            // the caller may have stopped waiting
            let _ = send.send(answer);
        };
        let started = resolver.runtime.spawn(asking);
        started.map_err(|error| refused(ErrorKind::Transient, &error.to_string()))?;
        let answer = block_on(answered, Some(until))
            .and_then(Result::ok)
            .flatten();
        match answer {
            Some(Ok(arn)) => Ok(arn.text().map(str::to_owned)),
            Some(Err(FetchError::Absent)) | None => Err(late()),
            Some(Err(
                FetchError::Failed { kind, detail } | FetchError::Unreachable { kind, detail },
            )) => Err(refused(kind, &detail)),
        }
    }
}
