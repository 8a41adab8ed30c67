//! Certificates and proxy of an `https` endpoint; nothing of it without the feature `tls`.

#[cfg(feature = "tls")]
mod files;
#[cfg(not(feature = "tls"))]
mod off;
#[cfg(feature = "tls")]
mod on;
#[cfg(feature = "tls")]
mod proxy;

#[cfg(not(feature = "tls"))]
pub(crate) use off::Tls;
#[cfg(feature = "tls")]
pub(crate) use on::Tls;
