//! Detectors of the process's environment.

use std::fs;
use std::path::Path;

use ops_trace::testing::{Collector, ReceivedSpan};
use ops_trace::{Config, Tracer, span};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn write(root: &Path, file: &str, text: &str) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn sent(root: &Path, variables: &[(&str, &str)]) -> ReceivedSpan {
    let collector = Collector::start().unwrap();
    let config = Config::new("it").endpoint(collector.endpoint());
    let config = config
        .environment(variables.iter().copied())
        .files_below(root);
    let tracer = Tracer::new(config).unwrap();
    drop(span!(tracer: tracer, "a"));
    tracer.flush();
    collector.spans().remove(0)
}

#[test]
fn attributes_of_a_file_are_below_those_of_the_environment() {
    let collector = Collector::start().unwrap();
    let config = Config::new("it")
        .endpoint(collector.endpoint())
        .service_version("1")
        .resource_attribute("deployment.environment.name", "production")
        .resource_attribute("team", "shop")
        .with_env()
        .environment([(
            "OTEL_RESOURCE_ATTRIBUTES",
            "deployment.environment.name=staging,service.version=2",
        )])
        .resource_attribute("region", "eu");
    let tracer = Tracer::new(config).unwrap();
    drop(span!(tracer: tracer, "a"));
    tracer.flush();
    let span = collector.spans().remove(0);
    for (key, value) in [
        ("deployment.environment.name", "staging"),
        ("service.version", "2"),
        ("team", "shop"),
        ("region", "eu"),
        ("service.name", "it"),
    ] {
        assert_eq!(span.resource(key), Some(value), "{key}");
    }
}

#[test]
fn host_container_and_pod_are_found_when_asked_for_and_the_environment_wins() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "proc/sys/kernel/hostname", "web-7d\n");
    write(root, "proc/sys/kernel/osrelease", "6.1.0\n");
    write(root, "etc/machine-id", "abc\n");
    write(
        root,
        "proc/self/cgroup",
        &format!("12:cpu:/kubepods/pod1/{ID}\n"),
    );
    write(
        root,
        "var/run/secrets/kubernetes.io/serviceaccount/namespace",
        "shop",
    );
    let quiet = sent(root, &[("POD_NAME", "web")]);
    for key in ["host.name", "container.id", "k8s.pod.name"] {
        assert_eq!(quiet.resource(key), None, "{key} was not asked for");
    }
    assert_eq!(quiet.resource("telemetry.sdk.language"), Some("rust"));
    let span = sent(
        root,
        &[
            ("OPS_RESOURCE_DETECTORS", "Host, container,kubernetes"),
            ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
            ("HOSTNAME", "web-7d"),
            ("NODE_NAME", "node-1"),
            ("POD_UID", "u-1"),
            (
                "OTEL_RESOURCE_ATTRIBUTES",
                "host.id=mine,k8s.node.name=other",
            ),
        ],
    );
    for (key, value) in [
        ("host.name", "web-7d"),
        ("host.id", "mine"),
        ("os.type", std::env::consts::OS),
        ("os.version", "6.1.0"),
        ("container.id", ID),
        ("k8s.pod.name", "web-7d"),
        ("k8s.namespace.name", "shop"),
        ("k8s.node.name", "other"),
        ("k8s.pod.uid", "u-1"),
    ] {
        assert_eq!(
            span.resource(key),
            Some(value),
            "{key}: {:#?}",
            span.resource
        );
    }
}

#[test]
fn a_container_id_is_found_in_control_groups_and_mounts_and_nowhere_else() {
    for (file, text, found) in [
        (
            "proc/self/cgroup",
            format!("0::/system.slice/docker-{ID}.scope\n"),
            true,
        ),
        (
            "proc/self/cgroup",
            format!("0::/a/cri-containerd:{ID}\n"),
            true,
        ),
        ("proc/self/cgroup", "0::/\n".to_owned(), false),
        (
            "proc/self/cgroup",
            format!("0::/user.slice/{}\n", &ID[1..]),
            false,
        ),
        (
            "proc/self/mountinfo",
            format!("1 2 0:1 /var/lib/docker/containers/{ID}/hostname /etc/hostname rw\n"),
            true,
        ),
        (
            "proc/self/mountinfo",
            format!("1 2 0:1 /x/{ID}/layer / rw\n"),
            false,
        ),
        (
            "proc/self/mountinfo",
            format!(
                "1 2 0:1 /var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/{ID}/hostname /etc/hostname rw\n"
            ),
            false,
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), file, &text);
        let span = sent(folder.path(), &[("OPS_RESOURCE_DETECTORS", "container")]);
        assert_eq!(span.resource("container.id"), found.then_some(ID), "{text}");
    }
    let nothing = tempfile::tempdir().unwrap();
    let span = sent(
        nothing.path(),
        &[("OPS_RESOURCE_DETECTORS", "host,container,kubernetes")],
    );
    assert_eq!(span.resource("host.name"), None);
}
