//! A line in the black box compared with `pwrite` of the same bytes: `cargo bench -p ops-black-box --bench ratios`.
#![expect(
    clippy::unwrap_used,
    reason = "a bench that cannot start has nothing to say"
)]

use std::os::unix::fs::FileExt;
use std::time::SystemTime;

use dev::ratio::Ratios;
use ops_black_box::Config;

/// Line as a service writes it.
const LINE: &[u8] = br#"{"timestamp":"2025-01-15T10:30:00.123Z","level":"info","logger":"api","event":"request_completed","request_id":"req-abc123","method":"GET","route":"/flights/{id}","status":200,"duration_ms":12}"#;

fn main() {
    let mut ratios = Ratios::from_args();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let config = Config::new(folder.path(), "bench");
    let black_box = ops_black_box::open(&config).black_box.unwrap();
    let at = SystemTime::now();

    let other = std::fs::File::create(folder.path().join("other")).unwrap();
    other.set_len(8 << 20).unwrap();
    let mut next = 0;
    ratios.at_most(
        "a line of 200 bytes in the ring",
        0.25,
        || black_box.line(at, LINE),
        ("pwrite", || {
            other.write_all_at(LINE, next % (8 << 20)).unwrap();
            next += LINE.len() as u64;
        }),
    );
    ratios.report("a line of 200 bytes in the ring", || {
        black_box.line(at, LINE);
    });
    let small = Config::new(folder.path().join("small"), "bench").ring_bytes(256 * 1024);
    let small = ops_black_box::open(&small).black_box.unwrap();
    ratios.report("the same in a ring of 256 KiB", || small.line(at, LINE));
    ratios.report("its checksum alone", || {
        std::hint::black_box(crc32fast::hash(std::hint::black_box(LINE)));
    });
    let long = [b'x'; 2000];
    ratios.report("a line of 2000 bytes in the ring", || {
        black_box.line(at, &long);
    });
    ratios.finish();
}
