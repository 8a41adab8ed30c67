//! A subscriber that the program installed before. It is global, so this test has its own process.

use ops_log::Config;
use tracing_subscriber::layer::SubscriberExt;

fn warnings() -> usize {
    let warning = r#""level":"warning","logger":"root","event":"tracing_events_elsewhere""#;
    let lines = ops_log::recent(100).into_iter();
    lines.filter(|line| line.contains(warning)).count()
}

#[test]
fn a_subscriber_of_the_program_without_our_layer_is_one_warning() {
    let config = || Config::new().stdout(false).service_name("root");
    let of_program = tracing_subscriber::registry().with(ops_log::tracing_layer());
    tracing::subscriber::with_default(of_program, || {
        // the global one is the program's
        let plain = tracing_subscriber::registry();
        tracing::subscriber::set_global_default(plain).unwrap();
        drop(ops_log::init(config()).unwrap());
        assert_eq!(warnings(), 0, "the layer is there");
    });
    drop(ops_log::init(config().install_bridges(false)).unwrap());
    assert_eq!(warnings(), 0, "nobody wants its events");
    for _ in 0..2 {
        drop(ops_log::init(config()).unwrap());
        assert_eq!(warnings(), 1);
    }
}
