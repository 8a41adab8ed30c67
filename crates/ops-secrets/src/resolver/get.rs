//! Request for one secret, in its sync and async form.

use std::borrow::Cow;
use std::future::{IntoFuture, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use crate::cache::alarm::Alarm;
use crate::cache::flight::{Flight, Outcome};
use crate::cache::freshness::LookupResult;
use crate::error::ErrorKind;
use crate::resolver::block_on::block_on;
use crate::resolver::secrets::Secrets;
use crate::resolver::{Found, Request, Resolver, Step, not_found};
use crate::{Secret, SecretBytes, SecretError, SecretSource};

/// Request for one secret: set options, then `.await` it or call [`blocking`](Get::blocking).
#[must_use = "requests do nothing unless awaited or `.blocking()` is called"]
pub struct Get<'a> {
    secrets: Result<&'a Secrets, SecretError>,
    name: &'a str,
    ttl: Option<Duration>,
    default: Option<Cow<'a, str>>,
    /// Binary values are accepted too.
    binary: bool,
    /// No later source is queried if AWS fails.
    strict: bool,
}

impl<'a> Get<'a> {
    pub(crate) fn new(secrets: Result<&'a Secrets, SecretError>, name: &'a str) -> Self {
        Self {
            secrets,
            name,
            ttl: None,
            default: None,
            binary: false,
            strict: false,
        }
    }

    /// Makes a failure of AWS an error even where automatic mode would fall back.
    pub(crate) fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// Accepts a remote value up to this age. Zero always starts a lookup and accepts no
    /// older value: if the source fails, the call fails. At most [`MAX_TTL`](crate::MAX_TTL).
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Accepts a remote value up to this age in seconds, as [`ttl`](Get::ttl) does; a negative number is an error.
    pub fn ttl_seconds(mut self, seconds: f64) -> Self {
        match Duration::try_from_secs_f64(seconds) {
            Ok(ttl) => self.ttl = Some(ttl),
            Err(_) => {
                self.secrets = Err(SecretError::config(
                    "ttl_seconds: expected 0 or a positive number of seconds",
                ))
            }
        }
        self
    }

    /// Sets the value to use if every source definitely lacks the secret. Takes precedence over the catalog's default.
    pub fn or(mut self, default: impl Into<Cow<'a, str>>) -> Self {
        self.default = Some(default.into());
        self
    }

    /// Returns the secret, or `None` if no source has it and it is not required.
    ///
    /// # Errors
    /// Fails if a source fails, or a required secret is missing.
    pub async fn optional(self) -> Result<Option<Secret>, SecretError> {
        Ok(Asking::new(self).await?.secret().ok())
    }

    /// Returns the source of the secret. A failing source is an error, not [`SecretSource::Missing`].
    ///
    /// # Errors
    /// Fails if a source fails.
    pub async fn source(mut self) -> Result<SecretSource, SecretError> {
        self.binary = true;
        source_of(self.optional().await)
    }

    /// Returns the bytes of a secret: a binary secret of AWS as it is stored, otherwise
    /// the text. Base64 is not decoded, and a binary secret is never returned as text.
    ///
    /// # Errors
    /// Fails if a source fails, or no source has the secret.
    pub async fn bytes(mut self) -> Result<SecretBytes, SecretError> {
        self.binary = true;
        let name = self.name;
        let found = Asking::new(self).await?.secret();
        found
            .map(SecretBytes::new)
            .map_err(|tried| not_found(name, tried))
    }

    /// Returns the bytes of a secret as [`bytes`](Get::bytes) does, waiting as [`blocking`](Get::blocking) does.
    ///
    /// # Errors
    /// Fails if a source fails, or no source has the secret.
    pub fn bytes_blocking(mut self) -> Result<SecretBytes, SecretError> {
        self.binary = true;
        let name = self.name;
        let found = self.found_blocking()?.secret();
        found
            .map(SecretBytes::new)
            .map_err(|tried| not_found(name, tried))
    }

    /// Waits on this thread, inside or outside of tokio, for at most the deadline.
    ///
    /// Network I/O runs on a separate thread. On a worker of a multi-thread runtime, the other tasks move to
    /// another worker meanwhile; a current-thread runtime has no other worker and stands still: use `.await` there.
    ///
    /// # Errors
    /// Fails if a source fails, or no source has the secret.
    #[inline]
    pub fn blocking(self) -> Result<Secret, SecretError> {
        match self.fast_path() {
            Some(secret) => Ok(secret),
            None => self.slowly(),
        }
    }

    #[inline]
    fn fast_path(&self) -> Option<Secret> {
        match (&self.secrets, self.ttl) {
            (Ok(secrets), None) => secrets.resolver.fast_path(self.name),
            _ => None,
        }
    }

    fn slowly(self) -> Result<Secret, SecretError> {
        let name = self.name;
        self.found_blocking()?
            .secret()
            .map_err(|tried| not_found(name, tried))
    }

    /// Returns the secret or `None` as [`optional`](Get::optional) does, waiting as [`blocking`](Get::blocking) does.
    ///
    /// # Errors
    /// Fails if a source fails, or a required secret is missing.
    pub fn optional_blocking(self) -> Result<Option<Secret>, SecretError> {
        Ok(self.found_blocking()?.secret().ok())
    }

    /// Returns the source of the secret as [`source`](Get::source) does, waiting as [`blocking`](Get::blocking) does.
    ///
    /// # Errors
    /// Fails if a source fails.
    pub fn source_blocking(mut self) -> Result<SecretSource, SecretError> {
        self.binary = true;
        source_of(self.optional_blocking())
    }

    fn found_blocking(self) -> Result<Found, SecretError> {
        let secrets = self.secrets.as_ref().map_err(Clone::clone)?;
        let (resolver, request) = (&secrets.resolver, self.request());
        let until = Instant::now() + resolver.patience();
        let result = loop {
            let flight = match resolver.begin(&request) {
                Step::Done(result) => break result,
                Step::Wait(flight) => flight,
            };
            match block_on(poll_fn(|cx| flight.poll(cx)), Some(until)) {
                Some(Outcome::Answered(result)) => break resolver.landed(&request, result),
                Some(Outcome::Superseded) if Instant::now() < until => {}
                Some(Outcome::Superseded) | None => {
                    break resolver.landed(&request, resolver.late(&request, &flight));
                }
            }
        };
        let result = self.reject_binary(result);
        resolver.deliver(&request, &result);
        result
    }

    /// Turns a binary value into an error for callers that request text.
    fn reject_binary(&self, result: Result<Found, SecretError>) -> Result<Found, SecretError> {
        match &result {
            Ok(found) if !self.binary && found.is_binary() => {
                let name = self.name;
                let message = format!(
                    "the secret `{name}` is malformed: the value is binary, not text; use `bytes()`"
                );
                Err(SecretError::new(ErrorKind::Malformed, message, Vec::new()))
            }
            _ => result,
        }
    }

    fn request(&self) -> Request<'_> {
        Request {
            name: self.name,
            ttl: self.ttl,
            default: self.default.as_deref(),
            strict: self.strict,
        }
    }
}

impl Resolver {
    /// Returns the result of a lookup for a waiter that timed out.
    fn late(&self, request: &Request<'_>, flight: &Arc<Flight>) -> LookupResult {
        match self.find(request.name) {
            Some(tracked) => self.give_up(tracked, flight),
            None => Ok(None),
        }
    }
}

fn source_of(found: Result<Option<Secret>, SecretError>) -> Result<SecretSource, SecretError> {
    match found {
        Ok(found) => Ok(found.map_or(SecretSource::Missing, |secret| secret.source())),
        Err(error) if error.kind() == ErrorKind::Missing => Ok(SecretSource::Missing),
        Err(error) => Err(error),
    }
}

impl<'a> IntoFuture for Get<'a> {
    type Output = Result<Secret, SecretError>;
    type IntoFuture = Resolving<'a>;

    #[inline]
    fn into_future(self) -> Resolving<'a> {
        Resolving(Asking::new(self))
    }
}

/// Future of a [`Get`]. Needs no runtime, and allocates nothing if the value is available at once.
#[must_use = "futures do nothing unless awaited"]
pub struct Resolving<'a>(Asking<'a>);

impl Future for Resolving<'_> {
    type Output = Result<Secret, SecretError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let asking = &mut self.0;
        if asking.flight.is_none()
            && let Some(secret) = asking.get.fast_path()
        {
            return Poll::Ready(Ok(secret));
        }
        asking.poll_secret(cx)
    }
}

struct Asking<'a> {
    get: Get<'a>,
    flight: Option<Arc<Flight>>,
    alarm: Option<Alarm>,
}

impl<'a> Asking<'a> {
    #[inline]
    fn new(get: Get<'a>) -> Self {
        Self {
            get,
            flight: None,
            alarm: None,
        }
    }

    fn poll_secret(&mut self, cx: &mut Context<'_>) -> Poll<Result<Secret, SecretError>> {
        let found = ready!(Pin::new(&mut *self).poll(cx))?;
        let missing = |tried| not_found(self.get.name, tried);
        Poll::Ready(found.secret().map_err(missing))
    }
}

impl Future for Asking<'_> {
    type Output = Result<Found, SecretError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { get, flight, alarm } = &mut *self;
        let resolver = match &get.secrets {
            Ok(secrets) => &secrets.resolver,
            Err(error) => return Poll::Ready(Err(error.clone())),
        };
        let request = get.request();
        let result = loop {
            let Some(waiting) = flight else {
                match resolver.begin(&request) {
                    Step::Done(result) => break result,
                    Step::Wait(joined) => *flight = Some(joined),
                }
                continue;
            };
            let alarm =
                alarm.get_or_insert_with(|| Alarm::new(Instant::now() + resolver.patience()));
            match waiting.poll(cx) {
                Poll::Ready(Outcome::Answered(result)) => break resolver.landed(&request, result),
                Poll::Ready(Outcome::Superseded) if Instant::now() < alarm.at() => *flight = None,
                Poll::Ready(Outcome::Superseded) => {
                    break resolver.landed(&request, resolver.late(&request, waiting));
                }
                Poll::Pending => {
                    ready!(alarm.poll(cx));
                    break resolver.landed(&request, resolver.late(&request, waiting));
                }
            }
        };
        let result = get.reject_binary(result);
        resolver.deliver(&request, &result);
        Poll::Ready(result)
    }
}
