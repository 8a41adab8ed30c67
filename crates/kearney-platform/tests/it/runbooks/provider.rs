use super::page::{Page, Scene};
use super::until;
use crate::mapbox_stand_in::{Behavior, StandIn, TOKEN};
use crate::served::{Home, Served};

pub(super) const AREA: &str = "/api/isochrone?lat=37.6&lon=-122.4&minutes=10";

pub(super) fn with_mapbox(mapbox: &StandIn) -> (Home, Served) {
    let mut home = Home::new();
    home.set("MAPBOX_ACCESS_TOKEN", TOKEN);
    home.set("KEARNEY_MAPBOX_URL", mapbox.url.clone().leak());
    let served = home.serve();
    (home, served)
}

#[test]
fn a_provider_that_refuses_leads_to_the_token() {
    let mapbox = StandIn::start();
    let mut home = Home::new();
    home.set("MAPBOX_ACCESS_TOKEN", "pk.another-token-0815");
    home.set("KEARNEY_MAPBOX_URL", mapbox.url.clone().leak());
    let served = home.serve();
    assert_eq!(served.get(AREA).status, 502);

    let page = Page::read("isochrone-provider-failing.md");
    let scene = Scene::of(&home, &served);
    let printed = page.step(1, &scene);
    assert_eq!(
        printed,
        "isochrone_requests_total{provider=\"mapbox\",mode=\"driving\",status=\"http_4xx\"} 1\n"
    );
    assert_eq!(page.step(2, &scene), "mapbox_token: env\n");
    assert!(page.step(3, &scene).contains("rejected the token"));
    page.concludes("- `http_4xx`: the token");
}

#[test]
fn requests_that_fail_lead_to_their_route() {
    let mapbox = StandIn::start();
    mapbox.behave(Behavior::Nonsense);
    let (home, served) = with_mapbox(&mapbox);
    assert_eq!(served.get(AREA).status, 502);
    let page = Page::read("api-availability-burn.md");
    let scene = Scene::of(&home, &served);
    assert!(
        page.step(1, &scene)
            .contains("route=\"/api/isochrone\",method=\"GET\",status=\"502\"} 1")
    );
    assert!(page.step(2, &scene).contains("ready"));
    assert!(until("/api/isochrone", || page.step(3, &scene)).contains("trace_id"));
    page.concludes("- Only one route fails: its log lines carry route and trace id");
}
