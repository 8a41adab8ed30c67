//! Other processes: this test binary, started again in a role.

pub(crate) use dev::role::Process;

/// Does nothing unless this process was started in a role.
#[test]
fn plays_its_role() {
    let Some((role, dir)) = dev::role::mine() else {
        return;
    };
    let dir = &*dir;
    match role.split_once(' ').unwrap_or((&role, "")) {
        ("store", step) => crate::faults::store_and_stop(dir, step),
        ("fill", _) => crate::faults::fill_the_disk(dir),
        ("descriptors", "hit") => crate::descriptors::hit_without(dir),
        ("descriptors", _) => crate::descriptors::invalidate_without(dir),
        ("threads", _) => crate::threads::notice_without(dir),
        ("cold", processes) => crate::processes::ask_cold(dir, processes.parse().unwrap()),
        ("hold", _) => crate::processes::compute_for_ever(dir),
        ("limits", role) => crate::memory::keep_within_limits(dir, role),
        ("unlistable", _) => {
            crate::directory::clear_beside_a_folder_that_cannot_be_listed(dir);
        }
        ("scale-fill", count) => crate::scale::fill(dir, count),
        ("scale-measure", count) => crate::scale::measure(dir, count),
        ("weigh", _) => crate::memory::weigh(dir),
        ("weigh_rows", _) => crate::memory::weigh_rows(dir),
        ("place", _) => crate::macros::open_the_process_wide_cache(dir),
        ("function", _) => crate::macros::call_without_a_cache(),
        ("move", _) => crate::cache::move_away(dir),
        ("count", _) => crate::metrics::count_http(dir),
        ("mix", seed) => crate::processes::mix(dir, seed.parse().unwrap()),
        ("flight-sql", "limit") => crate::flight_sql::failures::receive_too_much(dir),
        ("flight-sql", "slow") => crate::flight_sql::server::play(None),
        ("flight-sql", _) => crate::flight_sql::server::play(Some(20)),
        (other, _) => panic!("no such role: {other}"),
    }
}
