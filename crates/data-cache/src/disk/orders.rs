//! Invalidations that apply to all processes once they are written; files are removed later.

use std::fs;
use std::io::{self, Read};

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_128;

use super::file::open_regular;
use super::{Disk, Exclusive, Generation};
use crate::failpoint::Step;
use crate::key::hex;
use crate::target::Target;

/// Number of completed orders that are kept, so that other processes learn their targets.
const KEPT: usize = 16;
/// Maximum size of orders whose files may still exist; beyond it, the oldest ones are dropped. A process that has not
/// read a dropped order serves nothing older than the latest one.
pub(crate) const MAX_ORDER_BYTES: usize = 128 << 10;
/// Maximum number of bytes read; a larger file was not written by this crate.
const MAX_BYTES: u64 = 64 << 20;

/// An invalidation: it applies to matching entries that were stored before the count reached `count`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) count: u64,
    pub(crate) target: Target,
}

impl Order {
    /// Returns `true` if an entry computed at this count must not be served.
    pub(crate) fn refuses(&self, generation: u64, label: &str, tables: &[String]) -> bool {
        generation < self.count && self.target.matches(label, tables)
    }

    /// Approximate size in bytes.
    pub(crate) fn bytes(&self) -> usize {
        128 + self.target.text().len()
    }
}

#[derive(Serialize, Deserialize)]
struct Line {
    order: Order,
    /// Digest that includes the lineage of the directory: orders of another directory are ignored.
    seal: String,
}

impl Disk {
    /// Writes an invalidation. From here on no process stores matching results computed before, or serves them once it
    /// has read the order. Returns the counts before and after.
    pub(crate) fn announce(
        &self,
        target: &Target,
        exclusive: &Exclusive,
    ) -> io::Result<(Generation, Generation)> {
        let state = exclusive.state()?;
        let before = state.generation;
        let mut orders = self.orders(before);
        // written by a process that died before it advanced the count: their numbers are reused
        orders.retain(|order| order.count <= before.count());
        let settled = orders.partition_point(|order| order.count <= state.settled);
        orders.drain(..settled.saturating_sub(KEPT));
        orders.push(Order {
            count: before.count() + 1,
            target: target.clone(),
        });
        let mut bytes = 0;
        let newest = orders.iter().rev().take_while(|order| {
            bytes += order.bytes();
            bytes <= MAX_ORDER_BYTES
        });
        let given_up = orders.len() - newest.count().max(1);
        let mut text = Vec::new();
        for order in orders.drain(given_up..) {
            let seal = seal(&order, before)?;
            text.extend(serde_json::to_vec(&Line { order, seal })?);
            text.push(b'\n');
        }
        let temporary = self.write_temporary(&text, || Ok(()))?;
        fs::rename(temporary, self.orders_path())?;
        self.failpoints.at(Step::OrderWritten)?;
        let now = exclusive.advance()?;
        if self.is_durable() {
            self.failpoints.at(Step::Synced)?;
            // the order first: without it, the count alone would make all entries unreachable
            self.sync_folder(&self.dir)?;
            exclusive.sync()?;
        }
        Ok((before, now))
    }

    /// Returns the orders after one count up to that of `now`; `None` unless all of them are known.
    pub(crate) fn orders_between(&self, after: u64, now: Generation) -> Option<Vec<Order>> {
        let mut orders = self.orders(now);
        orders.retain(|order| (after + 1..=now.count()).contains(&order.count));
        let is_complete = orders.len() as u64 == now.count().saturating_sub(after)
            && orders
                .iter()
                .zip(after + 1..)
                .all(|(o, count)| o.count == count);
        is_complete.then_some(orders)
    }

    /// Returns the valid orders, oldest first.
    fn orders(&self, generation: Generation) -> Vec<Order> {
        let Ok(Some((file, _))) = open_regular(&self.orders_path()) else {
            return Vec::new();
        };
        let mut text = Vec::new();
        if file.take(MAX_BYTES).read_to_end(&mut text).is_err() {
            return Vec::new();
        }
        let lines = text.split(|byte| *byte == b'\n');
        let lines = lines.filter_map(|line| serde_json::from_slice::<Line>(line).ok());
        let is_ours = |line: &Line| seal(&line.order, generation).is_ok_and(|s| s == line.seal);
        let mut orders: Vec<_> = lines.filter(is_ours).map(|line| line.order).collect();
        orders.sort_by_key(|order| order.count);
        orders.dedup_by_key(|order| order.count);
        orders
    }
}

fn seal(order: &Order, generation: Generation) -> io::Result<String> {
    let mut bytes = generation.lineage().to_vec();
    serde_json::to_writer(&mut bytes, order)?;
    Ok(hex(&XxHash3_128::oneshot(&bytes).to_be_bytes()))
}
