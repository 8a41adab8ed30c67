//! A bucket that hangs, fails or loses responses: it costs one lookup its time limit, and no result is wrong.

use std::time::{Duration, Instant};

use data_cache::testing::let_bucket_time_pass;
use data_cache::{SharedConfig, Status, Tier, params};
use dev::moto::Moto;

use super::proxy::{Fault, Proxy};
use super::{COST, IN_A_SERVICE, Machine, PAUSE, SHARED, bucket, config, database, hurried, until};
use crate::batches::number;
use crate::cache::Lines;

/// Returns the cost of the first lookup of a machine with these settings while the store hangs.
fn cost(bytes: &[u8], proxy: &Proxy, config: &SharedConfig) -> Duration {
    proxy.set(Fault::None);
    let machine = Machine::new(bytes, config);
    proxy.set(Fault::Hang);
    let begin = Instant::now();
    assert_eq!(number(machine.ask().batches()), 45);
    begin.elapsed()
}

#[test]
fn a_store_that_hangs_costs_two_seconds_unless_set() {
    let Some(moto) = Moto::shared() else { return };
    let (_dir, bytes) = database(100);
    let proxy = Proxy::new(&moto.url);
    let config = SharedConfig::s3(bucket(&moto)).endpoint(&proxy.url);
    let config = config.region("us-east-1").credentials("test", "test");
    let config = config.min_compute(Duration::ZERO).key([42; 32]);
    // on a busy machine, the time until the limit is noticed differs from try to try
    let costs: Vec<_> = (0..10)
        .map(|_| cost(&bytes, &proxy, &config))
        .take_while(|cost| *cost >= IN_A_SERVICE * 3 / 2)
        .collect();
    assert!(costs.len() < 10, "{costs:?}");
}

#[test]
fn a_store_that_hangs_costs_its_limit_once() {
    let Some(moto) = Moto::shared() else { return };
    let (_dir, bytes) = database(100);
    let proxy = Proxy::new(&moto.url);
    let machine = Machine::new(&bytes, &hurried(&bucket(&moto), &proxy.url));
    proxy.set(Fault::Hang);
    let begin = Instant::now();
    assert_eq!(number(machine.ask().batches()), 45);
    let waited = begin.elapsed();
    assert!(waited < COST, "{waited:?}");
    let asked = proxy.count("GET", "/v1/");
    assert!((1..=2).contains(&asked), "{asked} tries");
    for limit in 20..40 {
        assert_eq!(machine.ask_below(limit).status(), Status::Miss);
    }
    let stats = machine.stats();
    assert_eq!((stats.failed, stats.skipped, stats.is_open), (1, 20, true));
    assert!(proxy.count("GET", "/v1/") <= 2);
    // results on the machine are returned as before
    assert_eq!(machine.ask().status(), Status::Hit(Tier::Memory));

    // it is probed after a pause, without a lookup that waits for it
    let probe = |limit| {
        let_bucket_time_pass(machine.warehouse.cache(), PAUSE);
        let (asked, skipped) = (proxy.count("GET", "/v1/"), machine.stats().skipped);
        assert_eq!(machine.ask_below(limit).status(), Status::Miss);
        // it made no call: there is no response to wait for
        assert_eq!(machine.stats().skipped, skipped + 1);
        assert_eq!(proxy.count("GET", "/v1/"), asked);
    };
    probe(50);
    until(|| proxy.count("HEAD", "") > 0);
    assert!(proxy.count("GET", "/v1/") <= 2);
    proxy.set(Fault::None);
    until(|| {
        let is_open = machine.stats().is_open;
        if is_open {
            let_bucket_time_pass(machine.warehouse.cache(), PAUSE);
            machine.ask_below(51);
        }
        !is_open
    });
    let asked = proxy.count("GET", "/v1/");
    assert_eq!(machine.ask_below(52).status(), Status::Miss);
    assert!(proxy.count("GET", "/v1/") > asked);
}

#[test]
fn answers_that_fail_are_misses_after_two_tries() {
    let Some(moto) = Moto::shared() else { return };
    let (_dir, bytes) = database(100);
    let proxy = Proxy::new(&moto.url);
    let config = config(&bucket(&moto), &proxy.url);
    let one = Machine::new(&bytes, &config);
    one.ask();
    one.flush();
    for (fault, tries) in [
        (Fault::Status(500), 2),
        (Fault::Status(503), 2),
        (Fault::Status(403), 1),
        (Fault::Status(409), 1),
        (Fault::Cut, 1),
    ] {
        let two = Machine::new(&bytes, &config);
        let before = proxy.count("GET", "/v1/");
        proxy.set(fault);
        let answer = two.ask();
        assert_eq!(
            (answer.status(), number(answer.batches())),
            (Status::Miss, 45),
            "{fault:?}"
        );
        proxy.set(Fault::None);
        let stats = two.stats();
        assert_eq!(
            (stats.failed, stats.misses, stats.is_open),
            (1, 1, true),
            "{fault:?}"
        );
        assert!(proxy.count("GET", "/v1/") - before >= tries, "{fault:?}");
        assert!(proxy.count("GET", "/v1/") - before <= 2, "{fault:?}");
    }
    // one lost response: the second try succeeds
    let two = Machine::new(&bytes, &config);
    proxy.set(Fault::LoseAnswers(1));
    assert_eq!(two.ask().status(), SHARED);
    assert!(!two.stats().is_open);
}

#[test]
fn the_line_of_an_answer_that_fails_begins_with_its_code_and_repeats_no_credential() {
    /// A response as S3 sends it: it repeats what was sent.
    const EXPIRED: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>ExpiredToken</Code><Message>The \
        provided token has expired.</Message><Token-0>FwoGZXIvYXdzEBY</Token-0><RequestId>7</RequestId></Error>";
    const UNSIGNED: &str = "<Error><Code>SignatureDoesNotMatch</Code><Message>It does not match.</Message><CanonicalRequest>GET\n/\n\
        x-amz-security-token:FwoGZXIvYXdzEBY</CanonicalRequest></Error>";
    const PAGE: &str = "<html><script>let session = 'FwoGZXIvYXdzEBY'</script></html>";
    let Some(moto) = Moto::shared() else { return };
    let proxy = Proxy::new(&moto.url);
    let failed = |fault| {
        let machine = super::epochs::Machine::new(&config(&bucket(&moto), &proxy.url));
        assert_eq!(machine.get(), None);
        proxy.set_for("GET", "/v1/", fault);
        let lines = Lines::of(|| assert_eq!(machine.get(), None));
        proxy.set(Fault::None);
        assert!(machine.stats().is_open);
        lines
    };
    for (status, body, message) in [
        (
            400,
            EXPIRED,
            "400 Bad Request: ExpiredToken: The provided token has expired.",
        ),
        (
            403,
            UNSIGNED,
            "403 Forbidden: SignatureDoesNotMatch: It does not match.",
        ),
        (502, PAGE, "502 Bad Gateway"),
        (403, "see <wiki>", "403 Forbidden: see <wiki>"),
    ] {
        let lines = failed(Fault::Answer(status, body));
        assert!(lines.contains(&format!("error=\"{message}")), "{lines}");
        assert!(!lines.contains("FwoGZXIvYXdzEBY"), "{lines}");
    }
}

#[test]
fn an_object_that_is_too_large_for_its_time_says_nothing_about_the_store() {
    let Some(moto) = Moto::shared() else { return };
    let (_dir, bytes) = database(100);
    let proxy = Proxy::new(&moto.url);
    let config = hurried(&bucket(&moto), &proxy.url);
    let (one, two) = (Machine::new(&bytes, &config), Machine::new(&bytes, &config));
    // more than 1 MiB even if compressed
    let sql = "SELECT md5(range::VARCHAR) AS digest FROM range(100_000)";
    let computed = one.warehouse.query(sql, params! {}).blocking().unwrap();
    one.ask();
    one.flush();
    proxy.set_for("GET", "/v1/", Fault::Stall);
    let before = proxy.count("GET", "/v1/");
    let found = two.warehouse.query(sql, params! {}).blocking().unwrap();
    assert_eq!(found.status(), Status::Miss);
    assert_eq!(found.batches(), computed.batches());
    let asked = proxy.count("GET", "/v1/") - before;
    assert_eq!(asked, 1, "it is not tried again");
    let stats = two.stats();
    assert_eq!((stats.failed, stats.is_open), (1, false), "{stats:?}");
    proxy.set(Fault::None);
    assert_eq!(two.ask().status(), SHARED);

    // a stalled small object opens the breaker
    let three = Machine::new(&bytes, &config);
    proxy.set_for("GET", "/v1/", Fault::Stall);
    assert_eq!(three.ask().status(), Status::Miss);
    assert!(three.stats().is_open);
}

#[test]
fn a_write_whose_answer_is_lost_is_written_again() {
    let Some(moto) = Moto::shared() else { return };
    let (_dir, bytes) = database(100);
    let proxy = Proxy::new(&moto.url);
    let config = config(&bucket(&moto), &proxy.url);
    let one = Machine::new(&bytes, &config);
    proxy.set_for("PUT", "/v1/", Fault::LoseAnswers(1));
    assert_eq!(one.ask().status(), Status::Miss);
    one.flush();
    assert_eq!(proxy.count("PUT", "/v1/"), 2);
    assert_eq!((one.stats().written, one.stats().is_open), (1, false));
    let two = Machine::new(&bytes, &config);
    let found = two.ask();
    assert_eq!((found.status(), number(found.batches())), (SHARED, 45));
}

#[test]
fn a_write_that_fails_costs_nobody_an_answer() {
    let Some(moto) = Moto::shared() else { return };
    let (_dir, bytes) = database(100);
    let proxy = Proxy::new(&moto.url);
    let config = config(&bucket(&moto), &proxy.url);
    for status in [403, 409, 500] {
        let one = Machine::new(&bytes, &config);
        proxy.set_for("PUT", "/v1/", Fault::Status(status));
        assert_eq!(number(one.ask().batches()), 45, "{status}");
        one.flush();
        let stats = one.stats();
        // a machine that may not write may read
        let is_open = status != 403;
        assert_eq!(
            (stats.written, stats.write_failed, stats.is_open),
            (0, 1, is_open),
            "{status}"
        );
        assert!(stats.is_read_only);
        // nothing is written any more, and no further results are queued
        assert_eq!(number(one.ask_below(3).batches()), 3);
        one.flush();
        assert_eq!(
            (one.stats().dropped, one.stats().skipped),
            (1, u64::from(is_open)),
            "{status}"
        );
    }
}
