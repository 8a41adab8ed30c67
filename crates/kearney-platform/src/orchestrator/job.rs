use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Job of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum Job {
    /// Loads replaced files, and counts the rows of the tables again
    Load,
    /// Publishes the delays of each airport
    Delays,
    /// Publishes the most frequently flown routes
    Routes,
}

const DELAYS: &str = "\
SELECT f.origin AS airport, min(a.city) AS city, count(*) AS flights,
       round(avg(f.delay), 2) AS mean_delay_minutes,
       quantile_cont(f.delay, 0.95) AS p95_delay_minutes,
       round(avg(CASE WHEN f.delay > 15 THEN 1.0 WHEN f.delay IS NOT NULL THEN 0.0 END), 4) AS delayed_share
FROM flights f LEFT JOIN (SELECT iata, min(city) AS city FROM airports GROUP BY iata) a ON a.iata = f.origin
GROUP BY f.origin ORDER BY flights DESC, airport LIMIT 1000";

const ROUTES: &str = "\
SELECT origin, destination, count(*) AS flights, round(avg(delay), 2) AS mean_delay_minutes,
       round(avg(distance), 1) AS distance_miles
FROM flights GROUP BY origin, destination ORDER BY flights DESC, origin, destination LIMIT 1000";

impl Job {
    /// Returns the name of the job and of its published result.
    pub fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Delays => "delays",
            Self::Routes => "routes",
        }
    }

    /// Returns the query whose rows are published; `None` for a job that publishes only the state of the tables.
    pub fn analysis(self) -> Option<&'static str> {
        match self {
            Self::Load => None,
            Self::Delays => Some(DELAYS),
            Self::Routes => Some(ROUTES),
        }
    }
}

impl TryFrom<String> for Job {
    type Error = NoJob;

    fn try_from(text: String) -> Result<Self, NoJob> {
        Self::from_str(&text, false).map_err(|_| NoJob)
    }
}

/// Reason why a text is not a [`Job`].
#[derive(Debug)]
pub struct NoJob;

impl fmt::Display for NoJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected load, delays or routes")
    }
}

/// Client on whose behalf a run is executed: 1 to 40 lower-case letters, digits and inner hyphens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Client(String);

/// Reason why a text is not a [`Client`].
#[derive(Debug)]
pub struct NotASlug;

impl Client {
    pub const ACCEPTS: &str =
        "1 to 40 lowercase letters, digits and inner hyphens, such as acme-west";

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Client {
    type Err = NotASlug;

    fn from_str(text: &str) -> Result<Self, NotASlug> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let is_slug = (1..=40).contains(&text.len())
            && text.bytes().all(|byte| plain(byte) || byte == b'-')
            && text.bytes().next().is_some_and(plain)
            && text.bytes().last().is_some_and(plain);
        is_slug.then(|| Self(text.to_owned())).ok_or(NotASlug)
    }
}

impl TryFrom<String> for Client {
    type Error = NotASlug;

    fn try_from(text: String) -> Result<Self, NotASlug> {
        text.parse()
    }
}

impl From<Client> for String {
    fn from(client: Client) -> Self {
        client.0
    }
}

impl fmt::Display for NotASlug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected a client of {}", Client::ACCEPTS)
    }
}

impl std::error::Error for NotASlug {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_a_slug_and_nothing_that_leads_out_of_a_folder() {
        for good in ["a", "acme-west", "7", &"x".repeat(40)] {
            assert_eq!(good.parse::<Client>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "-a",
            "a-",
            "A",
            "../a",
            "a.b",
            "a b",
            "ä",
            &"x".repeat(41),
        ] {
            assert!(bad.parse::<Client>().is_err(), "{bad}");
        }
    }
}
