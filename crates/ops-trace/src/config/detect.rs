//! Attributes of the machine, the container and the pod in which the process runs. Nothing here uses the network.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::environment::{Environment, Warning, warn};

const VARIABLE: &str = "OPS_RESOURCE_DETECTORS";
/// Maximum bytes that are read from a file.
const MAX_FILE_BYTES: usize = 1024 * 1024;
const CONTAINER_ID_DIGITS: usize = 64;

/// Attributes of a pod, each with the variables that may contain it, as manifests name the values of the downward API.
const POD: [(&str, &[&str]); 7] = [
    ("k8s.pod.name", &["K8S_POD_NAME", "POD_NAME"]),
    (
        "k8s.namespace.name",
        &[
            "K8S_NAMESPACE_NAME",
            "K8S_NAMESPACE",
            "K8S_POD_NAMESPACE",
            "POD_NAMESPACE",
        ],
    ),
    ("k8s.pod.uid", &["K8S_POD_UID", "POD_UID"]),
    ("k8s.pod.ip", &["K8S_POD_IP", "POD_IP"]),
    ("k8s.node.name", &["K8S_NODE_NAME", "NODE_NAME"]),
    (
        "k8s.container.name",
        &["K8S_CONTAINER_NAME", "CONTAINER_NAME"],
    ),
    ("k8s.cluster.name", &["K8S_CLUSTER_NAME", "CLUSTER_NAME"]),
];

/// Returns the attributes found by the detectors of `OPS_RESOURCE_DETECTORS`, which read files below `root`.
pub(super) fn detected(
    env: &Environment,
    root: &Path,
    warnings: &mut Vec<Warning>,
) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let Some((_, list)) = env.name(&[VARIABLE]) else {
        return found;
    };
    let mut is_known = true;
    for name in list
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
    {
        match name {
            "host" => host(root, &mut found),
            "container" => container(root, &mut found),
            "kubernetes" => kubernetes(env, root, &mut found, warnings),
            "none" => {}
            _ => is_known = false,
        }
    }
    if !is_known {
        let accepted = "none, or any of host, container, kubernetes";
        warn(warnings, VARIABLE, list, accepted, "the known detectors");
    }
    found
}

fn set(found: &mut BTreeMap<String, String>, key: &str, value: Option<String>) {
    if let Some(value) = value {
        found.insert(key.to_owned(), value);
    }
}

fn host(root: &Path, found: &mut BTreeMap<String, String>) {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "x86",
        "powerpc64" => "ppc64",
        other => other,
    };
    set(found, "host.name", line(root, "proc/sys/kernel/hostname"));
    set(found, "host.id", line(root, "etc/machine-id"));
    set(found, "host.arch", Some(arch.to_owned()));
    set(found, "os.type", Some(std::env::consts::OS.to_owned()));
    set(found, "os.version", line(root, "proc/sys/kernel/osrelease"));
}

/// Adds the container id: the last part of a control group's path
/// (version 1), or a part of the path of a file mounted by the runtime.
fn container(root: &Path, found: &mut BTreeMap<String, String>) {
    let of_groups = text(root, "proc/self/cgroup").and_then(|text| {
        let paths = text.lines().filter_map(|line| line.rsplit('/').next());
        paths.filter_map(container_id).next()
    });
    let of_mounts = || {
        let text = text(root, "proc/self/mountinfo")?;
        let own = |line: &&str| {
            ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"]
                .iter()
                .any(|file| line.contains(file))
        };
        // under containerd these files belong to the pod's sandbox, whose id is not a container's
        let of_line = |line: &str| {
            let parts: Vec<_> = line.split(['/', ' ']).collect();
            let pairs = parts.windows(2).filter(|pair| pair[0] != "sandboxes");
            pairs.filter_map(|pair| container_id(pair[1])).next()
        };
        text.lines().filter(own).find_map(of_line)
    };
    set(found, "container.id", of_groups.or_else(of_mounts));
}

/// Returns a container id: 64 hexadecimal digits, also as `docker-<id>.scope`.
fn container_id(part: &str) -> Option<String> {
    let part = part.strip_suffix(".scope").unwrap_or(part);
    let id = part.rsplit(['-', ':']).next()?;
    let is_id = id.len() == CONTAINER_ID_DIGITS && id.bytes().all(|b| b.is_ascii_hexdigit());
    is_id.then(|| id.to_owned())
}

fn kubernetes(
    env: &Environment,
    root: &Path,
    found: &mut BTreeMap<String, String>,
    warnings: &mut Vec<Warning>,
) {
    let in_pod = env.get("KUBERNETES_SERVICE_HOST").is_some();
    if in_pod {
        // the host name of a pod is the pod's name, unless the manifest sets another
        set(found, "k8s.pod.name", env.text("HOSTNAME", warnings));
        let file = "var/run/secrets/kubernetes.io/serviceaccount/namespace";
        set(found, "k8s.namespace.name", line(root, file));
    }
    for (key, variables) in POD {
        let mut variables = variables.iter();
        let value = variables.find_map(|variable| env.text(variable, warnings));
        set(found, key, value);
    }
}

fn text(root: &Path, file: &str) -> Option<String> {
    use std::io::Read;

    let path: PathBuf = root.join(file);
    let mut bytes = Vec::new();
    let file = fs::File::open(path).ok()?;
    file.take(MAX_FILE_BYTES as u64)
        .read_to_end(&mut bytes)
        .ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Returns the first line of a file; `None` if it is empty.
fn line(root: &Path, file: &str) -> Option<String> {
    let text = text(root, file)?;
    let line = text.lines().next()?.trim();
    (!line.is_empty()).then(|| line.to_owned())
}
