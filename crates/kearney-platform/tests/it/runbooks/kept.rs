use super::page::{Page, Scene};
use super::until;
use crate::served::Home;

#[test]
fn a_history_that_another_process_writes_leads_to_that_process() {
    let mut home = Home::new();
    home.set("OPS_HISTORY_DIR", "history");
    let first = home.serve();
    // a history has one writer: the second platform cannot write to it
    let mut other = Home::new();
    let dir = home.path("history").display().to_string();
    other.set("OPS_HISTORY_DIR", Box::leak(dir.into_boxed_str()));
    let served = other.serve();
    let page = Page::read("history-incomplete.md");
    let scene = Scene::of(&other, &served);
    let printed = until("history_stopped", || page.step(1, &scene));
    assert!(
        printed.contains("another process writes to this history"),
        "{printed}"
    );
    let here = (
        "--dir history",
        &*format!("--dir {}", home.path("history").display()),
    );
    let printed = page.step_at(2, &scene, here);
    assert!(printed.contains("logs "), "{printed}");
    let here = ("history", &*home.path("history").display().to_string());
    let printed = page.step_at(3, &scene, here);
    assert!(printed.contains("Filesystem"), "{printed}");
    page.concludes("one directory for each process");
    assert!(served.stop().success());
    assert!(first.stop().success());
}
