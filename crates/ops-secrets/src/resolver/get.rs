use std::borrow::Cow;
use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::cache::flight::{Flight, block_on};
use crate::cache::slot::Landed;
use crate::error::ErrorKind;
use crate::resolver::{Found, Request, Secrets, Step, failed};
use crate::{Secret, SecretError, SecretSource};

/// A question for one secret: add what you need, then `.await` it or call [`blocking`](Get::blocking).
#[must_use = "nothing is asked before `.await` or `.blocking()`"]
pub struct Get<'a> {
    secrets: Result<&'a Secrets, SecretError>,
    name: &'a str,
    ttl: Option<Duration>,
    default: Option<Cow<'a, str>>,
}

impl<'a> Get<'a> {
    pub(crate) fn new(secrets: Result<&'a Secrets, SecretError>, name: &'a str) -> Self {
        Self {
            secrets,
            name,
            ttl: None,
            default: None,
        }
    }

    /// Accepts a remote value up to this age; zero always asks again. At most [`MAX_TTL`](crate::MAX_TTL).
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// As [`ttl`](Get::ttl), in seconds; a negative number or none is an error.
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

    /// The value when every source definitely has none. Wins over the catalogue's default.
    pub fn or(mut self, default: impl Into<Cow<'a, str>>) -> Self {
        self.default = Some(default.into());
        self
    }

    /// The secret, or `None` when it is nowhere and not required.
    pub async fn optional(self) -> Result<Option<Secret>, SecretError> {
        Ok(Asking::new(self).await?.secret().ok())
    }

    /// Where the secret comes from. A failing source is an error, not [`SecretSource::Missing`].
    pub async fn source(self) -> Result<SecretSource, SecretError> {
        source_of(self.optional().await)
    }

    /// Waits on this thread, inside or outside of tokio, for at most the deadline.
    ///
    /// The network is the business of a thread of its own. On a worker of a multi-thread runtime the other tasks are
    /// handed to another worker meanwhile; a current-thread runtime has no other one and stands still: await there.
    #[inline]
    pub fn blocking(self) -> Result<Secret, SecretError> {
        match self.quick() {
            Some(secret) => Ok(secret),
            None => self.slowly(),
        }
    }

    #[inline]
    fn quick(&self) -> Option<Secret> {
        match (&self.secrets, self.ttl) {
            (Ok(secrets), None) => secrets.inner.quick(self.name),
            _ => None,
        }
    }

    fn slowly(self) -> Result<Secret, SecretError> {
        let name = self.name;
        self.found_blocking()?
            .secret()
            .map_err(|tried| failed(name, ErrorKind::Missing, tried))
    }

    /// [`optional`](Get::optional), waiting as [`blocking`](Get::blocking) does.
    pub fn optional_blocking(self) -> Result<Option<Secret>, SecretError> {
        Ok(self.found_blocking()?.secret().ok())
    }

    /// [`source`](Get::source), waiting as [`blocking`](Get::blocking) does.
    pub fn source_blocking(self) -> Result<SecretSource, SecretError> {
        source_of(self.optional_blocking())
    }

    fn found_blocking(self) -> Result<Found, SecretError> {
        let secrets = self.secrets.as_ref().map_err(Clone::clone)?;
        let request = Request {
            name: self.name,
            ttl: self.ttl,
            default: self.default.as_deref(),
        };
        let result = match secrets.inner.begin(&request) {
            Step::Done(result) => result,
            Step::Wait(flight) => {
                let landed = block_on(std::future::poll_fn(|cx| flight.poll(cx)));
                secrets.inner.landed(&request, landed)
            }
        };
        secrets.inner.count(&result);
        result
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

/// The future of a [`Get`]. Needs no runtime and allocates nothing when the answer is at hand.
pub struct Resolving<'a>(Asking<'a>);

impl Future for Resolving<'_> {
    type Output = Result<Secret, SecretError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let asking = &mut self.0;
        if asking.flight.is_none()
            && let Some(secret) = asking.get.quick()
        {
            return Poll::Ready(Ok(secret));
        }
        asking.poll_secret(cx)
    }
}

struct Asking<'a> {
    get: Get<'a>,
    flight: Option<Arc<Flight<Landed>>>,
}

impl<'a> Asking<'a> {
    #[inline]
    fn new(get: Get<'a>) -> Self {
        Self { get, flight: None }
    }

    fn poll_secret(&mut self, cx: &mut Context<'_>) -> Poll<Result<Secret, SecretError>> {
        let found = ready!(Pin::new(&mut *self).poll(cx))?;
        let missing = |tried| failed(self.get.name, ErrorKind::Missing, tried);
        Poll::Ready(found.secret().map_err(missing))
    }
}

impl Future for Asking<'_> {
    type Output = Result<Found, SecretError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { get, flight } = &mut *self;
        let inner = match &get.secrets {
            Ok(secrets) => &secrets.inner,
            Err(error) => return Poll::Ready(Err(error.clone())),
        };
        let request = Request {
            name: get.name,
            ttl: get.ttl,
            default: get.default.as_deref(),
        };
        let result = match flight {
            Some(flight) => inner.landed(&request, ready!(flight.poll(cx))),
            None => match inner.begin(&request) {
                Step::Done(result) => result,
                Step::Wait(joined) => {
                    inner.landed(&request, ready!(flight.insert(joined).poll(cx)))
                }
            },
        };
        inner.count(&result);
        Poll::Ready(result)
    }
}
