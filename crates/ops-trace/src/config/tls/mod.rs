//! Certificates and proxy of an `https` endpoint; neither without the feature `tls`.

#[cfg(feature = "tls")]
mod files;
#[cfg(feature = "tls")]
mod hint;
#[cfg(not(feature = "tls"))]
mod off;
#[cfg(feature = "tls")]
mod on;
#[cfg(feature = "tls")]
mod proxy;

#[cfg(feature = "tls")]
pub(crate) use hint::hint;
#[cfg(not(feature = "tls"))]
pub(crate) use off::{Tls, hint};
#[cfg(feature = "tls")]
pub(crate) use on::Tls;
