/// Routes of probes and scrapes, which come every few seconds and are unrelated to the service's users.
///
/// They get no access line and no span, and are left out of sparklines, panels
/// and alerts. They are counted under their route like all other requests.
pub const QUIET_ROUTES: &[&str] = &["/healthz", "/livez", "/readyz", "/metrics"];

/// Returns `true` for the path or the template of one of the [`QUIET_ROUTES`].
pub fn is_quiet(path: &str) -> bool {
    QUIET_ROUTES.contains(&path)
}
