//! Sockets that another program opened, and an admin page whose default address is in use.

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};

use crate::client::{connect, get, parse};
use crate::process::{Process, Start};

/// Passes sockets as systemd does: they are descriptors 3 and 4 of the service.
fn passing(sockets: &str, descriptors: &str) -> Start {
    let script = format!(
        "exec {descriptors} 0</dev/null 2>/dev/null; export LISTEN_FDS={sockets} LISTEN_PID=$$; exec \"$@\""
    );
    Start::through(&["sh", "-c", &script, "sh"], "serve")
}

#[test]
fn passed_sockets_are_the_api_and_the_admin_page_and_clients_may_come_first() {
    let [api, admin] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let addresses = [api.local_addr().unwrap(), admin.local_addr().unwrap()];
    // before the service starts: the socket keeps its request
    let mut early = connect(addresses[0]);
    early
        .write_all(b"GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    let service = passing("2", "3<&0 4<&2").stdin(api).stderr(admin).serve();
    assert_eq!([service.api, service.admin], addresses);
    let mut text = String::new();
    early.read_to_string(&mut text).unwrap();
    assert_eq!(parse(&text).body, "hello\n");
    assert_eq!(get(service.admin, "/healthz").status, 200);
    assert!(service.stop().0.success());
}

#[test]
fn the_only_passed_socket_is_the_api_and_the_admin_page_binds_its_own() {
    let api = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = api.local_addr().unwrap();
    let service = passing("1", "3<&0").stdin(api).serve();
    assert_eq!(service.api, address);
    assert_ne!(service.admin, address);
    assert_eq!(get(service.api, "/hello").status, 200);
    assert_eq!(get(service.admin, "/healthz").status, 200);
    assert!(service.stop().0.success());
}

#[test]
fn the_page_says_where_a_passed_socket_is_and_one_that_no_page_needs_is_reported() {
    let [api, admin] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let service = passing("2", "3<&0 4<&2").stdin(api).stderr(admin).serve();
    let state = get(service.admin, "/api/state").body;
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    let settings = state["configuration"].as_array().unwrap();
    for (name, address) in [
        ("api address", service.api),
        ("admin address", service.admin),
    ] {
        let shown = settings.iter().find(|setting| setting["name"] == name);
        let shown = shown.unwrap();
        assert_eq!(shown["value"], address.to_string());
        assert_eq!(shown["source"], "environment: LISTEN_FDS");
    }
    let [api, admin] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let unused = admin.local_addr().unwrap();
    let service = passing("2", "3<&0 4<&2").env("WITHOUT_ADMIN", "1");
    let service = service.stdin(api).stderr(admin).serve();
    assert_eq!(service.admin.port(), 0);
    let (_, log) = service.stop();
    let logged = log
        .lines()
        .find(|line| line.contains("passed_socket_unused"));
    assert!(logged.unwrap().contains(&unused.to_string()), "{log}");
}

#[test]
fn sockets_for_another_process_are_not_taken() {
    let api = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = api.local_addr().unwrap();
    let script = "exec 3<&0 0</dev/null; export LISTEN_FDS=1 LISTEN_PID=1; exec \"$@\"";
    let service = Start::through(&["sh", "-c", script, "sh"], "serve")
        .stdin(api)
        .serve();
    assert_ne!(service.api, address);
    assert!(service.stop().0.success());
}

#[test]
fn a_passed_socket_of_another_kind_is_refused() {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let reason = passing("1", "3<&0").stdin(udp).refused();
    assert!(reason.contains("LISTEN_FDS"), "{reason}");
}

/// Starts it while the default address is in use: by this test, or by another process, which may release it meanwhile.
fn beside_the_default(default: &str, role: &str) -> (Option<TcpListener>, Process) {
    for _ in 0..20 {
        let taken = TcpListener::bind(default).ok();
        let start = Start::new(role).without("OPS_ADMIN_ADDR");
        let service = match role {
            "serve" => start.serve(),
            _ => start.work(),
        };
        let is_taken = service.log().contains("admin_address_taken");
        if is_taken || taken.is_some() {
            return (taken, service);
        }
    }
    panic!("others have {default}, and no service has a line about it");
}

#[test]
fn a_default_admin_address_that_is_taken_is_replaced_by_a_free_one_with_a_warning() {
    let default = "127.0.0.1:8001";
    for role in ["serve", "job"] {
        let (_taken, service) = beside_the_default(default, role);
        if role == "serve" {
            assert_ne!(service.admin.to_string(), default);
            assert!(service.admin.ip().is_loopback());
            assert_eq!(get(service.admin, "/healthz").status, 200);
        }
        let (status, log) = service.stop();
        assert!(status.success(), "{log}");
        let mut lines = log.lines();
        let warning = lines.find(|line| line.contains("admin_address_taken"));
        assert!(warning.unwrap().contains(default), "{log}");
    }
}
