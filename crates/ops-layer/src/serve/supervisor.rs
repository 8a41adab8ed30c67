//! Messages to a service manager that requests them by `NOTIFY_SOCKET` (systemd's `Type=notify`).

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use sd_notify::NotifyState;

/// Reports that the service is ready: its checks passed.
pub(crate) fn ready() {
    notify(NotifyState::Ready);
}

/// Reports that the service is stopping.
pub(crate) fn stopping() {
    notify(NotifyState::Stopping);
}

/// Reports twice per interval that the runtime of the service still runs its tasks, if the manager requests it.
pub(crate) async fn keep_watchdog() {
    let Some(interval) = sd_notify::watchdog_enabled().filter(|interval| !interval.is_zero())
    else {
        return std::future::pending().await;
    };
    let mut ticks = tokio::time::interval(interval / 2);
    loop {
        ticks.tick().await;
        notify(NotifyState::Watchdog);
    }
}

/// Sends a message. If the manager is not reached, that is logged once, not for each watchdog message.
fn notify(state: NotifyState<'_>) {
    static UNREACHED: AtomicBool = AtomicBool::new(false);
    let sent = send(state);
    let was_unreached = UNREACHED.swap(sent.is_err(), Ordering::Relaxed);
    if let Err(error) = sent
        && !was_unreached
    {
        tracing::warn!(target: "ops_layer", error = %error, "service_manager_not_reached");
    }
}

fn send(state: NotifyState<'_>) -> io::Result<()> {
    let socket = std::env::var_os("NOTIFY_SOCKET").unwrap_or_default();
    if socket.is_empty() {
        return Ok(());
    }
    #[cfg(target_os = "linux")]
    if let Some(name) = socket.as_encoded_bytes().strip_prefix(b"@") {
        return send_to_abstract(name, &state);
    }
    sd_notify::notify(&[state])
}

/// Sends a message to an abstract socket: `@` stands for the zero byte before its name (sd_notify(3)).
#[cfg(target_os = "linux")]
fn send_to_abstract(name: &[u8], state: &NotifyState<'_>) -> io::Result<()> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let address = SocketAddr::from_abstract_name(name)?;
    let message = format!("{state}\n");
    let socket = UnixDatagram::unbound()?;
    socket.send_to_addr(message.as_bytes(), &address)?;
    Ok(())
}
