//! Cases for cancelled and for concurrent queries.

use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use super::{Case, Contract, Outcome, same};
use crate::cancel::Cancel;
use crate::params::Params;

pub(super) const CASES: &[Case] = &[
    ("cancelled_before_it_begins_is_an_error", before),
    (
        "cancelled_query_stops_and_the_engine_goes_on",
        while_running,
    ),
    ("queries_at_the_same_time_get_their_own_answers", together),
];

/// Maximum time for a query to stop; one that is not stopped takes much longer.
const LIMIT: Duration = Duration::from_secs(60);
const AT_ONCE: i64 = 8;
const EACH: i64 = 10;

fn before(on: &Contract) -> Outcome {
    let cancel = Cancel::default();
    cancel.cancel();
    match on.engine.run("SELECT 1 AS n", &Params::new(), &cancel) {
        Ok(_) => Err("returned a result although cancelled".to_owned()),
        Err(_) => Ok(()),
    }
}

/// Returns a sum over 10^11 rows.
fn endless() -> String {
    let joins: String = (1..11)
        .map(|at| format!(" CROSS JOIN d AS d{at}"))
        .collect();
    let sum: Vec<_> = (1..11).map(|at| format!("d{at}.n")).collect();
    format!(
        "WITH d(n) AS (VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) \
         SELECT sum((d0.n * 7 + {}) % 11) AS s FROM d AS d0{joins}",
        sum.join(" * 3 + ")
    )
}

fn while_running(on: &Contract) -> Outcome {
    let cancel = Cancel::default();
    let (sender, receiver) = sync_channel(1);
    let (engine, held) = (on.engine.clone(), cancel.clone());
    let running = thread::spawn(move || {
        let ended = engine.run(&endless(), &Params::new(), &held);
        let _ = sender.send(ended.map(|_| ()));
    });
    let begun = Instant::now();
    while !cancel.is_running() && begun.elapsed() < LIMIT {
        if let Ok(ended) = receiver.try_recv() {
            return Err(format!("ended before it was cancelled: {ended:?}"));
        }
        thread::yield_now();
    }
    cancel.cancel();
    let ended = receiver
        .recv_timeout(LIMIT)
        .map_err(|_| format!("still running {} s after it was cancelled", LIMIT.as_secs()))?;
    let _ = running.join();
    if ended.is_ok() {
        return Err("returned a result although cancelled".to_owned());
    }
    on.expect("SELECT 1 AS n", &Params::new(), &["1"])
}

fn together(on: &Contract) -> Outcome {
    let sql = on.with_parameters("SELECT ?BIGINT? * 2 AS n");
    thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE)
            .map(|thread| {
                let sql = &sql;
                scope.spawn(move || {
                    for number in (thread * EACH)..(thread + 1) * EACH {
                        let rows = on.rows(sql, &Params::positional([number]))?;
                        same(sql, &rows, &[(number * 2).to_string()])?;
                    }
                    Ok(())
                })
            })
            .collect();
        let mut ended = threads.into_iter().map(|thread| thread.join());
        ended.try_for_each(|ended| ended.unwrap_or_else(|_| Err("a thread panicked".to_owned())))
    })
}
