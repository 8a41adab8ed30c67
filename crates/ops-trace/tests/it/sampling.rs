use std::time::Duration;

use ops_trace::{Config, Error, Tracer, span};

use crate::SOON;

fn sampled_of(tracer: &Tracer, traces: u64) -> u64 {
    let before = tracer.stats().ended_sampled;
    for _ in 0..traces {
        drop(span!(tracer: tracer, "root"));
    }
    tracer.stats().ended_sampled - before
}

fn tracer(ratio: f64) -> Tracer {
    let config = Config::new("it").sampling_ratio(ratio);
    Tracer::new(config.environment([("OTEL_TRACES_EXPORTER", "none")])).unwrap()
}

#[test]
fn the_share_of_traces_is_about_the_ratio_and_children_follow_their_parent() {
    assert_eq!(sampled_of(&tracer(1.0), 1000), 1000);
    assert_eq!(sampled_of(&tracer(0.0), 1000), 0);
    let tenth = tracer(0.1);
    let sampled = sampled_of(&tenth, 20_000);
    assert!((1_700..2_300).contains(&sampled), "{sampled}");
    for _ in 0..200 {
        let parent = span!(tracer: tenth, "parent");
        let recorded = parent.is_recording();
        parent.in_scope(|_| {
            assert_eq!(span!(tracer: tenth, "child").is_recording(), recorded);
        });
    }
}

#[test]
fn the_ratio_can_be_changed_for_a_time_while_it_runs() {
    let tracer = tracer(0.0);
    tracer.set_sampling_ratio(1.0, SOON).unwrap();
    assert!(tracer.sampling_ratio() == 1.0 && sampled_of(&tracer, 100) == 100);
    tracer.set_sampling_ratio(1.0, Duration::ZERO).unwrap();
    assert!(tracer.sampling_ratio() == 0.0 && sampled_of(&tracer, 100) == 0);
    tracer.set_sampling_ratio(0.5, Duration::MAX).unwrap();
    assert!(tracer.sampling_ratio() == 0.5);
    for bad in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        let error = tracer.set_sampling_ratio(bad, SOON);
        assert!(matches!(error, Err(Error::InvalidRatio { .. })), "{bad}");
    }
    assert!(tracer.sampling_ratio() == 0.5, "a bad one changes nothing");
}
