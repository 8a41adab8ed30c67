use std::process::Command;

use super::page::{Page, Scene};
use crate::mapbox_stand_in::TOKEN;
use crate::moto::Moto;
use crate::served::Home;

#[test]
fn a_secret_that_is_missing_leads_to_each_source() {
    let home = Home::new();
    let page = Page::read("secrets-not-loading.md");
    let mut scene = Scene::without_service(&home);
    let printed = page.step(1, &scene);
    assert!(
        printed.starts_with("MAPBOX_ACCESS_TOKEN: missing\n"),
        "{printed}"
    );
    let printed = page.step(2, &scene);
    assert!(
        printed.contains("not queried: no AWS configuration found"),
        "{printed}"
    );
    assert_eq!(page.step(3, &scene), "none\n");
    page.leave(4, "moto takes seconds to start: see the next test");
    let served = home.serve();
    let printed = page.step(5, &Scene::of(&home, &served));
    let missing = r#"{"name":"mapbox_token","source":"missing"}"#;
    assert!(printed.contains(missing), "{printed}");
    page.concludes("| `not queried: no AWS configuration found` | give credentials");
    page.concludes("| `missing` | set the variable (`export NAME=value`)");
    scene.set("MAPBOX_ACCESS_TOKEN", TOKEN);
    assert_eq!(page.step(1, &scene), "MAPBOX_ACCESS_TOKEN: env\n");
    assert_eq!(page.step(3, &scene), "MAPBOX_ACCESS_TOKEN\n");
}

#[test]
fn a_secret_that_was_put_to_aws_is_found_there() {
    let client = Command::new("aws").arg("--version").output();
    let has_client = client.is_ok_and(|output| output.status.success());
    if !super::is_full() || !has_client {
        return;
    }
    let Some(moto) = Moto::start() else { return };
    let mut home = Home::new();
    moto.use_in(&mut home);
    let scene = Scene::without_service(&home);
    // with the commands of the overview
    scene.follow(&format!("aws ssm put-parameter --name /kearney-platform/prod/mapbox_token --value {TOKEN} --type SecureString"));
    scene.follow("aws secretsmanager create-secret --name kearney-platform/prod/registry_api_key --secret-string planted-value-5");
    let page = Page::read("secrets-not-loading.md");
    let printed = page.step(4, &scene);
    assert!(
        printed.contains("/kearney-platform/prod/mapbox_token"),
        "{printed}"
    );
    assert!(
        !printed.contains(TOKEN) && !printed.contains("planted-value-5"),
        "{printed}"
    );
    assert_eq!(page.step(1, &scene), "MAPBOX_ACCESS_TOKEN: aws_ssm\n");
}
