//! Messages to a service manager that asked for them by `NOTIFY_SOCKET` (systemd's `Type=notify`).

use std::sync::atomic::{AtomicBool, Ordering};

use sd_notify::NotifyState;

/// Reports that the service is ready: its checks passed.
pub(crate) fn ready() {
    notify(NotifyState::Ready);
}

/// Reports that the service is on its way out.
pub(crate) fn stopping() {
    notify(NotifyState::Stopping);
}

/// Reports twice per interval that the runtime of the service still runs its tasks, if the manager asked for it.
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

/// Sends a message. That the manager is not reached is told once, and not each time that a watchdog is due.
fn notify(state: NotifyState<'_>) {
    static UNREACHED: AtomicBool = AtomicBool::new(false);
    let sent = sd_notify::notify(&[state]);
    let was_unreached = UNREACHED.swap(sent.is_err(), Ordering::Relaxed);
    if let Err(error) = sent
        && !was_unreached
    {
        tracing::warn!(target: "ops_layer", error = %error, "service_manager_not_reached");
    }
}
