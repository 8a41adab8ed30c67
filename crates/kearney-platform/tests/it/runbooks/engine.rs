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
    let told = until("rejected the login", || page.step(1, &scene));
    assert!(told.contains(&address), "{told}");
    assert!(told.contains("KEARNEY_ENGINE_TOKEN is not set"), "{told}");

    let _address = ended(server);
    let told = page.step(2, &scene);
    assert!(
        told.contains("no connection to the Flight SQL server"),
        "{told}"
    );
    until("no connection", || page.step(1, &scene));
    let told = page.step(3, &scene);
    assert!(told.contains("missing"), "{told}");
    page.concludes("- `rejected the login`: put the server's token into the secret");
    page.concludes("- `no connection`: start the server");
}
