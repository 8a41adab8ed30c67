//! Other processes: this test binary, started again in a role.

/// Does nothing unless this process was started in a role.
#[test]
fn plays_its_role() {
    let Some((role, dir)) = dev::role::mine() else {
        return;
    };
    match role.split_once(' ').unwrap_or((&role, "")) {
        ("replica", role) => crate::ask_cold(&dir, role),
        ("endless", _) => crate::compute_for_ever(&dir),
        (other, _) => unreachable!("no such role: {other}"),
    }
}
