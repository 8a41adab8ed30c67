use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use super::activity::Limits;
use super::failure::Failure;
use crate::Error;

/// Default address of the API.
const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PORT: u16 = 8000;
const ADMIN_PORT: u16 = 8001;
const SHUTDOWN: Duration = Duration::from_secs(25);
/// Share of the shutdown budget that is reserved for cache writes, spans and lines, and its maximum.
const FINAL_WRITE_SHARE: u32 = 5;
const FINAL_WRITE_MAX: Duration = Duration::from_secs(5);
/// Maximum of any time setting: practically unlimited.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Address of the admin page, from code or the environment, or the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admin {
    Default,
    At(SocketAddr),
    Off,
}

/// Settings of a server. A setting that is `None` comes from the
/// environment; `timeout` and `max_in_flight` are then unlimited.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) host: Option<IpAddr>,
    pub(super) port: Option<u16>,
    pub(super) admin: Option<Admin>,
    pub(super) grace: Option<Duration>,
    pub(super) shutdown: Option<Duration>,
    pub(super) limits: Limits,
    pub(super) body: Duration,
    pub(super) timeout: Option<Duration>,
    pub(super) max_in_flight: Option<usize>,
    pub(super) max_connections: usize,
    #[cfg(feature = "profile")]
    pub(super) profile: Option<bool>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            host: None,
            port: None,
            admin: None,
            grace: None,
            shutdown: None,
            limits: Limits {
                head: Duration::from_secs(10),
                // longer than the 60 s after which load balancers usually close an idle connection themselves
                idle: Duration::from_secs(75),
                write: Duration::from_secs(60),
            },
            body: Duration::from_secs(30),
            timeout: None,
            max_in_flight: None,
            max_connections: 10_000,
            #[cfg(feature = "profile")]
            profile: None,
        }
    }
}

impl Settings {
    pub(super) fn api(&self) -> Result<SocketAddr, Error> {
        let host = match self.host {
            Some(host) => host,
            None => variable("HOST", "an IP address or localhost", host)?.unwrap_or(HOST),
        };
        let port = match self.port {
            Some(port) => port,
            None => variable("PORT", "a port from 0 to 65535", parsed)?.unwrap_or(PORT),
        };
        Ok((host, port).into())
    }

    pub(super) fn admin(&self) -> Result<Admin, Error> {
        let accepts = "an address with a port such as 127.0.0.1:8001, or off";
        let from_env = |text: &str| {
            let text = text.to_ascii_lowercase();
            match text.strip_prefix("localhost:") {
                _ if text == "off" => Some(Admin::Off),
                Some(port) => Some(Admin::At((HOST, parsed(port)?).into())),
                None => text.parse().ok().map(Admin::At),
            }
        };
        match self.admin {
            Some(admin) => Ok(admin),
            None => Ok(variable("OPS_ADMIN_ADDR", accepts, from_env)?.unwrap_or(Admin::Default)),
        }
    }

    pub(super) fn has_admin(&self) -> Result<bool, Error> {
        Ok(cfg!(feature = "admin") && self.admin()? != Admin::Off)
    }

    /// Returns whether CPU profiles may be taken.
    #[cfg(feature = "profile")]
    pub(super) fn profile(&self) -> Result<bool, Error> {
        let from_env = |text: &str| match text {
            "on" => Some(true),
            "off" => Some(false),
            _ => None,
        };
        match self.profile {
            Some(on) => Ok(on),
            None => Ok(variable("OPS_ADMIN_PROFILE", "on or off", from_env)?.unwrap_or(false)),
        }
    }

    /// Returns the time to keep serving after a stop was requested: at most four
    /// fifths of the time for requests, because the last ones need the rest.
    pub(super) fn grace(&self) -> Result<Duration, Error> {
        let most = for_requests(self.shutdown()?) * 4 / 5;
        Ok(self.wanted_grace()?.min(most))
    }

    /// Returns the requested grace period, if the shutdown budget has no room for it.
    pub(super) fn grace_shortened(&self) -> Result<Option<Duration>, Error> {
        let (wanted, grace) = (self.wanted_grace()?, self.grace()?);
        Ok((wanted > grace).then_some(wanted))
    }

    fn wanted_grace(&self) -> Result<Duration, Error> {
        match self.grace {
            Some(grace) => Ok(grace),
            None => Ok(variable("OPS_GRACE_SECONDS", SECONDS, seconds)?.unwrap_or_default()),
        }
    }

    /// Returns the time from the signal to the end of the process.
    pub(super) fn shutdown(&self) -> Result<Duration, Error> {
        match self.shutdown {
            Some(budget) => Ok(budget),
            None => Ok(variable("OPS_SHUTDOWN_SECONDS", SECONDS, seconds)?.unwrap_or(SHUTDOWN)),
        }
    }

    /// Returns the time for cache writes, spans and lines of a service
    /// that does not start, possibly because its budget is invalid.
    pub(super) fn final_write_budget(&self) -> Duration {
        self.shutdown().map_or(FINAL_WRITE_MAX, final_write_budget)
    }
}

/// Returns the part of the shutdown budget that requests, or a job,
/// may use; the rest is reserved for cache writes, spans and lines.
pub(super) fn for_requests(budget: Duration) -> Duration {
    budget - final_write_budget(budget)
}

/// Returns the part of the shutdown budget that is reserved for cache writes, spans and lines.
fn final_write_budget(budget: Duration) -> Duration {
    (budget / FINAL_WRITE_SHARE).min(FINAL_WRITE_MAX)
}

/// Limits a time that is set in code, so that it can be added to the current time.
pub(super) fn bounded(time: Duration) -> Duration {
    time.min(LONGEST)
}

/// Returns the address that is tried first for the admin page.
pub(super) fn default_admin() -> SocketAddr {
    (HOST, ADMIN_PORT).into()
}

const SECONDS: &str = "a number of seconds from 0 to 86400";

fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.parse().ok()?;
    (0.0..=86_400.0)
        .contains(&seconds)
        .then(|| Duration::from_secs_f64(seconds))
}

fn host(text: &str) -> Option<IpAddr> {
    if text.eq_ignore_ascii_case("localhost") {
        return Some(HOST);
    }
    let bracketed = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    match bracketed {
        Some(address) => address.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    }
}

fn parsed<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

/// Reads a variable; an empty one counts as unset.
pub(super) fn variable<T>(
    name: &'static str,
    accepts: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, Error> {
    let Some(text) = std::env::var_os(name).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let text = text.to_string_lossy();
    match parse(text.trim()) {
        Some(value) => Ok(Some(value)),
        None => Err(Error::new(
            "serve",
            Failure::Variable {
                name,
                value: text.chars().take(100).collect(),
                accepts,
            },
        )),
    }
}

/// Listening addresses of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Addresses {
    /// Address of the API.
    pub api: SocketAddr,
    /// Address of the admin page; `None` if it is off.
    pub admin: Option<SocketAddr>,
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.api)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_seconds_are_read_strictly() {
        assert_eq!(host("LOCALHOST"), Some(HOST));
        assert_eq!(host("[::1]"), "::1".parse().ok());
        for wrong in ["my-laptop", "[::1", "::1]", "[[::1]]", "[127.0.0.1]"] {
            assert_eq!(host(wrong), None, "{wrong}");
        }
        assert_eq!(seconds("2.5"), Some(Duration::from_millis(2500)));
        for wrong in ["-1", "NaN", "inf", "1e9", "5s", ""] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
