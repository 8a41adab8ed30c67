use super::page::{Page, Scene};
use super::until;
use crate::moto::Moto;
use crate::shared::{self, summary};

#[test]
fn a_bucket_that_does_not_answer_is_found_and_leads_to_its_cause() {
    if !super::is_full() {
        // rules run every five seconds, and moto takes seconds to start
        return;
    }
    let Some(moto) = Moto::start() else {
        return;
    };
    moto.bucket(shared::BUCKET);
    let snapshot = shared::snapshot();
    let served = shared::replica(&moto, &snapshot).serve();
    let home = served.home();
    let page = Page::read("shared-store-unreachable.md");
    let scene = Scene::of(home, &served);
    served.get(&summary("SFO"));
    let printed = until("1 written", || page.step(1, &scene));
    assert!(printed.contains("shared bucket: reachable"), "{printed}");

    drop(moto);
    served.get(&summary("JFK"));
    let printed = until("unreachable for ", || page.step(1, &scene));
    assert!(printed.contains("1 failed"), "{printed}");
    let printed = page.step(2, &scene);
    assert!(printed.contains("shared_store_failed"), "{printed}");
    let printed = page.step(3, &scene);
    assert_eq!(printed, "none\n");
    page.concludes("start the store, or fix `endpoint`");
}
