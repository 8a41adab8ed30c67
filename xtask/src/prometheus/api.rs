//! Queries to Prometheus over its HTTP API.

use std::fmt::Write as _;

use serde_json::Value;

use super::exchange::Request;
use crate::Result;

pub(super) struct Api {
    host: String,
}

impl Api {
    pub(super) fn new(host: String) -> Self {
        Self { host }
    }

    /// Returns its address, in the form used by runbooks.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.host)
    }

    pub(super) fn is_ready(&self) -> bool {
        Request::get("/-/ready")
            .send(&self.host)
            .is_ok_and(|answer| answer.status == 200)
    }

    /// Returns the current values of a query, one per series.
    pub(super) fn query(&self, query: &str) -> Result<Vec<f64>> {
        let answer = self.get(&format!("/api/v1/query?query={}", encoded(query)))?;
        let series = answer["data"]["result"].as_array().into_iter().flatten();
        let values = series.filter_map(|one| one["value"][1].as_str());
        Ok(values
            .map(|value| value.parse().unwrap_or(f64::NAN))
            .collect())
    }

    /// Returns the number of series of a query between two times in seconds since 1970, and the number of their points
    /// that are numbers.
    pub(super) fn drawn(
        &self,
        query: &str,
        from: u64,
        to: u64,
        step: u64,
    ) -> Result<(usize, usize)> {
        let path = format!(
            "/api/v1/query_range?query={}&start={from}&end={to}&step={step}",
            encoded(query)
        );
        let answer = self.get(&path)?;
        let series = answer["data"]["result"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        let points = series
            .iter()
            .flat_map(|one| one["values"].as_array().into_iter().flatten());
        let numbers = points.filter_map(|point| point[1].as_str()?.parse::<f64>().ok());
        Ok((
            series.len(),
            numbers.filter(|number| number.is_finite()).count(),
        ))
    }

    /// Returns the rules that could not be evaluated, with their errors. No rules at all are an error too.
    pub(super) fn unhealthy_rules(&self) -> Result<Vec<String>> {
        let answer = self.get("/api/v1/rules")?;
        let groups = answer["data"]["groups"].as_array().into_iter().flatten();
        let rules: Vec<&Value> = groups
            .flat_map(|group| group["rules"].as_array().into_iter().flatten())
            .collect();
        if rules.is_empty() {
            return Ok(vec!["Prometheus has no rules".to_owned()]);
        }
        let ill = rules.iter().filter(|rule| rule["health"] != "ok");
        Ok(ill
            .map(|rule| format!("{}: {} {}", rule["name"], rule["health"], rule["lastError"]))
            .collect())
    }

    fn get(&self, path: &str) -> Result<Value> {
        let failed = |why: String| format!("Prometheus, GET {path}: {why}");
        let answer = Request::get(path)
            .send(&self.host)
            .map_err(|e| failed(e.to_string()))?;
        let answer: Value =
            serde_json::from_str(&answer.body).map_err(|e| failed(e.to_string()))?;
        if answer["status"] == "success" {
            Ok(answer)
        } else {
            Err(failed(answer["error"].to_string()))
        }
    }
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut all, byte| {
        if byte.is_ascii_alphanumeric() {
            all.push(char::from(byte));
        } else {
            let _ = write!(all, "%{byte:02X}");
        }
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_encoded_byte_by_byte() {
        assert_eq!(encoded(r#"a{b="c"} > 1"#), "a%7Bb%3D%22c%22%7D%20%3E%201");
    }
}
