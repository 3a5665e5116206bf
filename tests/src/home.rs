//! The service as users run it: the program `storage` and the plugin for local files, in a folder of their own, with
//! `fsync` on. For tests that kill the process, take its disk away or watch its system calls.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::{Client, Method, RequestBuilder};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::plugins::plugin_path;

/// How long a start may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The name of the one backend.
pub const BACKEND: &str = "local";

/// A folder with a configuration, in which the service is started again and again.
#[derive(Debug)]
pub struct Home {
    folder: PathBuf,
    program: PathBuf,
    /// Where the program lies, with its plugin and away from those of the build.
    _alone: TempDir,
    _owned: Option<TempDir>,
}

impl Home {
    /// In a new folder, which goes when this is dropped. Settings are added to `.env`.
    ///
    /// # Errors
    ///
    /// The folder could not be made.
    pub fn new(settings: &[(&str, &str)]) -> Result<Self> {
        let owned = TempDir::with_prefix("storage-home-")?;
        let home = Self::within(owned.path(), settings)?;
        Ok(Self { _owned: Some(owned), ..home })
    }

    /// In a folder that is there.
    ///
    /// # Errors
    ///
    /// The folder cannot be written, or the program was not built.
    pub fn within(folder: &Path, settings: &[(&str, &str)]) -> Result<Self> {
        let built = built_program()?;
        let beside = built.parent().context("the program lies in a folder")?;
        let alone = TempDir::with_prefix_in("home-", beside)?;
        let plugins = alone.path().join("plugins");
        let program = alone.path().join("storage");
        std::fs::create_dir(&plugins)?;
        std::fs::hard_link(&built, &program)?;
        let library = plugin_path(BACKEND);
        std::fs::hard_link(&library, plugins.join(library.file_name().context("a library has a name")?))?;
        let mut dotenv = "PRIMARY_BACKEND=local\nLOCAL_STORAGE_PATH=./store\nCATALOG_URL=sqlite:./catalog/catalog.db\nLOG_LEVEL=info\n".to_owned();
        for (name, value) in settings {
            dotenv.push_str(&format!("{name}={value}\n"));
        }
        std::fs::write(folder.join(".env"), dotenv)?;
        Ok(Self { folder: folder.to_owned(), program, _alone: alone, _owned: None })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The database of the catalog.
    pub fn catalog_path(&self) -> PathBuf {
        self.folder.join("catalog/catalog.db")
    }

    /// A program that runs in the folder, in an environment of its own: `storage` itself, or one that starts it.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder).env_clear().stdin(Stdio::null());
        command
    }

    /// Where `storage` lies.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Runs `storage` to its end.
    ///
    /// # Errors
    ///
    /// It could not be started.
    pub fn storage(&self, arguments: &[&str]) -> Result<Output> {
        Ok(self.command(&self.program).args(arguments).output()?)
    }

    /// Runs `storage --json`; its exit code and its answer, which is null where it has none.
    ///
    /// # Errors
    ///
    /// It could not be started, or was ended by a signal.
    pub fn json(&self, arguments: &[&str]) -> Result<(i32, Value)> {
        let output = self.storage(&[arguments, &["--json"]].concat())?;
        let told = String::from_utf8_lossy(&output.stderr);
        let code = output.status.code().with_context(|| format!("{arguments:?} was ended: {told}"))?;
        let text = if output.stdout.is_empty() { &b"null"[..] } else { &output.stdout };
        Ok((code, serde_json::from_slice(text).with_context(|| format!("{arguments:?}: {told}"))?))
    }

    /// Makes a service key.
    ///
    /// # Errors
    ///
    /// It could not be made.
    pub fn key(&self) -> Result<String> {
        let output = self.storage(&["keys", "create", "tests"])?;
        ensure!(output.status.success(), "no key: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// Starts the service and waits until it listens.
    ///
    /// # Errors
    ///
    /// It does not, with its log.
    pub fn serve(&self) -> Result<Serving> {
        Serving::start(&mut self.command(&self.program))
    }
}

/// `TARGET/PROFILE/storage`, seen from a test or a helper program of the same build.
fn built_program() -> Result<PathBuf> {
    let executable = std::env::current_exe()?;
    let found = executable.ancestors().skip(1).take(2).map(|folder| folder.join("storage"));
    found.into_iter().find(|path| path.is_file()).with_context(|| {
        format!(
            "`storage` was not found near {}: build it with `cargo build --workspace --bins`",
            executable.display()
        )
    })
}

/// A service that runs. It is killed where it is dropped before its end.
#[derive(Debug)]
pub struct Serving {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    log: Option<JoinHandle<String>>,
}

impl Serving {
    /// Starts it with a command to which `serve` and its arguments are added.
    ///
    /// # Errors
    ///
    /// It does not listen, with its log.
    pub fn start(command: &mut Command) -> Result<Self> {
        let mut child = command
            .args(["serve", "--bind", "127.0.0.1:0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("the service could not be started")?;
        let stderr = BufReader::new(child.stderr.take().context("it is piped")?);
        let (told, address) = mpsc::channel();
        let log = std::thread::spawn(move || {
            let mut log = String::new();
            for line in stderr.lines().map_while(Result::ok) {
                if let Some((_, rest)) = line.split_once("listening on http://") {
                    let end = rest.find([' ', '"']).unwrap_or(rest.len());
                    if let Ok(address) = rest[..end].parse() {
                        // Nobody waits any more once the first address was told.
                        let _ = told.send(address);
                    }
                }
                log.push_str(&line);
                log.push('\n');
            }
            log
        });
        match address.recv_timeout(PATIENCE) {
            Ok(address) => Ok(Self { child, address, log: Some(log) }),
            Err(_) => {
                child.kill()?;
                child.wait()?;
                anyhow::bail!("the service does not listen:\n{}", log.join().unwrap_or_default());
            }
        }
    }

    /// A client of it, with a service key.
    ///
    /// # Errors
    ///
    /// There is none to be had on this system.
    pub fn api(&self, key: &str) -> Result<Api> {
        Ok(Api {
            client: crate::http_host::client(),
            base: format!("http://{}", self.address),
            key: key.to_owned(),
        })
    }

    /// Kills it as `kill -9` does, and waits until it is gone; its log.
    ///
    /// # Errors
    ///
    /// It had ended by itself before.
    pub fn kill(mut self) -> Result<String> {
        self.child.kill()?;
        let status = self.child.wait()?;
        let log = self.log();
        ensure!(status.code().is_none(), "the service had ended by itself: {status}\n{log}");
        Ok(log)
    }

    /// Ends it as `SIGTERM` does, and waits; its log.
    ///
    /// # Errors
    ///
    /// It did not end well.
    pub fn stop(mut self) -> Result<String> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let status = self.child.wait()?;
        let log = self.log();
        ensure!(status.success(), "the service did not end well: {status}\n{log}");
        Ok(log)
    }

    fn log(&mut self) -> String {
        self.log.take().and_then(|log| log.join().ok()).unwrap_or_default()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Mostly it ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client of a running service.
#[derive(Clone, Debug)]
pub struct Api {
    client: Client,
    base: String,
    key: String,
}

impl Api {
    /// A request for a user.
    pub fn call(&self, user: &str, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        request.bearer_auth(&self.key).header("X-User-Id", user)
    }

    /// Sends a request: the status and the whole answer, which is null where there is none.
    ///
    /// # Errors
    ///
    /// The service went away before all of the answer was there.
    pub async fn send(&self, request: RequestBuilder) -> reqwest::Result<(u16, Value)> {
        let response = request.send().await?;
        let status = response.status().as_u16();
        let text = response.text().await?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    /// Asks for something that must be there.
    ///
    /// # Errors
    ///
    /// It is not, or the service went away.
    pub async fn get(&self, user: &str, path: &str) -> Result<Value> {
        let (status, answer) = self.send(self.call(user, Method::GET, path)).await?;
        ensure!(status == 200, "{path} of {user}: {status}: {answer}");
        Ok(answer)
    }
}
