//! How each server starts, and what a user who wants to use it by hand puts into `.env`.
//!
//! All listen on the loopback address 127.0.0.1 alone. Their keys are no secrets: whoever reaches them is on this
//! machine, and what they keep is made up.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::catalogue::{Launch, Site};
use super::description::Description;
use super::ready::Probe;

const REGION: &str = "us-east-1";
const BUCKET: &str = "storage";

/// The account that Azurite has by default; its key is published with it.
const AZURITE_ACCOUNT: &str = "devstoreaccount1";
const AZURITE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

pub(super) fn seaweedfs(site: &mut Site) -> Result<Launch> {
    let identities = serde_json::json!({
        "identities": [
            {
                "name": "admin",
                "credentials": [{ "accessKey": "admin-access", "secretKey": "admin-secret-key" }],
                "actions": ["Admin", "Read", "List", "Tagging", "Write"],
            },
            {
                "name": "reader",
                "credentials": [{ "accessKey": "reader-access", "secretKey": "reader-secret-key" }],
                "actions": ["Read", "List"],
            },
        ],
        "kms": {
            "default_provider": "local",
            "providers": { "local": { "type": "local", "enableOnDemandCreate": true } },
        },
    });
    fs::write(site.data.join("s3.json"), identities.to_string())?;
    // Every bucket takes volumes of its own, and tests make a bucket each: one will do for each of them.
    fs::write(site.data.join("master.toml"), "[master.volume_growth]\ncopy_1 = 1\n")?;
    let volumes = site.data.join("volumes");
    fs::create_dir(&volumes)?;
    let [master, volume, filer, s3] = [(); 4].map(|()| site.ports.take_with_grpc());
    let (master, s3) = (master?, s3?);

    let mut command = Command::new(&site.program);
    command
        .args(["-logtostderr=true", "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3.ip.bind=127.0.0.1"])
        .arg(format!("-dir={}", volumes.display()))
        .args(["-filer", "-s3", "-s3.port.iceberg=0", "-s3.port.lance=0"])
        .args(["-master.volumeSizeLimitMB=64", "-volume.max=20000", "-master.telemetry=false"])
        .arg(format!("-master.port={master}"))
        .arg(format!("-volume.port={}", volume?))
        .arg(format!("-filer.port={}", filer?))
        .arg(format!("-s3.port={s3}"))
        .arg(format!("-s3.config={}", site.data.join("s3.json").display()))
        .args(["-s3.allowDeleteBucketNotEmpty=false", "-s3.iam.readOnly=false"])
        // It reads master.toml where it starts.
        .current_dir(&site.data)
        // Without a key it refuses to encrypt at rest.
        .env("WEED_S3_SSE_KEY", "key-of-a-test-server");
    Ok(Launch {
        command,
        endpoint: format!("http://127.0.0.1:{s3}"),
        settings: settings(&[
            ("access_key", "admin-access"),
            ("secret_key", "admin-secret-key"),
            ("readonly_access_key", "reader-access"),
            ("readonly_secret_key", "reader-secret-key"),
            ("region", REGION),
        ]),
        // The gateway answers before there is a volume to write to.
        probes: vec![
            Probe::http(&format!("127.0.0.1:{master}"), "/dir/assign"),
            Probe::http(&format!("127.0.0.1:{s3}"), "/healthz"),
        ],
    })
}

pub(super) fn ministack(site: &mut Site) -> Result<Launch> {
    let address = format!("127.0.0.1:{}", site.ports.take()?);
    let (host, port) = address.split_once(':').context("an address without a port")?;
    let mut command = Command::new(&site.program);
    command
        .env("AUTH", "true")
        .env("AWS_ACCESS_KEY_ID", "root-access")
        .env("AWS_SECRET_ACCESS_KEY", "root-secret-key")
        .env("BIND_HOST", host)
        .env("GATEWAY_PORT", port)
        .env("LOG_LEVEL", "WARNING")
        .current_dir(&site.data);
    Ok(Launch {
        command,
        endpoint: format!("http://{address}"),
        settings: settings(&[
            ("access_key", "root-access"),
            ("secret_key", "root-secret-key"),
            ("region", REGION),
        ]),
        probes: vec![Probe::http(&address, "/_ministack/health")],
    })
}

pub(super) fn juicefs(site: &mut Site) -> Result<Launch> {
    let address = format!("127.0.0.1:{}", site.ports.take()?);
    let metrics = format!("127.0.0.1:{}", site.ports.take()?);
    let catalogue = format!("sqlite3://{}", site.data.join("catalogue.db").display());
    let mut format = Command::new(&site.program);
    format
        .args(["format", "--no-agent", "--storage", "file", "--bucket"])
        .arg(format!("{}/", site.data.join("objects").display()))
        .args([&catalogue, "tests"]);
    succeed(format)?;

    let mut command = Command::new(&site.program);
    command
        .args(["gateway", &catalogue, &address, "--no-agent", "--no-usage-report", "--metrics", &metrics])
        .args(["--multi-buckets", "--keep-etag", "--object-tag", "--object-meta", "--cache-dir"])
        .arg(site.data.join("cache"))
        .env("MINIO_ROOT_USER", "root-access")
        .env("MINIO_ROOT_PASSWORD", "root-secret-key")
        .env("MINIO_BROWSER", "off")
        .current_dir(&site.data);
    Ok(minio_launch(command, &address))
}

pub(super) fn minio(site: &mut Site) -> Result<Launch> {
    let address = format!("127.0.0.1:{}", site.ports.take()?);
    let mut command = Command::new(&site.program);
    command
        .args(["server", "--quiet", "--address", &address])
        .arg(site.data.join("objects"))
        .env("MINIO_ROOT_USER", "root-access")
        .env("MINIO_ROOT_PASSWORD", "root-secret-key")
        .env("MINIO_BROWSER", "off")
        .env("MINIO_REGION", REGION)
        .env("MINIO_UPDATE", "off")
        .current_dir(&site.data);
    Ok(minio_launch(command, &address))
}

fn minio_launch(command: Command, address: &str) -> Launch {
    Launch {
        command,
        endpoint: format!("http://{address}"),
        settings: settings(&[
            ("access_key", "root-access"),
            ("secret_key", "root-secret-key"),
            ("region", REGION),
        ]),
        probes: vec![Probe::http(address, "/minio/health/live")],
    }
}

pub(super) fn azurite(site: &mut Site) -> Result<Launch> {
    let port = site.ports.take()?.to_string();
    Ok(Launch {
        command: azurite_command(site, &port),
        endpoint: format!("http://127.0.0.1:{port}"),
        settings: settings(&[("account_name", AZURITE_ACCOUNT), ("account_key", AZURITE_KEY)]),
        probes: vec![Probe::listening(&format!("http://127.0.0.1:{port}"))?],
    })
}

pub(super) fn azurite_tls(site: &mut Site) -> Result<Launch> {
    let port = site.ports.take()?.to_string();
    make_certificates(&site.data)?;
    let mut command = azurite_command(site, &port);
    command
        .args(["--oauth", "basic", "--cert"])
        .arg(site.data.join("leaf.pem"))
        .arg("--key")
        .arg(site.data.join("leaf.key"));
    let ca_file = site.data.join("ca.pem").display().to_string();
    Ok(Launch {
        command,
        endpoint: format!("https://127.0.0.1:{port}"),
        settings: settings(&[
            ("account_name", AZURITE_ACCOUNT),
            ("account_key", AZURITE_KEY),
            ("ca_file", &ca_file),
        ]),
        probes: vec![Probe::listening(&format!("https://127.0.0.1:{port}"))?],
    })
}

fn azurite_command(site: &Site, port: &str) -> Command {
    let mut command = Command::new(&site.program);
    command
        .args(["--blobHost", "127.0.0.1", "--blobPort", port])
        .args(["--inMemoryPersistence", "--disableTelemetry", "--silent"])
        .current_dir(&site.data);
    command
}

/// An authority in `ca.pem` and a certificate that it signed in `leaf.pem`: clients refuse one that is both.
fn make_certificates(folder: &Path) -> Result<()> {
    let openssl = |args: &[&str]| {
        let mut command = Command::new("openssl");
        command.args(args).current_dir(folder);
        succeed(command)
    };
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    openssl(
        &[
            &["req", "-x509", "-subj", "/CN=Test authority", "-days", "365"],
            &key[..],
            &["-keyout", "ca.key", "-out", "ca.pem"],
        ]
        .concat(),
    )?;
    openssl(
        &[&["req", "-subj", "/CN=Test server"], &key[..], &["-keyout", "leaf.key", "-out", "leaf.csr"]]
            .concat(),
    )?;
    fs::write(
        folder.join("leaf.cnf"),
        "basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\nsubjectAltName=IP:127.0.0.1,DNS:localhost\n",
    )?;
    openssl(&[
        "x509",
        "-req",
        "-in",
        "leaf.csr",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-days",
        "365",
        "-extfile",
        "leaf.cnf",
        "-out",
        "leaf.pem",
    ])
}

pub(super) fn fake_gcs(site: &mut Site) -> Result<Launch> {
    let port = site.ports.take()?.to_string();
    let address = format!("127.0.0.1:{port}");
    let mut command = Command::new(&site.program);
    command
        .args(["-backend", "memory", "-scheme", "http", "-log-level", "warn"])
        .args(["-host", "127.0.0.1", "-port", &port])
        // Without a port, so that signed URLs are answered through a proxy on another one, too.
        .args(["-public-host", "127.0.0.1"])
        .current_dir(&site.data);
    Ok(Launch {
        command,
        endpoint: format!("http://{address}"),
        settings: BTreeMap::new(),
        probes: vec![Probe::http(&address, "/storage/v1/b?project=tests")],
    })
}

pub(super) fn minio_env(server: &Description) -> Vec<(&'static str, String)> {
    vec![
        ("PRIMARY_BACKEND", "minio".to_owned()),
        ("MINIO_ENDPOINT_URL", server.endpoint.clone()),
        ("MINIO_ACCESS_KEY", setting(server, "access_key")),
        ("MINIO_SECRET_KEY", setting(server, "secret_key")),
        ("MINIO_BUCKET_NAME", BUCKET.to_owned()),
        ("MINIO_REGION", setting(server, "region")),
        ("MINIO_CREATE_BUCKET", "true".to_owned()),
    ]
}

pub(super) fn aws_env(server: &Description) -> Vec<(&'static str, String)> {
    vec![
        ("PRIMARY_BACKEND", "aws_s3".to_owned()),
        ("AWS_S3_ENDPOINT_URL", server.endpoint.clone()),
        ("AWS_ACCESS_KEY_ID", setting(server, "access_key")),
        ("AWS_SECRET_ACCESS_KEY", setting(server, "secret_key")),
        ("AWS_S3_BUCKET_NAME", BUCKET.to_owned()),
        ("AWS_REGION", setting(server, "region")),
        ("AWS_S3_CREATE_BUCKET", "true".to_owned()),
    ]
}

pub(super) fn azure_env(server: &Description) -> Vec<(&'static str, String)> {
    let account = setting(server, "account_name");
    let mut variables = vec![
        ("PRIMARY_BACKEND", "azure_blob".to_owned()),
        ("AZURE_ENDPOINT_URL", format!("{}/{account}", server.endpoint)),
        ("AZURE_ACCOUNT_NAME", account),
        ("AZURE_ACCOUNT_KEY", setting(server, "account_key")),
        ("AZURE_CONTAINER_NAME", BUCKET.to_owned()),
        ("AZURE_CREATE_CONTAINER", "true".to_owned()),
    ];
    variables.extend(server.settings.get("ca_file").map(|file| ("AZURE_CA_FILE", file.clone())));
    variables
}

pub(super) fn gcs_env(server: &Description) -> Vec<(&'static str, String)> {
    vec![
        ("PRIMARY_BACKEND", "gcs".to_owned()),
        ("GCS_ENDPOINT_URL", server.endpoint.clone()),
        ("GCS_BUCKET_NAME", BUCKET.to_owned()),
        ("GCS_PROJECT_ID", "tests".to_owned()),
        ("GCS_CREATE_BUCKET", "true".to_owned()),
        ("GCS_AUTH", "none".to_owned()),
    ]
}

fn setting(server: &Description, name: &str) -> String {
    server.settings.get(name).cloned().unwrap_or_default()
}

fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Runs a command to its end; what it said is in the error if it failed.
pub(super) fn succeed(mut command: Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("`{program}` could not be started"))?;
    let said = [output.stdout, output.stderr].concat();
    ensure!(
        output.status.success(),
        "`{program}` failed ({}):\n{}",
        output.status,
        super::lifecycle::tail(&String::from_utf8_lossy(&said))
    );
    Ok(())
}
