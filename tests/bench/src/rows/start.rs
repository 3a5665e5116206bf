//! How long the service takes from its start until it is ready to serve, with every plugin and a large catalog.

use std::time::Instant;

use anyhow::{Context, Result};

use crate::contest::Contest;
use crate::environment::Environment;
use crate::host;
use crate::process::{Process, free_address};
use crate::raw_http::{self, Request};
use crate::row::{Row, Unit};
use crate::rows::catalog::filled_catalog;

pub(crate) const ROWS: &[&str] = &["start"];

/// What it may take, in milliseconds.
const LIMIT_MS: f64 = 1_000.0;

/// A backend of each type, for the types whose plugins were built. None of them is asked for anything: a provider that
/// is away keeps the service from serving its files, not from starting.
const BACKENDS: [(&str, &str); 5] = [
    ("local", r#""path": "./storage""#),
    (
        "minio",
        r#""endpoint_url": "http://127.0.0.1:9", "access_key": "a", "secret_key": "secret-key", "bucket_name": "bench""#,
    ),
    (
        "aws_s3",
        r#""endpoint_url": "http://127.0.0.1:9", "region": "us-east-1", "access_key_id": "a", "secret_access_key": "secret-key", "bucket_name": "bench""#,
    ),
    (
        "azure_blob",
        r#""endpoint_url": "http://127.0.0.1:9/a", "account_name": "a", "account_key": "YmVuY2g=", "container_name": "bench""#,
    ),
    ("gcs", r#""endpoint_url": "http://127.0.0.1:9", "auth": "none", "bucket_name": "bench""#),
];

pub(crate) async fn run(environment: &Environment) -> Result<Vec<Row>> {
    let kept = filled_catalog(environment.results(), environment.catalog_files).await?;
    let folder = environment.scratch()?;
    let folder = folder.path();
    std::fs::copy(kept, folder.join("storage-catalog.db"))?;
    let built = |backend_type: &str| environment.library(&format!("storage_backend_{backend_type}")).is_ok();
    let backends: Vec<_> = BACKENDS.iter().filter(|(backend_type, _)| built(backend_type)).collect();
    let entries = backends.iter().map(|(backend_type, settings)| {
        format!(r#""{backend_type}": {{"type": "{backend_type}", {settings}}}"#)
    });
    let config = format!("{{{}}}", entries.collect::<Vec<_>>().join(", "));
    let work = format!(
        "start to ready with {} plugins and {} files in the catalog",
        backends.len(),
        environment.catalog_files
    );
    let contest = Contest::new("start", work, Unit::Milliseconds).contender("storage serve", || async {
        let address = free_address()?;
        let variables = [("BACKENDS_CONFIG", config.as_str())];
        let mut command = host::command(environment, folder, &variables)?;
        command.args(["serve", "--bind", &address.to_string()]);
        let started = Instant::now();
        let mut process = Process::start(&mut command, &folder.join("service.log"))?;
        process.listens(address).await?;
        let path = "/health/ready".to_owned();
        raw_http::probe(Request { address, method: "GET", path, headers: Vec::new() })
            .await
            .context("not ready")?;
        Ok(started.elapsed().as_secs_f64() * 1e3)
    });
    Ok(vec![contest.at_most(LIMIT_MS).run(environment.rounds).await?])
}
