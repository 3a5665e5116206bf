//! Processes that outlive the command that started them, and are ended only if they are still the same.

use std::ffi::OsString;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A process, told apart from a later one that got the same number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) pid: i32,
    /// When it was started, in whatever form the system tells.
    pub(crate) born: String,
}

impl Identity {
    /// The process that has this number now; none when it has ended.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        born(pid).map(|born| Self { pid, born })
    }

    pub(crate) fn lives(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }
}

/// When a process was started; none when it does not run.
#[cfg(target_os = "linux")]
fn born(pid: i32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let started = started_ticks(&stat)?;
    // The ticks count from the start of the system, so they tell nothing across a restart.
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(format!("{}:{started}", boot.trim()))
}

/// The 22nd field of `/proc/PID/stat`; the second is a name that may hold anything, spaces included. A
/// process that has ended, and whose parent has not asked how, counts as none.
#[cfg(target_os = "linux")]
fn started_ticks(stat: &str) -> Option<&str> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = fields.next()?;
    if state == "Z" || state == "X" { None } else { fields.nth(18) }
}

#[cfg(not(target_os = "linux"))]
fn born(pid: i32) -> Option<String> {
    let output = Command::new("ps").args(["-o", "lstart=,stat=", "-p", &pid.to_string()]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (started, state) = text.trim().rsplit_once(char::is_whitespace)?;
    (!state.starts_with('Z')).then(|| started.trim().to_owned())
}

/// Starts a command in a session of its own: no terminal, nothing on its input, all it says in `log`.
pub(crate) fn spawn_detached(command: &Command, log: &Path) -> Result<Child> {
    let log_file = File::create(log).with_context(|| format!("creating {}", log.display()))?;
    let mut detached = Command::new(own_program()?);
    detached.args(["servers", "detached", "--"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => detached.env(name, value),
            None => detached.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        detached.current_dir(folder);
    }
    detached
        .stdin(Stdio::null())
        .stdout(log_file.try_clone()?)
        .stderr(log_file)
        .spawn()
        .with_context(|| format!("starting {}", command.get_program().display()))
}

/// Waits between two looks at something that the system announces to nobody.
#[allow(clippy::disallowed_methods, reason = "no runtime is here, and there is no event to wait for")]
pub(crate) fn pause(time: Duration) {
    thread::sleep(time);
}

/// This program, for a process of its own. A build may put another file in its place while it runs; on
/// Linux the link leads to the one that runs all the same.
pub(crate) fn own_program() -> Result<std::path::PathBuf> {
    if cfg!(target_os = "linux") {
        Ok("/proc/self/exe".into())
    } else {
        std::env::current_exe().context("this program does not know where it lies")
    }
}

/// What the process that [`spawn_detached`] starts does first.
#[cfg(unix)]
pub(crate) fn become_detached(command: &[OsString]) -> Result<ExitCode> {
    use std::os::unix::process::CommandExt;

    leave_terminal()?;
    let (program, args) = command.split_first().context("there is nothing to start")?;
    let error = Command::new(program).args(args).exec();
    Err(error).with_context(|| format!("starting {}", program.display()))
}

/// Ends a process and all it started, at once: the data of a test server is worth nothing, and one that
/// is asked kindly may take half a minute.
///
/// # Errors
///
/// The system refused, or the process is still there after ten seconds.
#[cfg(unix)]
pub(crate) fn end(process: &Identity) -> Result<()> {
    use rustix::process::{Pid, Signal, kill_process_group};

    if !process.lives() {
        return Ok(());
    }
    let pid = Pid::from_raw(process.pid).context("0 is the number of no process")?;
    // It leads the group of all that it started, since it has a session of its own.
    kill_process_group(pid, Signal::KILL).with_context(|| format!("ending process {}", process.pid))?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while process.lives() {
        if Instant::now() > deadline {
            bail!("process {} does not end", process.pid);
        }
        pause(Duration::from_millis(10));
    }
    Ok(())
}

/// Begins a session of its own, which no Ctrl-C and no closed terminal reaches.
#[cfg(unix)]
pub(crate) fn leave_terminal() -> Result<()> {
    rustix::process::setsid().context("leaving the session of the terminal").map(drop)
}

#[cfg(not(unix))]
pub(crate) fn leave_terminal() -> Result<()> {
    Ok(())
}

#[cfg(not(unix))]
pub(crate) fn become_detached(_command: &[OsString]) -> Result<ExitCode> {
    bail!("servers are started on Unix alone; elsewhere name their endpoints in the environment")
}

#[cfg(not(unix))]
pub(crate) fn end(_process: &Identity) -> Result<()> {
    bail!("servers are started on Unix alone")
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn sleeper() -> Child {
        use std::os::unix::process::CommandExt;
        Command::new("sleep").arg("600").process_group(0).spawn().expect("sleep starts")
    }

    #[test]
    fn a_process_is_ended_and_is_gone_before_its_parent_asked() {
        let mut child = sleeper();
        let identity = Identity::of(child.id().try_into().expect("a pid")).expect("it runs");
        assert!(identity.lives());
        end(&identity).expect("ended");
        assert!(!identity.lives());
        end(&identity).expect("ending it again does nothing");
        child.wait().expect("it has ended");
    }

    #[test]
    fn a_later_process_with_the_same_number_is_left_alone() {
        let mut child = sleeper();
        let identity = Identity::of(child.id().try_into().expect("a pid")).expect("it runs");
        let earlier = Identity { born: "at another time".to_owned(), ..identity };
        end(&earlier).expect("nothing to end");
        assert_eq!(child.try_wait().expect("its state"), None, "the process that has the number was ended");
        child.kill().expect("ended");
        child.wait().expect("waited");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_start_is_found_behind_any_name() {
        let stat = |name: &str, state: &str| {
            format!("7 ({name}) {state} 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 8 9")
        };
        assert_eq!(started_ticks(&stat("weed", "S")), Some("4711"));
        assert_eq!(started_ticks(&stat("a b) (c", "S")), Some("4711"));
        assert_eq!(started_ticks(&stat("weed", "Z")), None, "it has ended");
    }
}
