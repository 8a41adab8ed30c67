use std::net::IpAddr;
use std::str::FromStr;

use crate::Error;

/// Network: an address and the length of its prefix in bits, as in `10.0.0.0/8`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Network {
    bits: u128,
    v4: bool,
    prefix: u32,
}

impl Network {
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let (bits, v4) = bits(address);
        if v4 != self.v4 {
            return false;
        }
        let shift = width(v4) - self.prefix;
        self.prefix == 0 || bits >> shift == self.bits >> shift
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
