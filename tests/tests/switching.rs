//! One script for every provider: `.env` alone says which it is. The files of `docs/examples/` are those that are run,
//! with values in place of what a user fills in.
#![cfg(unix)]

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use storage_tests::http_host::client;
use storage_tests::plugins::{LoneProgram, install, plugin_path};
use storage_tests::servers::Server;
use tempfile::TempDir;

/// A folder with `.env`, a plugin and a running service, as an installation has.
struct Installation {
    folder: TempDir,
    program: LoneProgram,
    address: String,
    service: Option<Child>,
}

impl Installation {
    /// With the example for this type; `values` take the place of its own, or stand behind them.
    fn new(backend_type: &str, values: &[(&str, String)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join(".env"), dotenv(backend_type, values)).expect("the configuration");
        let library = plugin_path(backend_type);
        let plugins = folder.path().join("plugins");
        fs::create_dir(&plugins).expect("a folder");
        let installed = plugins.join(library.file_name().expect("a name"));
        install(&fs::read(&library).expect("the plugin"), &installed);
        // A link of the host leads to the service, so its address must be known before it starts.
        let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = address.expect("a free port").to_string();
        Self { folder, program: LoneProgram::storage(), address, service: None }
    }

    /// The same for every provider.
    fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        let program = self.program.path();
        let path = format!("{}:/usr/bin:/bin", program.parent().expect("it lies in a folder").display());
        command
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", path)
            .env("STORAGE_BIND", &self.address)
            .stdin(Stdio::null());
        command
    }

    async fn serve(&mut self) {
        let log = fs::File::create(self.folder.path().join("log")).expect("a log");
        let mut serve = self.command(self.program.path());
        self.service = Some(serve.arg("serve").stderr(log).stdout(Stdio::null()).spawn().expect("it starts"));
        let url = format!("http://{}/health/live", self.address);
        let client = client();
        let answers = async {
            while client.get(&url).send().await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(60), answers).await.is_err() {
            panic!("the service does not answer:\n{}", self.log());
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Runs the script, and gives the link that it printed.
    fn run_script(&self, file: &str, user: &str) -> String {
        let output = self
            .command("/bin/sh")
            .arg(examples().join("save-retrieve-url.sh"))
            .args([file, user])
            .output()
            .expect("the script starts");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}\nthe service:\n{}", self.log());
        String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        if let Some(service) = &mut self.service {
            // It may have ended by itself.
            service.kill().ok();
            service.wait().ok();
        }
    }
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples")
}

/// The example with a value for all that it leaves to the user.
fn dotenv(backend_type: &str, values: &[(&str, String)]) -> String {
    let file = examples().join(format!("{backend_type}.env"));
    let example = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut lines = Vec::new();
    let mut remaining = values.to_vec();
    for line in example.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (name, value) = line.split_once('=').expect("a variable");
        match remaining.iter().position(|(given, _)| *given == name) {
            Some(at) => lines.push(format!("{name}={}", remaining.remove(at).1)),
            None => {
                assert!(!value.contains("your-"), "{line} of {backend_type}.env is left to the user");
                lines.push(line.to_owned());
            }
        }
    }
    lines.extend(remaining.into_iter().map(|(name, value)| format!("{name}={value}")));
    lines.join("\n") + "\n"
}

/// Saves, reads back and links, in an installation that differs from the others by its `.env` alone.
async fn save_retrieve_and_link(backend_type: &str, values: &[(&str, String)]) {
    let mut installation = Installation::new(backend_type, values);
    installation.serve().await;
    let content = b"%PDF-1.7 a r\xc3\xa9sum\xc3\xa9".repeat(10_000);
    fs::write(installation.folder.path().join("resume.pdf"), &content).expect("a file");
    let url = installation.run_script("resume.pdf", "ada");
    let answer = client().get(&url).send().await.expect("the link leads somewhere");
    assert_eq!(answer.status(), 200, "{url}");
    assert_eq!(answer.bytes().await.expect("the file"), content, "{url}");
}

fn fresh_bucket() -> String {
    format!("switching-{}", uuid::Uuid::now_v7().simple())
}

#[tokio::test]
async fn local() {
    save_retrieve_and_link("local", &[]).await;
}

#[tokio::test]
async fn minio_seaweedfs() {
    let server = Server::get("seaweedfs");
    save_retrieve_and_link(
        "minio",
        &[
            ("MINIO_ENDPOINT_URL", server.endpoint.clone()),
            ("MINIO_ACCESS_KEY", server.setting("access_key").to_owned()),
            ("MINIO_SECRET_KEY", server.setting("secret_key").to_owned()),
            ("MINIO_BUCKET_NAME", fresh_bucket()),
            ("MINIO_CREATE_BUCKET", "true".to_owned()),
        ],
    )
    .await;
}

#[tokio::test]
async fn aws_s3_ministack() {
    let server = Server::get("ministack");
    save_retrieve_and_link(
        "aws_s3",
        &[
            ("AWS_S3_ENDPOINT_URL", server.endpoint.clone()),
            ("AWS_ACCESS_KEY_ID", server.setting("access_key").to_owned()),
            ("AWS_SECRET_ACCESS_KEY", server.setting("secret_key").to_owned()),
            ("AWS_S3_BUCKET_NAME", fresh_bucket()),
            ("AWS_S3_CREATE_BUCKET", "true".to_owned()),
        ],
    )
    .await;
}

#[tokio::test]
async fn azure_blob_azurite() {
    let server = Server::get("azurite");
    let account = server.setting("account_name");
    save_retrieve_and_link(
        "azure_blob",
        &[
            ("AZURE_ENDPOINT_URL", format!("{}/{account}", server.endpoint)),
            ("AZURE_ACCOUNT_NAME", account.to_owned()),
            ("AZURE_ACCOUNT_KEY", server.setting("account_key").to_owned()),
            ("AZURE_CONTAINER_NAME", fresh_bucket()),
            ("AZURE_CREATE_CONTAINER", "true".to_owned()),
        ],
    )
    .await;
}

#[tokio::test]
async fn gcs_fake_gcs() {
    let server = Server::get("fake_gcs");
    save_retrieve_and_link(
        "gcs",
        &[
            ("GCS_BUCKET_NAME", fresh_bucket()),
            ("GCS_PROJECT_ID", "storage-tests".to_owned()),
            (
                "GOOGLE_APPLICATION_CREDENTIALS",
                storage_tests::gcs::service_account_file().display().to_string(),
            ),
            ("GCS_ENDPOINT_URL", server.endpoint.clone()),
            ("GCS_CREATE_BUCKET", "true".to_owned()),
        ],
    )
    .await;
}
