use super::page::{Page, Scene};
use super::until;
use crate::served::Home;

#[test]
fn traces_that_do_not_appear_lead_to_the_collector_that_is_not_there() {
    // nothing listens at the endpoint
    let home = Home::new();
    let served = home.serve();
    served.get("/api/flights/summary?origin=SFO");
    let page = Page::read("traces-not-appearing.md");
    let scene = Scene::of(&home, &served);
    let endpoint = home.program(&[]).get_envs().find_map(|(name, value)| {
        (name == "OTEL_EXPORTER_OTLP_ENDPOINT").then(|| value.unwrap().to_str().unwrap().to_owned())
    });
    let printed = page.step_at(1, &scene, ("http://127.0.0.1:4318", &endpoint.unwrap()));
    assert_eq!(printed, "000\n");
    let printed = until("trace_exporter_up 0", || page.step(2, &scene));
    assert!(printed.contains("{kind=\"refused\"}"), "{printed}");
    assert!(page.step(3, &scene).contains("tracer_initialized"));
    page.concludes("no collector at that endpoint");
}
