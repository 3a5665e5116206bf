//! Starts a server and waits until it is ready; ends it; tells how it is.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow};

use super::catalogue::{Launch, Server, Site};
use super::description::Description;
use super::install;
use super::process::{self, Identity};
use super::ready::{Ports, Probe};

/// How long a server may take until it answers; the slowest needs three seconds on an idle machine.
const START_LIMIT: Duration = Duration::from_secs(90);

/// Another program may take a port between its choice and the start; this often another is tried.
const ATTEMPTS: usize = 3;

/// How a server is.
pub(crate) enum State {
    /// It was not started.
    Absent,
    /// It answers.
    Healthy(Description),
    /// Its process lives, or is not ours, and does not answer.
    Silent(Description),
    /// Its process has ended.
    Gone(Description),
}

/// A server that answers.
pub(crate) struct Up {
    pub(crate) description: Description,
    /// Whether it did not run before.
    pub(crate) started: bool,
}

/// Brings up several at the same time, and answers in their order.
pub(crate) fn up_all<'a>(servers: &'a [Server], folder: &Path) -> Vec<(&'a Server, Result<Up>)> {
    thread::scope(|scope| {
        let starts: Vec<_> =
            servers.iter().map(|server| (server, scope.spawn(move || up(server, folder)))).collect();
        starts
            .into_iter()
            .map(|(server, start)| {
                let result = start.join().unwrap_or_else(|_| Err(anyhow!("its start panicked")));
                (server, result)
            })
            .collect()
    })
}

/// Makes sure that a server answers: one that does is left as it is, anything else is started anew.
///
/// # Errors
///
/// It cannot be had, or does not answer in time; then the end of its log is in the message.
pub(crate) fn up(server: &Server, servers: &Path) -> Result<Up> {
    let folder = servers.join(server.name);
    let _lock = lock(&folder)?;
    if let Some(description) = Description::from_environment(server)? {
        end(&folder)?;
        ask_all(&description.probes).context("it does not answer")?;
        description.write(&folder)?;
        return Ok(Up { description, started: false });
    }
    let program = install::program(server, servers)?;
    if let State::Healthy(description) = state_in(&folder)
        && description.process.is_some()
        && description.origin == program.origin
    {
        return Ok(Up { description, started: false });
    }
    let mut attempt = 1;
    loop {
        end(&folder)?;
        match start(server, &program, &folder) {
            Ok(description) => return Ok(Up { description, started: true }),
            Err(error) if attempt < ATTEMPTS && is_for_a_taken_port(&error) => {
                eprintln!("{}: somebody else took its port; trying another", server.name);
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Ends a server if it was started here, and removes its data. The answer says what was done.
pub(crate) fn down(name: &str, servers: &Path) -> Result<&'static str> {
    let folder = servers.join(name);
    if !folder.try_exists()? {
        return Ok("was not running");
    }
    let _lock = lock(&folder)?;
    let ended = match state_in(&folder) {
        State::Absent => "was not running",
        State::Gone(_) => "had died",
        State::Healthy(description) | State::Silent(description) if description.process.is_none() => {
            "is not ours and left as it is"
        }
        State::Healthy(_) | State::Silent(_) => "ended",
    };
    end(&folder)?;
    Ok(ended)
}

pub(crate) fn state(name: &str, servers: &Path) -> State {
    state_in(&servers.join(name))
}

fn state_in(folder: &Path) -> State {
    // What cannot be read was not written by this version, and is started anew.
    let Ok(Some(description)) = Description::read(folder) else { return State::Absent };
    if description.process.as_ref().is_some_and(|process| !process.lives()) {
        State::Gone(description)
    } else if ask_all(&description.probes).is_ok() {
        State::Healthy(description)
    } else {
        State::Silent(description)
    }
}

/// Ends what was started here, if it still runs, and removes what it left; its log stays.
fn end(folder: &Path) -> Result<()> {
    if let Ok(Some(Description { process: Some(process), .. })) = Description::read(folder) {
        process::end(&process)?;
    }
    Description::remove(folder)?;
    match fs::remove_dir_all(folder.join("data")) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
    .with_context(|| format!("removing the data in {}", folder.display()))
}

fn start(server: &Server, program: &install::Program, folder: &Path) -> Result<Description> {
    let data = folder.join("data");
    fs::create_dir_all(&data).with_context(|| format!("creating {}", data.display()))?;
    let mut site = Site { program: program.path.clone(), data, ports: Ports::new() };
    let Launch { command, endpoint, settings, probes } = (server.launch)(&mut site)?;
    let log = folder.join("log");
    let mut child = process::spawn_detached(&command, &log)?;
    let origin = program.origin.clone();
    let ready = born(&child).context("it ended at once").and_then(|process| {
        // Described before it is ready: should this command be ended now, a later one finds and ends it.
        let description = Description { endpoint, settings, origin, probes, process: Some(process) };
        description.write(folder)?;
        wait_until_ready(&mut child, &description.probes)?;
        Ok(description)
    });
    ready.map_err(|error| {
        let error = with_log(&error, &log);
        match end(folder) {
            Ok(()) => error,
            Err(survived) => error.context(format!("{survived:#}")),
        }
    })
}

/// Go, Node and Python all say it in the system's words.
fn is_for_a_taken_port(error: &Error) -> bool {
    format!("{error:#}").to_lowercase().contains("address already in use")
}

fn wait_until_ready(child: &mut Child, probes: &[Probe]) -> Result<()> {
    let deadline = Instant::now() + START_LIMIT;
    loop {
        if let Some(status) = child.try_wait()? {
            return Err(anyhow!("it ended at once ({status})"));
        }
        match ask_all(probes) {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > deadline => {
                return Err(error.context(format!("it is not ready after {} s", START_LIMIT.as_secs())));
            }
            Err(_) => process::pause(Duration::from_millis(50)),
        }
    }
}

fn born(child: &Child) -> Option<Identity> {
    child.id().try_into().ok().and_then(Identity::of)
}

fn ask_all(probes: &[Probe]) -> Result<()> {
    probes.iter().try_for_each(Probe::ask)
}

fn with_log(error: &Error, log: &Path) -> Error {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    anyhow!("{error:#}\n{} ends with:\n{}", log.display(), tail(&text))
}

/// The last lines of a long text.
pub(super) fn tail(text: &str) -> String {
    const LINES: usize = 20;
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let kept = &lines[lines.len().saturating_sub(LINES)..];
    kept.iter().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

/// Held while a server is started or ended, so that two commands do not do both at the same time.
fn lock(folder: &Path) -> Result<File> {
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let path = folder.join("lock");
    let file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
    file.lock().with_context(|| format!("locking {}", path.display()))?;
    Ok(file)
}

#[cfg(all(test, unix))]
mod tests {
    use std::collections::BTreeMap;
    use std::process::Command;

    use super::*;

    #[test]
    fn the_tail_of_a_log_is_its_last_lines() {
        let text: String = (0..100).map(|line| format!("line {line}\n")).collect();
        let tail = tail(&text);
        assert!(tail.starts_with("    line 80\n") && tail.ends_with("    line 99"), "{tail}");
        assert_eq!(super::tail(""), "");
    }

    #[test]
    fn a_server_that_died_is_told_from_one_that_was_never_started() {
        let servers = tempfile::tempdir().expect("a temporary folder");
        assert!(matches!(state("seaweedfs", servers.path()), State::Absent));
        assert_eq!(down("seaweedfs", servers.path()).expect("nothing to end"), "was not running");

        let mut child = Command::new("true").spawn().expect("true starts");
        let pid = child.id().try_into().expect("a pid");
        child.wait().expect("it ends");
        let folder = servers.path().join("seaweedfs");
        fs::create_dir_all(folder.join("data/volumes")).expect("its data");
        let description = Description {
            endpoint: "http://127.0.0.1:1".to_owned(),
            settings: BTreeMap::new(),
            origin: "a test".to_owned(),
            probes: Vec::new(),
            process: Some(Identity { pid, born: "before".to_owned() }),
        };
        description.write(&folder).expect("described");
        assert!(matches!(state("seaweedfs", servers.path()), State::Gone(_)));
        assert_eq!(down("seaweedfs", servers.path()).expect("cleared"), "had died");
        assert!(matches!(state("seaweedfs", servers.path()), State::Absent));
        assert!(!folder.join("data").exists(), "its data was left");
    }

    #[test]
    fn a_process_that_ends_at_once_is_told_with_its_log() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut child = Command::new("false").spawn().expect("false starts");
        let probe = Probe::parse("tcp://127.0.0.1:1").expect("a probe");
        let error = wait_until_ready(&mut child, &[probe]).expect_err("it never answers");
        let log = folder.path().join("log");
        fs::write(&log, "no such option\n").expect("a log");
        let message = with_log(&error, &log).to_string();
        assert!(message.contains("ended at once") && message.contains("no such option"), "{message}");
    }
}
