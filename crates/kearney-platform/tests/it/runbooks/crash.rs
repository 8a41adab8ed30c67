use super::page::{Page, Scene};
use crate::served::Home;

#[test]
fn a_process_that_was_killed_leads_to_its_last_seconds() {
    let mut home = Home::new();
    std::fs::create_dir(home.path("box")).unwrap();
    home.set("OPS_BLACK_BOX", "box");
    home.serve().kill();
    // the next start keeps the file of the crashed run
    let served = home.serve();
    let page = Page::read("last-run-crashed.md");
    let scene = Scene::of(&home, &served);
    let here = ("/var/lib/kearney/", "box/");
    let printed = page.step_at(1, &scene, here);
    assert!(printed.contains("unknown: it recorded no end"), "{printed}");
    let printed = page.step_at(2, &scene, here);
    assert!(printed.contains("\"panic\": null"), "{printed}");
    page.leave(4, "a kernel's journal is not everywhere");
    page.concludes(
        "a signal that it does not handle (SIGKILL, SIGQUIT, SIGUSR1) or a memory fault (SIGSEGV)",
    );
    assert!(served.stop().success());
}
