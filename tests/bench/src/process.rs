//! [`Process`]: a program that was started for a row, and ends with it.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal};

/// How long a server may take until it listens.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long one may take to end when it is told to.
const GRACE: Duration = Duration::from_secs(10);

/// A program that runs until this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program whose output goes to a file.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let file = std::fs::File::create(log).with_context(|| format!("creating {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn();
        let child = child.with_context(|| format!("starting {}", command.get_program().display()))?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// Its id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written.
    ///
    /// # Errors
    ///
    /// Its log cannot be read.
    pub(crate) fn log(&self) -> Result<String> {
        std::fs::read_to_string(&self.log).with_context(|| format!("reading {}", self.log.display()))
    }

    /// Asks again and again until there is an answer.
    ///
    /// # Errors
    ///
    /// The program ended, or there was no answer in time; with the end of its log.
    pub(crate) async fn until<T>(&mut self, answer: impl Fn(&Self) -> Option<T>) -> Result<T> {
        let started = Instant::now();
        loop {
            if let Some(answer) = answer(self) {
                return Ok(answer);
            }
            let ended = self.child.try_wait()?;
            if ended.is_some() || started.elapsed() > PATIENCE {
                let log = self.log()?;
                let end: Vec<_> = log.lines().rev().take(5).collect();
                let what =
                    ended.map_or("does not answer".to_owned(), |status| format!("has ended: {status}"));
                bail!("the program {what}:\n{}", end.into_iter().rev().collect::<Vec<_>>().join("\n"));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until it listens.
    ///
    /// # Errors
    ///
    /// As [`Process::until`].
    pub(crate) async fn listens(&mut self, address: SocketAddr) -> Result<()> {
        self.until(|_| TcpStream::connect(address).ok()).await?;
        Ok(())
    }
}

impl Drop for Process {
    #[allow(
        clippy::disallowed_methods,
        reason = "a destructor cannot wait in another way, and no row is measured now"
    )]
    fn drop(&mut self) {
        // A signal that can be handled, so that it ends its own children. It may have ended by itself; then there is
        // nothing to end.
        rustix::process::kill_process(Pid::from_child(&self.child), Signal::TERM).ok();
        let started = Instant::now();
        while started.elapsed() < GRACE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// An address on which nobody listens.
///
/// # Errors
///
/// There is none.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// A program on the PATH or, as those for administrators are, beside it.
///
/// # Errors
///
/// It is nowhere.
pub(crate) fn find_program(name: &str) -> Result<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let mut found = std::env::split_paths(&folders).chain(system).map(|folder| folder.join(name));
    found.find(|path| path.is_file()).with_context(|| format!("`{name}` is not installed"))
}
