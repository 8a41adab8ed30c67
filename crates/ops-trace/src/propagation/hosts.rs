/// Hosts that outgoing requests pass the trace context to.
#[derive(Debug)]
pub(crate) struct Hosts(Vec<String>);

impl Hosts {
    pub(crate) fn new(hosts: Vec<String>) -> Self {
        Self(hosts)
    }

    pub(crate) fn contains(&self, host: &str) -> bool {
        let host = without_port(host);
        self.0.iter().any(|known| match known.strip_prefix("*.") {
            Some(domain) => below(host, domain),
            None => known.eq_ignore_ascii_case(host),
        })
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => {
            name
        }
        _ => host,
    }
}

fn below(host: &str, domain: &str) -> bool {
    let Some(start) = host.len().checked_sub(domain.len() + 1) else {
        return false;
    };
    host.is_char_boundary(start + 1)
        && host.as_bytes()[start] == b'.'
        && host[start + 1..].eq_ignore_ascii_case(domain)
}
