//! Machines whose credentials permit no writes.

use std::time::Duration;

use data_cache::testing::let_bucket_time_pass;
use data_cache::{Status, Stored};
use dev::moto::Moto;

use super::leases::Fleet;
use super::proxy::{Fault, Proxy};
use super::{SHARED, bucket, config, until};

/// Pause until a machine that may not write tries again.
const DENIED_PAUSE: Duration = Duration::from_secs(60);

#[test]
fn a_machine_that_may_not_write_takes_what_others_write() {
    let Some(moto) = Moto::shared() else { return };
    let (bucket, fleet, proxy) = (bucket(&moto), Fleet::default(), Proxy::new(&moto.url));
    let writer = fleet.machine(&config(&bucket, &moto.url));
    fleet.end(99);
    proxy.set_for("PUT", "", Fault::Status(403));
    let reader = fleet.machine(&config(&bucket, &proxy.url));
    for n in 0..8 {
        // neither leased nor written
        assert_eq!(reader.ask_for(&format!("SELECT 7 AS own{n}")), Status::Miss);
        let sql = format!("SELECT 7 AS other{n}");
        assert_eq!(writer.ask_for(&sql), Status::Miss);
        writer.flush();
        assert_eq!(reader.ask_for(&sql), SHARED);
    }
    reader.flush();
    let stats = reader.stats();
    assert!(stats.is_read_only && !stats.is_open, "{stats:?}");
    assert_eq!((stats.hits, stats.misses, stats.skipped), (8, 8, 0));
    assert_eq!((stats.leases, stats.written, stats.dropped), (0, 0, 8));
    // it learned that once, at the start
    assert_eq!(proxy.count("PUT", ""), 1);

    // and tries again after a minute
    proxy.set(Fault::None);
    let_bucket_time_pass(reader.engine.cache(), DENIED_PAUSE);
    assert_eq!(reader.ask_for("SELECT 7 AS probing"), Status::Miss);
    until(|| !reader.stats().is_read_only);
    assert_eq!(reader.ask_for("SELECT 7 AS permitted"), Status::Miss);
    reader.flush();
    assert_eq!((reader.stats().leases, reader.stats().written), (1, 1));
}

#[test]
fn a_machine_that_may_not_write_obeys_the_epoch_of_others() {
    let Some(moto) = Moto::shared() else { return };
    let (bucket, proxy) = (bucket(&moto), Proxy::new(&moto.url));
    let writer = super::epochs::Machine::new(&config(&bucket, &moto.url));
    writer.set(1);
    proxy.set_for("PUT", "", Fault::Status(403));
    let reader = super::epochs::Machine::new(&config(&bucket, &proxy.url));
    until(|| reader.stats().epoch.is_some());
    assert_eq!(reader.get(), Some(1));
    let before = reader.stats();
    writer.invalidate();
    reader.sees_another_epoch_than(&before);
    assert_eq!(reader.get(), None);
    assert_eq!(reader.get_or(2), 2);
    assert!(!reader.stats().is_open);
}

#[test]
fn what_is_set_on_a_machine_that_may_not_write_is_kept_on_it() {
    let Some(moto) = Moto::shared() else { return };
    let (bucket, proxy) = (bucket(&moto), Proxy::new(&moto.url));
    let writer = super::epochs::Machine::new(&config(&bucket, &moto.url));
    writer.set(1);
    proxy.set_for("PUT", "", Fault::Status(403));
    let reader = super::epochs::Machine::new(&config(&bucket, &proxy.url));
    until(|| reader.stats().epoch.is_some());
    until(|| reader.stats().is_read_only);
    for value in 2..5 {
        assert!(matches!(reader.set(value), Stored::Kept { .. }));
        assert_eq!(reader.get(), Some(value));
    }
    assert_eq!(writer.get(), Some(1));
}
