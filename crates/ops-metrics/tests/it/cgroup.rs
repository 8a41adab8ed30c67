//! Control groups, read from trees of files in the format of the kernel.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use ops_metrics::testing::Registry;

static TREES: AtomicU32 = AtomicU32::new(0);

/// A tree of files, removed at the end.
pub(crate) struct Tree(pub(crate) PathBuf);

impl Tree {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let number = TREES.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("ops-cgroup-{}-{number}", std::process::id()));
        for (file, text) in files {
            let file = root.join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        Self(root)
    }

    fn sampled(&self) -> Registry {
        let registry = Registry::new();
        registry.sample_cgroup(&self.0);
        registry
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

const ALL: [&str; 7] = [
    "cgroup_memory_usage_bytes",
    "cgroup_memory_limit_bytes",
    "cgroup_oom_kills_total",
    "cgroup_cpu_limit_cores",
    "cgroup_cpu_periods_total",
    "cgroup_cpu_throttled_periods_total",
    "cgroup_cpu_throttled_seconds_total",
];

fn assert_reported(registry: Registry, values: [Option<f64>; 7]) {
    for (name, value) in ALL.iter().zip(values) {
        assert_eq!(registry.value(name), value, "{name}");
    }
}

#[test]
fn version_2_is_read_with_the_limit_of_the_group_around_it() {
    let pod = "sys/fs/cgroup/pod/app";
    let tree = Tree::new(&[
        ("proc/self/cgroup", "0::/pod/app\n"),
        ("sys/fs/cgroup/cgroup.controllers", "cpu memory\n"),
        ("sys/fs/cgroup/pod/cgroup.controllers", "cpu memory\n"),
        ("sys/fs/cgroup/pod/memory.max", "1073741824\n"),
        ("sys/fs/cgroup/pod/cpu.max", "150000 100000\n"),
        (&format!("{pod}/cgroup.controllers"), "cpu memory\n"),
        (&format!("{pod}/memory.max"), "max\n"),
        (&format!("{pod}/memory.current"), "52428800\n"),
        (
            &format!("{pod}/memory.events"),
            "low 0\nhigh 0\nmax 7\noom 2\noom_kill 1\noom_group_kill 0\n",
        ),
        (&format!("{pod}/cpu.max"), "max 100000\n"),
        (
            &format!("{pod}/cpu.stat"),
            "usage_usec 9\nuser_usec 5\nsystem_usec 4\nnr_periods 400\nnr_throttled 40\nthrottled_usec 2500000\n",
        ),
    ]);
    let values = [52_428_800.0, 1_073_741_824.0, 1.0, 1.5, 400.0, 40.0, 2.5];
    assert_reported(tree.sampled(), values.map(Some));
}

#[test]
fn the_group_that_is_nearest_to_its_limit_is_reported() {
    // use of the slice around the service, and the reported use and limit
    for (slice, right) in [
        ("980\n", [980.0, 1000.0]),
        ("450\n", [400.0, 800.0]),
        ("1\n", [400.0, 800.0]),
    ] {
        let app = "sys/fs/cgroup/slice/app";
        let tree = Tree::new(&[
            ("proc/self/cgroup", "0::/slice/app\n"),
            ("sys/fs/cgroup/slice/cgroup.controllers", "cpu memory\n"),
            ("sys/fs/cgroup/slice/memory.max", "1000\n"),
            ("sys/fs/cgroup/slice/memory.current", slice),
            ("sys/fs/cgroup/slice/cpu.max", "50000 100000\n"),
            (
                "sys/fs/cgroup/slice/cpu.stat",
                "nr_periods 70\nnr_throttled 7\nthrottled_usec 500000\n",
            ),
            (&format!("{app}/cgroup.controllers"), "cpu memory\n"),
            (&format!("{app}/memory.max"), "800\n"),
            (&format!("{app}/memory.current"), "400\n"),
            (&format!("{app}/cpu.max"), "max 100000\n"),
            (
                &format!("{app}/cpu.stat"),
                "nr_periods 0\nnr_throttled 0\nthrottled_usec 0\n",
            ),
        ]);
        let [usage, limit] = right.map(Some);
        assert_reported(
            tree.sampled(),
            [
                usage,
                limit,
                None,
                Some(0.5),
                Some(70.0),
                Some(7.0),
                Some(0.5),
            ],
        );
    }
}

#[test]
fn version_1_is_read() {
    let memory = "sys/fs/cgroup/memory/docker/abc";
    let cpu = "sys/fs/cgroup/cpu/docker/abc";
    let tree = Tree::new(&[
        (
            "proc/self/cgroup",
            "12:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n1:name=systemd:/x\n0::/x\n",
        ),
        (
            "sys/fs/cgroup/memory/memory.limit_in_bytes",
            "9223372036854771712\n",
        ),
        (&format!("{memory}/memory.limit_in_bytes"), "268435456\n"),
        (&format!("{memory}/memory.usage_in_bytes"), "1048576\n"),
        (
            &format!("{memory}/memory.oom_control"),
            "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
        ),
        (
            &format!("{cpu}/cpu.stat"),
            "nr_periods 10\nnr_throttled 4\nthrottled_time 1250000000\n",
        ),
        (&format!("{cpu}/cpu.cfs_quota_us"), "50000\n"),
        (&format!("{cpu}/cpu.cfs_period_us"), "100000\n"),
    ]);
    let values = [1_048_576.0, 268_435_456.0, 3.0, 0.5, 10.0, 4.0, 1.25];
    assert_reported(tree.sampled(), values.map(Some));
}

#[test]
fn inside_of_a_container_the_group_is_the_mount_itself() {
    let tree = Tree::new(&[
        (
            "proc/self/cgroup",
            "4:memory:/process_api/5baab0409d51\n0::/\n",
        ),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", "1024\n"),
        ("sys/fs/cgroup/memory/memory.usage_in_bytes", "512\n"),
    ]);
    let memory = [Some(512.0), Some(1024.0)];
    assert_reported(
        tree.sampled(),
        [memory[0], memory[1], None, None, None, None, None],
    );
}

#[test]
fn what_is_not_reported_is_not_0() {
    let unlimited = Tree::new(&[
        ("proc/self/cgroup", "4:memory:/\n1:cpu:/\n"),
        (
            "sys/fs/cgroup/memory/memory.limit_in_bytes",
            "9223372036854771712\n",
        ),
        ("sys/fs/cgroup/cpu/cpu.stat", "nonsense\nnr_periods many\n"),
        ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
        ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
    ]);
    assert_reported(unlimited.sampled(), [None; 7]);
    assert_reported(Tree::new(&[]).sampled(), [None; 7]);
    assert_reported(Registry::new(), [None; 7]);
}

#[test]
fn this_machine_reports_what_it_has() {
    let text = crate::rendered();
    let v1 = Path::new("/sys/fs/cgroup/memory/memory.usage_in_bytes");
    if v1.exists() {
        let usage = crate::value(&text, "cgroup_memory_usage_bytes");
        assert!(usage > Some(0.0), "{usage:?}");
    }
}

#[test]
fn a_limit_that_is_taken_away_is_that_of_the_machine() {
    let app = "sys/fs/cgroup/app";
    let memory = &format!("{app}/memory.max");
    let cpu = &format!("{app}/cpu.max");
    let tree = Tree::new(&[
        ("proc/self/cgroup", "0::/app\n"),
        (
            "proc/meminfo",
            "MemTotal:       16384 kB\nMemFree:            12 kB\n",
        ),
        (&format!("{app}/cgroup.controllers"), "cpu memory\n"),
        (&format!("{app}/memory.current"), "4096\n"),
        (memory, "max\n"),
        (cpu, "max 100000\n"),
    ]);
    let registry = tree.sampled();
    let limits = || {
        registry.sample_cgroup(&tree.0);
        ["cgroup_memory_limit_bytes", "cgroup_cpu_limit_cores"].map(|name| registry.value(name))
    };
    assert_eq!(limits(), [None; 2], "never there");
    let set = |file: &str, text: &str| std::fs::write(tree.0.join(file), text).unwrap();
    set(memory, "8192\n");
    set(cpu, "1000 100000\n");
    assert_eq!(limits(), [Some(8192.0), Some(0.01)]);
    set(memory, "max\n");
    set(cpu, "max 100000\n");
    let [bytes, cores] = limits();
    assert_eq!(bytes, Some(16_777_216.0));
    assert!(cores >= Some(1.0), "{cores:?}");
    set(memory, "4096\n");
    assert_eq!(limits()[0], Some(4096.0));
}

#[test]
fn a_version_that_does_not_limit_takes_no_limit_of_the_other_one_away() {
    let root = "sys/fs/cgroup";
    let tree = Tree::new(&[
        ("proc/self/cgroup", "4:memory:/app\n3:cpu:/app\n0::/app\n"),
        ("proc/meminfo", "MemTotal:       16384 kB\n"),
        (
            &format!("{root}/memory/app/memory.limit_in_bytes"),
            "8192\n",
        ),
        (&format!("{root}/cpu/app/cpu.stat"), "nr_periods 1\n"),
        (&format!("{root}/cpu/app/cpu.cfs_quota_us"), "1000\n"),
        (&format!("{root}/cpu/app/cpu.cfs_period_us"), "100000\n"),
        (&format!("{root}/unified/app/cgroup.controllers"), "\n"),
        (&format!("{root}/unified/app/cpu.stat"), "usage_usec 9\n"),
    ]);
    let registry = tree.sampled();
    for _ in 0..2 {
        registry.sample_cgroup(&tree.0);
        assert_eq!(registry.value("cgroup_memory_limit_bytes"), Some(8192.0));
        assert_eq!(registry.value("cgroup_cpu_limit_cores"), Some(0.01));
    }
}
