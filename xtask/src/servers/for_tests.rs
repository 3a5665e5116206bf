//! Servers for the time of a test run: those that its tests name, started while the tests are built, and
//! ended with it however it ends.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Write, stdin};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::catalogue::{Server, catalogue};
use super::lifecycle::{self, State};
use super::{folder, process};

/// Servers on their way up.
pub(crate) struct Starting {
    thread: JoinHandle<Servers>,
}

/// What a run has and has not.
#[derive(Default)]
pub(crate) struct Servers {
    running: Vec<&'static str>,
    missing: Vec<Missing>,
    took: Duration,
    /// Ends what was started when it goes.
    _guard: Option<Guard>,
}

/// A server that cannot be had.
struct Missing {
    name: &'static str,
    reason: String,
    stand_ins: Vec<&'static str>,
}

/// Begins to start what the chosen tests name; `filter` is what the test runner is given.
pub(crate) fn start(root: &Path, filter: &[String]) -> Result<Starting> {
    let texts = texts(root, &Chosen::by(filter))?;
    let needed: Vec<Server> =
        catalogue().into_iter().filter(|server| texts.iter().any(|text| names(text, server.name))).collect();
    let folder = folder()?;
    let guard = if needed.is_empty() { None } else { Some(Guard::new(&folder)?) };
    Ok(Starting { thread: thread::spawn(move || start_all(&needed, &folder, guard)) })
}

impl Starting {
    /// Waits until each server is ready or has failed to be.
    pub(crate) fn finish(self) -> Result<Servers> {
        self.thread.join().map_err(|_| anyhow::anyhow!("the start of the test servers panicked"))
    }
}

fn start_all(needed: &[Server], folder: &Path, mut guard: Option<Guard>) -> Servers {
    let begun = Instant::now();
    if let Some(guard) = &mut guard {
        for server in needed {
            // What somebody has started before stays. The guard is told first, in case this run is ended
            // in the middle of a start.
            if !matches!(lifecycle::state(server.name, folder), State::Healthy(_)) {
                guard.watch(server.name);
            }
        }
    }
    let results = lifecycle::up_all(needed, folder);
    let running: Vec<&str> =
        results.iter().filter(|(_, result)| result.is_ok()).map(|(server, _)| server.name).collect();
    let missing = results
        .into_iter()
        .filter_map(|(server, result)| {
            Some(Missing {
                name: server.name,
                reason: format!("{:#}", result.err()?),
                stand_ins: server.stand_ins_among(&running),
            })
        })
        .collect();
    Servers { running, missing, took: begun.elapsed(), _guard: guard }
}

impl Servers {
    /// What keeps the tests of missing servers out of a run with nextest: its configuration with a default
    /// filter, since one on the command line would add to the user's own instead of narrowing it.
    pub(crate) fn nextest_arguments(&self, root: &Path) -> Result<Vec<OsString>> {
        if self.missing.is_empty() {
            return Ok(Vec::new());
        }
        let usual = root.join(".config/nextest.toml");
        let usual = fs::read_to_string(&usual).with_context(|| format!("reading {}", usual.display()))?;
        let file = folder()?.join("nextest.toml");
        fs::write(&file, leaving_out(&usual, &self.missing_names())?)
            .with_context(|| format!("writing {}", file.display()))?;
        Ok(vec!["--config-file".into(), file.into()])
    }

    /// The same for `cargo test`; they go behind a `--`.
    pub(crate) fn libtest_arguments(&self) -> Vec<String> {
        self.missing_names().iter().flat_map(|name| ["--skip".to_owned(), format!("{name}::")]).collect()
    }

    /// Whether tests were left out that nothing stood in for.
    pub(crate) fn are_incomplete(&self) -> bool {
        self.missing.iter().any(|missing| missing.stand_ins.is_empty())
    }

    /// What the summary says of them, a line each.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.running.is_empty() {
            notes.push(format!("servers up in {} s: {}", self.took.as_secs(), self.running.join(", ")));
        }
        notes.extend(self.missing.iter().map(|Missing { name, reason, stand_ins }| {
            let reason = reason.lines().next().unwrap_or_default();
            if stand_ins.is_empty() {
                format!("no {name}, its tests were LEFT OUT: {reason}")
            } else {
                format!("no {name}, {} stood in: {reason}", stand_ins.join(" and "))
            }
        }));
        notes
    }

    /// Why each missing server is missing, at length.
    pub(crate) fn reasons(&self) -> impl Iterator<Item = String> {
        self.missing.iter().map(|Missing { name, reason, .. }| format!("{name} cannot be had: {reason}"))
    }

    fn missing_names(&self) -> Vec<&'static str> {
        self.missing.iter().map(|missing| missing.name).collect()
    }
}

/// A configuration of nextest with a filter against the tests of these servers.
///
/// Every test that needs a server has its name as a part of its path: `minio_seaweedfs::save::…`,
/// `seaweedfs::faults::…`. A plugin's own name at the beginning, `minio_…`, is not that of the server.
fn leaving_out(configuration: &str, missing: &[&str]) -> Result<String> {
    const PROFILE: &str = "[profile.default]\n";
    let (before, after) = configuration
        .split_once(PROFILE)
        .with_context(|| format!("the configuration of nextest has no {}", PROFILE.trim_end()))?;
    let filter = format!("not test(/(^|[^a-z0-9])({})(::|$)/)", missing.join("|"));
    Ok(format!("{before}{PROFILE}default-filter = '{filter}'\n{after}"))
}

/// A process that outlives this one just long enough to end the servers it was told of.
struct Guard {
    child: Child,
    /// Its end is what the guard waits for.
    input: Option<ChildStdin>,
}

impl Guard {
    fn new(folder: &Path) -> Result<Self> {
        let mut child = Command::new(process::own_program()?)
            .args(["servers", "guard"])
            .arg(folder)
            .stdin(Stdio::piped())
            .spawn()
            .context("starting the process that ends the test servers")?;
        let input = child.stdin.take();
        Ok(Self { child, input })
    }

    fn watch(&mut self, name: &str) {
        let told = self.input.as_mut().map(|input| writeln!(input, "{name}"));
        if let Some(Err(error)) = told {
            eprintln!("warning: {name} will stay when the run ends: {error}");
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.input.take();
        if let Err(error) = self.child.wait() {
            eprintln!("warning: it is not known whether the test servers ended: {error}");
        }
    }
}

/// What the guard does: it reads names until the run has ended, in whatever way, and ends those servers.
pub(crate) fn guard(folder: &Path) -> Result<ExitCode> {
    // Ctrl-C ends the run, not what cleans up after it.
    process::leave_terminal()?;
    let names = BufReader::new(stdin()).lines().collect::<Result<Vec<_>, _>>()?;
    for name in &names {
        if let Err(error) = lifecycle::down(name, folder) {
            eprintln!("warning: {name} could not be ended: {error:#}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Which tests the arguments of the test runner choose, as far as they tell at a glance.
#[derive(Debug, Default, PartialEq, Eq)]
struct Chosen {
    /// Only those of these packages; of all when empty.
    packages: Vec<String>,
    /// Only these integration tests; all when empty.
    tests: Vec<String>,
}

impl Chosen {
    fn by(arguments: &[String]) -> Self {
        let mut chosen = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let (flag, value) = match argument.split_once('=') {
                Some((flag, value)) => (flag, Some(value.to_owned())),
                None => (argument.as_str(), None),
            };
            let list = match flag {
                "-p" | "--package" => &mut chosen.packages,
                "--test" => &mut chosen.tests,
                "--" => break,
                _ => continue,
            };
            list.extend(value.or_else(|| arguments.next().cloned()));
        }
        chosen
    }
}

/// The package whose tests talk to servers, and the suite that runs against each of them.
const PACKAGE: &str = "storage-tests";
const CONFORMANCE: &str = "conformance";

/// The source of the chosen tests and of what they share.
fn texts(root: &Path, chosen: &Chosen) -> Result<Vec<String>> {
    if !chosen.packages.is_empty() && !chosen.packages.iter().any(|package| package == PACKAGE) {
        return Ok(Vec::new());
    }
    let (shared, tests) = (root.join("tests/src"), root.join("tests/tests"));
    let targets = shared.join("target.rs");
    let mut files = Vec::new();
    collect(&shared, &mut files)?;
    if chosen.tests.is_empty() {
        collect(&tests, &mut files)?;
    } else {
        if !chosen.tests.iter().any(|test| test == CONFORMANCE) {
            files.retain(|file| *file != targets);
        }
        for test in &chosen.tests {
            collect(&tests.join(test), &mut files)?;
            collect(&tests.join(format!("{test}.rs")), &mut files)?;
        }
    }
    files
        .iter()
        .map(|file| fs::read_to_string(file).with_context(|| format!("reading {}", file.display())))
        .collect()
}

/// The Rust files at or below a path; none if there is nothing.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path).with_context(|| format!("reading {}", path.display()))? {
            collect(&entry?.path(), files)?;
        }
    } else if path.is_file() && path.extension().is_some_and(|extension| extension == "rs") {
        files.push(path.to_path_buf());
    }
    Ok(())
}

/// Whether code asks for a server, which it does by its name in quotes.
fn names(text: &str, server: &str) -> bool {
    let quoted = format!("\"{server}\"");
    text.lines().any(|line| !line.trim_start().starts_with("//") && line.contains(&quoted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn packages_and_tests_are_known_in_every_form() {
        let chosen =
            Chosen::by(&arguments("save -p a --package=b --test c --test=d --no-capture -- --test e"));
        assert_eq!(chosen, Chosen { packages: arguments("a b"), tests: arguments("c d") });
    }

    #[test]
    fn only_servers_that_chosen_tests_name_are_needed() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let write = |path: &str, text: &str| {
            let file = root.path().join(path);
            fs::create_dir_all(file.parent().expect("a folder")).expect("the folder");
            fs::write(file, text).expect("the file");
        };
        write("tests/src/proxy/mod.rs", "//! Server::get(\"ministack\")\n    /// \"ministack\"\n");
        write("tests/src/target.rs", "Server::find(\"juicefs\")?");
        write("tests/tests/minio/faults.rs", "let server = Server::get(\"seaweedfs\");");
        write("tests/tests/plain.rs", "a seaweedfs_without_quotes");
        let needed = |filter: &str| -> Vec<&str> {
            let texts = texts(root.path(), &Chosen::by(&arguments(filter))).expect("readable");
            ["seaweedfs", "juicefs", "ministack"]
                .into_iter()
                .filter(|server| texts.iter().any(|text| names(text, server)))
                .collect()
        };
        assert_eq!(needed("save"), ["seaweedfs", "juicefs"], "comments do not count");
        assert_eq!(needed("--test minio"), ["seaweedfs"]);
        assert_eq!(needed("--test conformance"), ["juicefs"]);
        assert_eq!(needed("--test plain"), [""; 0]);
        assert_eq!(needed("-p storage-core"), [""; 0]);
        assert_eq!(needed("-p storage-core -p storage-tests"), ["seaweedfs", "juicefs"]);
    }

    #[test]
    fn what_is_missing_is_left_out_and_named_with_what_provides_it() {
        let missing = |name, stand_ins: &[&'static str]| Missing {
            name,
            reason: "`install it` provides it\nand more at length".to_owned(),
            stand_ins: stand_ins.to_vec(),
        };
        let mut servers = Servers {
            running: vec!["juicefs"],
            missing: vec![missing("minio", &["juicefs"])],
            ..Servers::default()
        };
        assert!(!servers.are_incomplete(), "something stood in");
        servers.missing.push(missing("azurite", &[]));
        assert!(servers.are_incomplete());
        assert_eq!(
            servers.notes(),
            [
                "servers up in 0 s: juicefs",
                "no minio, juicefs stood in: `install it` provides it",
                "no azurite, its tests were LEFT OUT: `install it` provides it",
            ]
        );
        assert_eq!(servers.libtest_arguments(), ["--skip", "minio::", "--skip", "azurite::"]);
        let configuration = leaving_out("# x\n[profile.default]\nretries = 0\n", &servers.missing_names());
        assert_eq!(
            configuration.expect("it has the profile"),
            "# x\n[profile.default]\ndefault-filter = 'not test(/(^|[^a-z0-9])(minio|azurite)(::|$)/)'\nretries = 0\n"
        );
        assert!(leaving_out("[profile.ci]\n", &["minio"]).is_err(), "the filter would be in no profile");
    }

    #[test]
    fn with_all_servers_nothing_is_left_out() {
        let servers = Servers { running: vec!["minio"], ..Servers::default() };
        assert!(servers.nextest_arguments(Path::new("nowhere")).expect("no file is needed").is_empty());
        assert!(servers.libtest_arguments().is_empty());
        assert!(!servers.are_incomplete());
    }
}
