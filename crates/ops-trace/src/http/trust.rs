use std::net::IpAddr;
use std::str::FromStr;

use crate::Error;

/// Whose `traceparent` becomes the parent; anybody else's becomes a link of a new trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trust {
    /// Loopback and private addresses. A peer whose address is not known is not trusted.
    ///
    /// A proxy on this machine is such a peer, and passes on what the world sends: let it remove the header, or
    /// trust [`Nobody`](Self::Nobody).
    #[default]
    PrivatePeers,
    /// Everybody's: only behind a proxy that removes the header.
    Everybody,
    /// Nobody's.
    Nobody,
    /// Those in the networks of [`trust_network`](super::ServerSpans::trust_network).
    Networks,
}

pub(super) fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// An address and how many of its first bits count: `10.0.0.0/8`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Network {
    bits: u128,
    v4: bool,
    prefix: u32,
}

impl Network {
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        let (bits, v4) = bits(address);
        let shift = width(v4) - self.prefix;
        v4 == self.v4 && (self.prefix == 0 || bits >> shift == self.bits >> shift)
    }
}

impl FromStr for Network {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = || Error::InvalidNetwork {
            network: text.to_owned(),
        };
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let (bits, v4) = bits(address.parse().map_err(|_| invalid())?);
        let width = width(v4);
        let prefix = prefix.map_or(Ok(width), |p| p.parse().map_err(|_| invalid()))?;
        if prefix > width {
            return Err(invalid());
        }
        Ok(Self { bits, v4, prefix })
    }
}

fn bits(address: IpAddr) -> (u128, bool) {
    match address.to_canonical() {
        IpAddr::V4(v4) => (u32::from(v4).into(), true),
        IpAddr::V6(v6) => (v6.into(), false),
    }
}

fn width(v4: bool) -> u32 {
    if v4 { 32 } else { 128 }
}
