use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};

use super::note;
use super::prometheus::{Prometheus, tools};
use crate::served::{Home, Served};

/// Maximum lines of a step's output, which is read at three in the morning.
const LINES_MAX: usize = 10;

/// A page of docs/runbooks.
pub(super) struct Page {
    name: String,
    text: String,
    /// Commands of each numbered step.
    pub(super) steps: BTreeMap<u32, Vec<String>>,
    followed: RefCell<BTreeSet<u32>>,
}

impl Page {
    pub(super) fn read(name: &str) -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/runbooks");
        let text = std::fs::read_to_string(file.join(name)).unwrap();
        let (mut steps, mut step, mut script) = (BTreeMap::<u32, Vec<_>>::new(), 0, None);
        for line in text.lines() {
            let number = line
                .split_once(". ")
                .and_then(|(number, _)| number.parse().ok());
            match (&mut script, line.trim()) {
                (None, "```bash") => script = Some(String::new()),
                (Some(_), "```") => steps.entry(step).or_default().extend(script.take()),
                (Some(script), line) => *script += &format!("{line}\n"),
                (None, _) => step = number.unwrap_or(step),
            }
        }
        Self {
            name: name.to_owned(),
            text,
            steps,
            followed: RefCell::default(),
        }
    }

    /// Runs the commands of a step and returns their output.
    pub(super) fn step(&self, number: u32, scene: &Scene<'_>) -> String {
        self.followed.borrow_mut().insert(number);
        self.steps[&number]
            .iter()
            .map(|script| scene.follow(script))
            .collect()
    }

    /// Runs a step with another address than the printed one.
    pub(super) fn step_at(
        &self,
        number: u32,
        scene: &Scene<'_>,
        (printed, here): (&str, &str),
    ) -> String {
        self.followed.borrow_mut().insert(number);
        let scripts = self.steps[&number].iter();
        let scripts = scripts.map(|script| script.replace(printed, here));
        scripts.map(|script| scene.follow(&script)).collect()
    }

    /// Skips a step, and records the reason.
    pub(super) fn leave(&self, number: u32, why: &str) {
        self.followed.borrow_mut().insert(number);
        note(&format!("{}: step {number} was left out: {why}", self.name));
    }

    /// Asserts that the page has this conclusion, and that every step was followed.
    pub(super) fn concludes(&self, text: &str) {
        assert!(self.text.contains(text), "{text} is not in {}", self.text);
        let all: BTreeSet<u32> = self.steps.keys().copied().collect();
        let followed = self.followed.borrow();
        assert_eq!(*followed, all, "{}", self.name);
        note(&format!("{}: {text}", self.name));
    }
}

/// Environment in which a page is followed.
pub(super) struct Scene<'a> {
    home: &'a Home,
    /// Addresses of the API and of the admin page, and the id of the process.
    served: Option<(String, String, u32)>,
    prometheus: Option<&'a Prometheus>,
    variables: Vec<(&'static str, String)>,
}

impl<'a> Scene<'a> {
    /// Creates a scene without a running service.
    pub(super) fn without_service(home: &'a Home) -> Self {
        Self {
            home,
            served: None,
            prometheus: None,
            variables: Vec::new(),
        }
    }

    pub(super) fn of(home: &'a Home, served: &Served) -> Self {
        let addresses = (served.api.clone(), served.admin.clone());
        Self::at(home, addresses, served.id())
    }

    /// Creates a scene with a service at the addresses of its API and admin page.
    pub(super) fn at(home: &'a Home, (api, admin): (String, String), process: u32) -> Self {
        Self {
            served: Some((api, admin, process)),
            ..Self::without_service(home)
        }
    }

    pub(super) fn with_prometheus(mut self, prometheus: &'a Prometheus) -> Self {
        self.prometheus = Some(prometheus);
        self
    }

    pub(super) fn set(&mut self, name: &'static str, value: &str) {
        self.variables.push((name, value.to_owned()));
    }

    /// Runs a script in the platform's working directory and environment, with its program on the path.
    pub(super) fn follow(&self, script: &str) -> String {
        let mut here = script.replace("cargo run -q -p kearney-platform --", "kearney-platform");
        if let Some((api, admin, process)) = &self.served {
            here = here.replace("http://127.0.0.1:8000", api);
            here = here.replace("http://127.0.0.1:8001", admin);
            here = here.replace("$(pgrep -n kearney-platfor)", &process.to_string());
        }
        let mut programs = vec![
            Path::new(env!("CARGO_BIN_EXE_kearney-platform"))
                .parent()
                .unwrap()
                .to_owned(),
        ];
        if let Some(prometheus) = self.prometheus {
            here = here.replace("http://127.0.0.1:9090", &prometheus.url);
            programs.push(tools("prometheus/usr/bin"));
        }
        let path = std::env::var_os("PATH").unwrap();
        let path =
            std::env::join_paths(programs.into_iter().chain(std::env::split_paths(&path))).unwrap();
        let model = self.home.program(&[]);
        let mut shell = Command::new("bash");
        shell
            .current_dir(self.home.path(""))
            .args(["-e", "-c", &here]);
        for (name, value) in model.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        shell.env("PATH", path).envs(self.variables.iter().cloned());
        let output = shell.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{script}: {output:?}");
        let reported = String::from_utf8(output.stdout).unwrap();
        assert!(
            (1..=LINES_MAX).contains(&reported.lines().count()),
            "{script} said {reported}"
        );
        reported
    }
}
