//! A folder of its own for each test, with a configuration, in which the programs under test are run.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use storage_tests::plugins::{LoneProgram, plugin_path};
use tempfile::TempDir;

/// The configuration that a new user has, but for `fsync`.
const DOTENV: &str =
    "PRIMARY_BACKEND=local\nLOCAL_STORAGE_PATH=./storage\nLOCAL_FSYNC=false\nLOG_LEVEL=info\n";

/// The folder. It goes when this is dropped.
pub(crate) struct Sandbox {
    home: TempDir,
    storage: LoneProgram,
}

/// A program that ended.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Sandbox {
    /// With `.env` and the plugin for local files.
    pub(crate) fn new() -> Self {
        let sandbox = Self::empty();
        sandbox.write(".env", DOTENV);
        sandbox.install("local");
        sandbox
    }

    /// With nothing.
    pub(crate) fn empty() -> Self {
        Self { home: tempfile::tempdir().expect("a temporary folder"), storage: LoneProgram::storage() }
    }

    /// Puts the plugin into `./plugins`, where it is found without being named.
    pub(crate) fn install(&self, plugin: &str) {
        let library = plugin_path(plugin);
        let folder = self.path("plugins");
        fs::create_dir_all(&folder).expect("a folder");
        fs::copy(&library, folder.join(library.file_name().expect("a name"))).expect("a copy");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("the file is written");
        path
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).expect("the file is there")
    }

    /// The names in a folder, in order.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).expect("the folder is there");
        let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("listed").file_name();
        let mut names: Vec<_> = entries.map(|entry| name(entry).into_string().expect("Unicode")).collect();
        names.sort();
        names
    }

    /// `storage` with these arguments, not yet run.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.program(&self.storage.path());
        command.args(arguments);
        command
    }

    /// A program that runs in this folder, in an environment of its own.
    pub(crate) fn program(&self, path: &Path) -> Command {
        let mut command = Command::new(path);
        command.current_dir(self.home.path()).env_clear().stdin(Stdio::null());
        command
    }

    /// Runs `storage` to its end.
    pub(crate) fn storage(&self, arguments: &[&str]) -> Run {
        run(&mut self.command(arguments))
    }

    /// Runs `storage`, which reads this.
    pub(crate) fn storage_reading(&self, arguments: &[&str], input: &[u8]) -> Run {
        let mut command = self.command(arguments);
        let mut child = spawn(command.stdin(Stdio::piped()));
        let mut stdin = child.stdin.take().expect("piped");
        // One that refuses its arguments reads nothing.
        let _ = stdin.write_all(input);
        drop(stdin);
        Run::from(child.wait_with_output().expect("the program ends"))
    }

    /// Saves content and gives the file's id.
    pub(crate) fn put(&self, user: &str, name: &str, content: &[u8]) -> String {
        let arguments = ["put", "-", "--name", name, "--user", user];
        self.storage_reading(&arguments, content).succeeded().line()
    }
}

/// Starts a program whose output is kept.
pub(crate) fn spawn(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
}

/// Runs a program to its end.
pub(crate) fn run(command: &mut Command) -> Run {
    Run::from(command.output().expect("the program starts"))
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).expect("standard error is text"),
        }
    }
}

impl Run {
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        self.ended(0)
    }

    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> Self {
        let told = String::from_utf8_lossy(&self.stdout);
        assert_eq!(self.code, code, "the exit code\nstdout: {told}\nstderr: {}", self.stderr);
        self
    }

    /// Everything in `texts` stands on standard error.
    #[track_caller]
    pub(crate) fn tells(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.stderr.contains(text), "{text:?} is missing in:\n{}", self.stderr);
        }
        self
    }

    /// Nothing was written to standard error.
    #[track_caller]
    pub(crate) fn silently(self) -> Self {
        assert_eq!(self.stderr, "");
        self
    }

    /// Standard output.
    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("standard output is text")
    }

    /// The one line on standard output.
    #[track_caller]
    pub(crate) fn line(&self) -> String {
        let lines: Vec<_> = self.text().lines().collect();
        let [line] = lines[..] else { panic!("one line was expected: {lines:?}") };
        line.to_owned()
    }

    /// Standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(self.text()).unwrap_or_else(|error| panic!("{error} in {:?}", self.text()))
    }

    /// The one error on standard error, as JSON.
    #[track_caller]
    pub(crate) fn json_error(&self) -> Value {
        let value: Value =
            serde_json::from_str(&self.stderr).unwrap_or_else(|error| panic!("{error} in {:?}", self.stderr));
        assert_eq!(value["error"]["exit_code"], self.code);
        value["error"].clone()
    }
}
