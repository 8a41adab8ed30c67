use super::page::{Page, Scene};
use super::{KEY, until};
use crate::served::{Home, datasets};

#[test]
fn runs_that_fail_lead_to_the_file_that_is_broken() {
    let files = datasets();
    let home = Home::with_datasets(files.path());
    let served = home.serve();
    std::fs::write(files.path().join("zipcodes.csv"), "broken").unwrap();
    assert_eq!(
        served
            .post("/api/orchestrator/runs", &[KEY], r#"{"job": "delays"}"#)
            .status,
        202
    );

    let page = Page::read("orchestrator-success-low.md");
    let scene = Scene::of(&home, &served);
    let printed = until(" failed ingest ", || page.step(1, &scene));
    assert!(printed.contains("cannot load zipcodes"), "{printed}");
    assert_eq!(page.step(2, &scene), "no matching runs\nno matching runs\n");
    assert!(page.step(3, &scene).contains("zipcodes_loader"));
    page.concludes(
        "`cannot load <table>`: the file of the table was replaced by one that is broken",
    );
}
