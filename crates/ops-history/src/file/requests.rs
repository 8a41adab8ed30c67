//! Request counts of a file by minute, route, status and duration, computed when it is written and stored in its
//! footer.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Maximum bytes of the counts in a footer; beyond them the footer has no counts, and the rows are read instead.
const MAX_BYTES: usize = 1 << 20;
/// Number of leading bits by which durations are distinguished: durations within less than 1 % of each other are
/// counted together.
const BITS: u32 = 8;

/// Key of requests that are counted together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Group<'a> {
    /// Minute within the hour.
    pub(crate) minute: i64,
    pub(crate) method: Option<Cow<'a, str>>,
    pub(crate) route: Option<Cow<'a, str>>,
    pub(crate) status: Option<i64>,
}

/// Request counts of one or several files.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Requests<'a> {
    pub(crate) service: String,
    groups: BTreeMap<Group<'a>, BTreeMap<u64, Bucket>>,
}

/// Requests whose durations are counted together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Bucket {
    /// Longest duration; `None` for requests without a duration.
    pub(crate) duration_us: Option<i64>,
    pub(crate) requests: u64,
}

/// Serialized form of the counts in a footer.
#[derive(Default, Deserialize, Serialize)]
struct Text {
    service: String,
    /// Method and route, indexed by the rows.
    routes: Vec<(Option<String>, Option<String>)>,
    rows: Vec<TextRow>,
}

/// Minute, index into `routes`, status, and pairs of duration and count.
type TextRow = (i64, usize, Option<i64>, Vec<(Option<i64>, u64)>);

impl<'a> Requests<'a> {
    pub(crate) fn new(service: String) -> Self {
        Self {
            service,
            groups: BTreeMap::new(),
        }
    }

    pub(crate) fn add(&mut self, group: Group<'a>, duration_us: Option<i64>, requests: u64) {
        let buckets = self.groups.entry(group).or_default();
        let bucket = buckets.entry(bucket_of(duration_us)).or_default();
        bucket.duration_us = bucket.duration_us.max(duration_us);
        bucket.requests = bucket.requests.saturating_add(requests);
    }

    pub(crate) fn add_all(&mut self, other: Requests<'a>) {
        for (group, buckets) in other.groups {
            self.add_buckets(group, buckets);
        }
    }

    fn add_buckets(&mut self, group: Group<'a>, buckets: BTreeMap<u64, Bucket>) {
        let known = self.groups.entry(group).or_default();
        for (number, bucket) in buckets {
            let known = known.entry(number).or_default();
            known.duration_us = known.duration_us.max(bucket.duration_us);
            known.requests = known.requests.saturating_add(bucket.requests);
        }
    }

    /// Returns the counts of the whole hour, with minute 0.
    #[cfg(feature = "sql")]
    pub(crate) fn of_hour(self) -> Self {
        let mut hour = Self::new(self.service);
        for (group, buckets) in self.groups {
            hour.add_buckets(Group { minute: 0, ..group }, buckets);
        }
        hour
    }

    /// Returns each group with its buckets, shortest durations first.
    #[cfg(feature = "sql")]
    pub(crate) fn groups(&self) -> impl Iterator<Item = (&Group<'a>, &Bucket)> {
        let groups = self.groups.iter();
        groups.flat_map(|(group, buckets)| buckets.values().map(move |bucket| (group, bucket)))
    }

    /// Returns the text for the footer, with its checksum; `None` if it is too long.
    pub(crate) fn to_text(&self) -> Option<String> {
        let mut text = Text {
            service: self.service.clone(),
            ..Text::default()
        };
        let mut places = BTreeMap::new();
        for (group, buckets) in &self.groups {
            let name = (group.method.clone(), group.route.clone());
            let place = *places.entry(name).or_insert_with_key(|(method, route)| {
                let owned = |text: &Option<Cow<'_, str>>| text.as_deref().map(str::to_owned);
                text.routes.push((owned(method), owned(route)));
                text.routes.len() - 1
            });
            let pairs = buckets.values();
            let pairs = pairs.map(|bucket| (bucket.duration_us, bucket.requests));
            text.rows
                .push((group.minute, place, group.status, pairs.collect()));
        }
        let json = serde_json::to_string(&text).ok()?;
        let crc = crc32fast::hash(json.as_bytes());
        (json.len() <= MAX_BYTES).then(|| format!("{crc:08x}{json}"))
    }
}

impl Requests<'static> {
    /// Parses the text of a footer; `None` if it is damaged.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (crc, json) = text.split_at_checked(8)?;
        if u32::from_str_radix(crc, 16).ok()? != crc32fast::hash(json.as_bytes()) {
            return None;
        }
        let text: Text = serde_json::from_str(json).ok()?;
        let mut requests = Self::new(text.service);
        for (minute, place, status, pairs) in text.rows {
            if !(0..60).contains(&minute) {
                return None;
            }
            let (method, route) = text.routes.get(place)?.clone();
            let group = Group {
                minute,
                method: method.map(Cow::Owned),
                route: route.map(Cow::Owned),
                status,
            };
            let bucket = |(duration_us, requests)| {
                let number = bucket_of(duration_us);
                (
                    number,
                    Bucket {
                        duration_us,
                        requests,
                    },
                )
            };
            requests.add_buckets(group, pairs.into_iter().map(bucket).collect());
        }
        Some(requests)
    }
}

/// Returns the bucket of a duration; requests without one come last.
fn bucket_of(duration_us: Option<i64>) -> u64 {
    let Some(us) = duration_us.and_then(|us| u64::try_from(us).ok()) else {
        return u64::MAX;
    };
    let shift = (u64::BITS - us.leading_zeros()).saturating_sub(BITS);
    us >> shift << shift
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(minute: i64, route: &str) -> Group<'_> {
        Group {
            minute,
            method: Some("GET".into()),
            route: Some(route.into()),
            status: Some(200),
        }
    }

    #[test]
    fn counts_survive_serialization_and_merging() {
        let mut all = Requests::new("shop".to_owned());
        let mut merged = Requests::new("shop".to_owned());
        for us in 0..40_000 {
            let mut one = Requests::new("shop".to_owned());
            one.add(group(us % 60, "/a"), Some(us), 1);
            all.add(group(us % 60, "/a"), Some(us), 1);
            if us % 1000 == 0 {
                merged.add_all(Requests::parse(&one.to_text().unwrap()).unwrap());
            } else {
                merged.add_all(one);
            }
        }
        all.add(group(1, "/b"), None, 3);
        merged.add(group(1, "/b"), None, 3);
        assert_eq!(merged, all);
        let read = Requests::parse(&all.to_text().unwrap()).unwrap();
        assert_eq!(read, all);
        let counted: u64 = read.groups().map(|(_, bucket)| bucket.requests).sum();
        assert_eq!(counted, 40_003);
        let longest = read.groups().map(|(_, bucket)| bucket.duration_us).max();
        assert_eq!(longest, Some(Some(39_999)));
    }

    #[test]
    fn durations_of_a_bucket_differ_by_less_than_a_hundredth() {
        for us in (0..5_000_000_i64).step_by(37) {
            let shortest = bucket_of(Some(us)) as f64;
            assert!(us as f64 - shortest <= us as f64 / 100.0, "{us}");
        }
    }

    #[test]
    fn a_changed_footer_text_is_rejected() {
        let mut requests = Requests::new("shop".to_owned());
        requests.add(group(1, "/a"), Some(7), 1);
        let text = requests.to_text().unwrap();
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            if let Ok(changed) = String::from_utf8(bytes) {
                assert_eq!(Requests::parse(&changed), None, "{changed}");
            }
        }
        assert_eq!(Requests::parse(""), None);
    }

    #[test]
    fn a_forged_footer_text_is_rejected_or_counted_and_never_panics() {
        let forged = |rows: &str| {
            let json = format!(r#"{{"service":"shop","routes":[["GET","/a"]],"rows":{rows}}}"#);
            let crc = crc32fast::hash(json.as_bytes());
            Requests::parse(&format!("{crc:08x}{json}"))
        };
        for minute in [-1, 60, i64::MIN, i64::MAX] {
            assert_eq!(forged(&format!("[[{minute},0,200,[[7,1]]]]")), None);
        }
        assert_eq!(forged("[[1,1,200,[[7,1]]]]"), None, "there is one route");
        let many = forged(&format!("[[1,0,200,[[7,{}]]],[1,0,200,[[7,5]]]]", u64::MAX));
        let many = many.unwrap();
        let counted: Vec<u64> = many.groups().map(|(_, bucket)| bucket.requests).collect();
        assert_eq!(counted, [u64::MAX]);
    }
}
