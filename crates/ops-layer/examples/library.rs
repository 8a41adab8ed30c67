//! A library that instruments itself and leaves `init` to its application: `cargo run -p ops-layer --example library`.
//!
//! Without `init`, its lines go to the terminal and its spans nowhere; nothing fails.

use ops_layer::{log, metrics, trace};

metrics::define! {
    /// Orders that were priced
    counter orders_priced_total {}
}

/// Part of the library's public API.
pub fn price(order: u64) -> u64 {
    let span = trace::span!("price_order");
    span.in_scope(|_| {
        let cents = order * 199;
        orders_priced_total().inc();
        log::debug!("order_priced", order = order, cents = cents);
        cents
    })
}

fn main() {
    assert_eq!(price(3), 597);
    assert_eq!(orders_priced_total().get(), 1);
}
