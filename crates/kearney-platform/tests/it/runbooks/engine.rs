use super::page::{Page, Scene};
use super::until;
use crate::cluster::server::{Faults, Server};
use crate::cluster::{ended, tables, with_engine};

const ASKED: &str = "/api/flights/summary?origin=JFK&month=2";

#[test]
fn an_engine_that_does_not_answer_is_found_and_leads_to_its_cause() {
    if !super::is_full() {
        // rules run every five seconds
        return;
    }
    let server = Server::start(&tables());
    server.set(Faults {
        token: Some("any".to_owned()),
        ..Faults::default()
    });
    let address = server.address();
    let home = with_engine(address.clone());
    let served = home.serve();
    let scene = Scene::of(&home, &served);
    assert_eq!(served.get(ASKED).status, 503);

    let page = Page::read("engine-unreachable.md");
    let printed = until("rejected the login", || page.step(1, &scene));
    assert!(printed.contains(&address), "{printed}");
    assert!(
        printed.contains("KEARNEY_ENGINE_TOKEN is not set"),
        "{printed}"
    );

    let _address = ended(server);
    let printed = page.step(2, &scene);
    assert!(
        printed.contains("no connection to the Flight SQL server"),
        "{printed}"
    );
    until("no connection", || page.step(1, &scene));
    let printed = page.step(3, &scene);
    assert!(printed.contains("missing"), "{printed}");
    page.concludes("- `rejected the login`: put the server's token into the secret");
    page.concludes("- `no connection`: start the server");
}
