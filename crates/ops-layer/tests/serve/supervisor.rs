use std::os::unix::net::UnixDatagram;

use crate::client::{PATIENCE, get, request};
use crate::process::Start;

#[test]
fn systemd_waits_for_the_checks_before_a_service_is_ready() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let hear = || {
        let mut buffer = [0; 256];
        let bytes = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..bytes]).trim().to_owned()
    };
    let service = Start::new("serve")
        .env("NOTIFY_SOCKET", path.to_str().unwrap())
        .env("WATCHDOG_USEC", "200000")
        .env("HEALTH", "2")
        .serve();
    // the checks ran, and the service is not ready
    assert_eq!(get(service.api, "/readyz").status, 503);
    (0..3).for_each(|_| assert_eq!(hear(), "WATCHDOG=1"));
    assert_eq!(
        request(service.api, "POST", "/health/0", "", b"").status,
        200
    );
    while hear() != "READY=1" {}
    assert_eq!(get(service.api, "/readyz").status, 200);
    assert!(service.stop().0.success());
}

#[test]
fn a_service_manager_that_is_not_reached_is_reported_once() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = folder.path().join("nobody");
    let service = Start::new("serve")
        .env("NOTIFY_SOCKET", nobody.to_str().unwrap())
        .env("WATCHDOG_USEC", "2000")
        .serve();
    for _ in 0..20 {
        assert_eq!(get(service.api, "/hello").status, 200);
    }
    let (status, log) = service.stop();
    assert!(status.success(), "{status}");
    let logged = log.matches("service_manager_not_reached").count();
    assert_eq!(logged, 1, "{log}");
}

#[test]
fn systemd_is_notified_when_the_service_is_ready_alive_and_stopping() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let service = Start::new("serve")
        .env("NOTIFY_SOCKET", path.to_str().unwrap())
        .env("WATCHDOG_USEC", "200000")
        .serve();
    let mut logged = Vec::new();
    let mut hear = |until: &str| {
        loop {
            let mut buffer = [0; 256];
            let bytes = socket.recv(&mut buffer).unwrap();
            let text = String::from_utf8_lossy(&buffer[..bytes]).trim().to_owned();
            logged.push(text.clone());
            if text == until {
                return;
            }
        }
    };
    hear("READY=1");
    hear("WATCHDOG=1");
    hear("WATCHDOG=1");
    assert!(service.stop().0.success());
    hear("STOPPING=1");
    println!("{logged:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_service_manager_whose_socket_is_no_file_is_reported_too() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;
    let name = format!("ops-layer-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let socket = UnixDatagram::bind_addr(&address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let service = Start::new("serve")
        .env("NOTIFY_SOCKET", format!("@{name}"))
        .serve();
    let mut buffer = [0; 256];
    let bytes = socket.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..bytes], b"READY=1\n");
    assert!(service.stop().0.success());
}
