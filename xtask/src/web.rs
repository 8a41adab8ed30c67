//! `cargo xtask web`: tests the admin page of a running platform in a browser, and runs Lighthouse on both pages.

use crate::platform::{self, Build, Served};
use crate::tools::LIBDUCKDB;
use crate::{Result, command, setup, workspace};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names of the browser's program in distributions.
const BROWSERS: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome-stable",
    "google-chrome",
];

/// Maximum number of Lighthouse runs per page; repeated if a threshold was missed.
pub(crate) const ATTEMPTS: usize = 3;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Test for longer: 30 updates, and the cost of an open page for a minute
    #[arg(long)]
    full: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure(&[LIBDUCKDB])?;
    let browser = prepare()?;
    look(&platform::build(Build::Plain)?, &browser, args.full)
}

/// Runs the tests of the admin page, then Lighthouse on the start page and the admin page.
pub(crate) fn look(binary: &Path, browser: &Path, full: bool) -> Result<()> {
    let mut test = command::program("node");
    test.args(["--test", "perf/web/admin_page.test.mjs"])
        .env("KEARNEY", binary)
        .env("CHROME_PATH", browser)
        .env("SHOTS", workspace::target_dir().join("admin-page"));
    if full {
        test.env("OPS_TEST_FULL", "1");
    }
    command::run(&mut test)?;
    measure(binary, browser)
}

/// Runs Lighthouse on the start page and the admin page.
pub(crate) fn measure(binary: &Path, browser: &Path) -> Result<()> {
    let served = Served::start(binary)?;
    for url in [&served.api, &served.admin] {
        let mut look = lighthouse(url, browser);
        // timings depend on other load of the machine, so a failure is repeated
        let mut outcome = command::run(&mut look);
        for _ in 1..ATTEMPTS {
            outcome = outcome.or_else(|_| command::run(&mut look));
        }
        outcome?;
    }
    served.stop()
}

/// Returns the command that runs Lighthouse on one page; its thresholds decide.
pub(crate) fn lighthouse(url: &str, browser: &Path) -> Command {
    let mut look = command::program(workspace::root().join("perf/web/run_lighthouse.sh"));
    look.arg(url).env("CHROME_PATH", browser);
    look
}

/// Finds or installs a browser and fetches the packages; the error is one line with what is missing.
pub(crate) fn prepare() -> Result<PathBuf> {
    let browser = ensure_browser()?;
    install_packages()?;
    Ok(browser)
}

/// Finds a browser and node; the error is one line with what is missing.
fn browser() -> Result<PathBuf> {
    for tool in ["node", "npm"] {
        found_in_path(tool).ok_or(format!("no {tool} on the PATH"))?;
    }
    let named = std::env::var_os("CHROME_PATH").map(PathBuf::from);
    let installed = || BROWSERS.iter().find_map(|name| found_in_path(name));
    named
        .filter(|path| path.is_file())
        .or_else(installed)
        .ok_or_else(|| "no Chromium on the PATH, and none at CHROME_PATH".to_owned())
}

/// Finds a browser, or installs that of the distribution if this user may; prints its version.
pub(crate) fn ensure_browser() -> Result<PathBuf> {
    let found = browser().or_else(|missing| {
        if !rustix::process::geteuid().is_root() || found_in_path("apt-get").is_none() {
            return Err(missing);
        }
        let mut install = command::program("apt-get");
        install.args(["install", "--yes", "--no-install-recommends", "chromium"]);
        command::run_quietly(&mut install)?;
        browser()
    })?;
    let version = command::output(command::program(&found).arg("--version"))?;
    let version = String::from_utf8_lossy(&version.stdout);
    println!("browser: {}, {}", found.display(), version.trim());
    Ok(found)
}

/// Installs the packages of the lockfile, each verified by its hash, without running their scripts.
fn install_packages() -> Result<()> {
    let folder = workspace::root().join("perf/web");
    let modified = |path: &str| {
        let metadata = std::fs::metadata(folder.join(path)).ok()?;
        metadata.modified().ok()
    };
    // npm writes its own lockfile last: if it is older than the checked-in one, the installation is missing or
    // incomplete
    let installed = modified("node_modules/.package-lock.json");
    if installed.is_some() && installed > modified("package-lock.json") {
        return Ok(());
    }
    let mut npm = command::program("npm");
    npm.current_dir(&folder);
    command::run(npm.args([
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--silent",
        "--prefer-offline",
    ]))
}

fn found_in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders = std::env::split_paths(&path);
    folders
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}
