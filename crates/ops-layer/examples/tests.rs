//! A test that sees what its code logged, traced, counted and resolved, while other
//! tests run in parallel: `cargo test -p ops-layer --example tests --features testing`.

use ops_layer::{log, metrics, secrets, trace};

metrics::define! {
    /// Orders that were paid
    counter shop_orders_paid_total {}
}

/// Code under test. It takes a tracer and secrets, so that each test has its own.
fn pay(
    order: i64,
    tracer: &trace::Handle,
    secrets: &secrets::Secrets,
) -> Result<(), secrets::SecretError> {
    trace::span!(tracer: tracer, "pay", order = order).in_scope(|span| {
        let key = secrets.get("PAYMENT_KEY").blocking().inspect_err(|_| {
            span.set_error("no_key");
            log::error!("not_paid", order = order);
        })?;
        log::info!("paid", order = order, key_bytes = key.expose().len());
        shop_orders_paid_total().inc();
        Ok(())
    })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tracer = trace::Tracer::new(trace::Config::new("shop"))?;
    let variables = [("PAYMENT_KEY", "an example")];
    let secrets = secrets::Secrets::new(secrets::Config::default().environment(variables))?;
    Ok(pay(1, &tracer, &secrets)?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ops_layer::log::CapturedLine;
    use ops_layer::metrics::testing::Registry;
    use ops_layer::secrets::{Config, SecretError, Secrets};
    use ops_layer::trace::testing::Collector;

    /// Everything that one payment produced.
    struct Left {
        paid: Result<(), SecretError>,
        lines: Vec<CapturedLine>,
        spans: String,
        orders_paid: Option<f64>,
    }

    fn left_by_paying(order: i64, key: Option<&str>) -> Left {
        let collector = Collector::start().unwrap();
        let config = ops_layer::trace::Config::new("shop").endpoint(collector.endpoint());
        let tracer = ops_layer::trace::Tracer::new(config).unwrap();
        let variables = key.map(|key| ("PAYMENT_KEY", key));
        let secrets = Secrets::new(Config::default().environment(variables)).unwrap();
        let registry = Registry::new();
        let mut paid = Ok(());
        let lines = ops_layer::log::capture_logs(|| {
            paid = registry.run(|| super::pay(order, &tracer, &secrets));
        });
        tracer.shutdown_blocking(Duration::from_secs(20));
        Left {
            paid,
            lines,
            spans: collector.snapshot(),
            orders_paid: registry.value("shop_orders_paid_total"),
        }
    }

    /// Pays an order, and checks that nothing it produced contains the number or the key of another test.
    fn was_paid(order: i64, key: &str) {
        let left = left_by_paying(order, Some(key));
        left.paid.unwrap();
        assert_eq!(left.lines.len(), 1);
        assert_eq!(left.lines[0].event, "paid");
        assert_eq!(left.lines[0]["order"], order);
        assert_eq!(
            left.lines[0]["key_bytes"],
            i64::try_from(key.len()).unwrap()
        );
        assert_eq!(left.spans, format!("pay order={order}\n"));
        assert_eq!(left.orders_paid, Some(1.0));
    }

    #[test]
    fn an_order_is_paid_with_the_key_of_this_test() {
        was_paid(1, "first");
    }

    #[test]
    fn another_order_beside_it_has_lines_spans_counts_and_a_key_of_its_own() {
        was_paid(2, "the second one");
    }

    #[test]
    fn twenty_orders_at_once_see_nothing_of_each_other() {
        std::thread::scope(|scope| {
            for order in 100..120 {
                scope.spawn(move || was_paid(order, &format!("the key of {order}")));
            }
        });
    }

    #[test]
    fn without_a_key_the_order_is_not_paid_and_the_span_says_why() {
        let left = left_by_paying(3, None);
        assert!(left.paid.is_err());
        assert_eq!(left.lines[0].event, "not_paid");
        assert_eq!(left.spans, "pay ERROR order=3 error.type=no_key\n");
        assert_ne!(left.orders_paid, Some(1.0));
    }
}
