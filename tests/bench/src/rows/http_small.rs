//! Files of 4 KiB over HTTP on sixteen connections: the service beside nginx, which only hands out files, and beside
//! SeaweedFS, which people would run in its place.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::contest::Contest;
use crate::environment::Environment;
use crate::host::Host;
use crate::nginx::Nginx;
use crate::raw_http;
use crate::row::{Row, Unit};
use crate::weed::{BUCKET, Weed};
use crate::wrk;

pub(crate) const NGINX_ROWS: &[&str] = &["http-get-4k-nginx"];
pub(crate) const SEAWEED_ROWS: &[&str] = &["http-get-4k-seaweedfs", "http-put-4k-seaweedfs"];

const CONNECTIONS: usize = 16;
const SIZE_BYTES: u64 = 4 * 1024;
const OURS: &str = "storage serve";

pub(crate) async fn beside_nginx(environment: &Environment) -> Result<Vec<Row>> {
    let folder = environment.scratch()?;
    let folder = folder.path();
    let nginx = &Nginx::start(&folder.join("nginx")).await?;
    let host = &Host::start(environment, &folder.join("host")).await?;
    let path = &host.save("small.bin", SIZE_BYTES).await?;
    raw_http::upload(nginx.request("PUT", "small.bin"), SIZE_BYTES).await?;
    let work = "GET of 4 KiB, 16 connections; ours authenticated";
    let contest = Contest::new("http-get-4k-nginx", work, Unit::CallsPerSecond)
        .contender(OURS, || get_ours(environment, host, path))
        .contender("nginx", || async {
            get(environment, &format!("http://{}/small.bin", nginx.address), &[]).await
        })
        .at_least(0.4, "nginx");
    Ok(vec![contest.run(environment.rounds).await?])
}

pub(crate) async fn beside_seaweedfs(environment: &Environment) -> Result<Vec<Row>> {
    let folder = environment.scratch()?;
    let folder = folder.path();
    let weed = &Weed::start(environment, &folder.join("weed")).await?;
    let host = &Host::start(environment, &folder.join("host")).await?;
    let path = &host.save("small.bin", SIZE_BYTES).await?;
    raw_http::upload(weed.request("PUT", "small.bin"), SIZE_BYTES).await?;
    let mut rows = Vec::new();
    if environment.wants("http-get-4k-seaweedfs") {
        let work = "GET of 4 KiB, 16 connections; ours authenticated";
        let contest = Contest::new("http-get-4k-seaweedfs", work, Unit::CallsPerSecond)
            .contender(OURS, || get_ours(environment, host, path))
            .contender("SeaweedFS S3", || async {
                get(environment, &format!("http://{}/{BUCKET}/small.bin", weed.address), &[]).await
            })
            .at_least(1.5, "SeaweedFS S3");
        rows.push(contest.run(environment.rounds).await?);
    }
    if environment.wants("http-put-4k-seaweedfs") {
        let ours = &script(folder, "POST", "/v1/files?filename=")?;
        let theirs = &script(folder, "PUT", &format!("/{BUCKET}/"))?;
        let work = "new file of 4 KiB, 16 connections; ours authenticated and durable";
        let contest = Contest::new("http-put-4k-seaweedfs", work, Unit::CallsPerSecond)
            .contender(OURS, || async {
                put(environment, &format!("http://{}", host.address), &host.headers, ours).await
            })
            .contender("SeaweedFS S3", || async {
                put(environment, &format!("http://{}", weed.address), &[], theirs).await
            })
            .at_least(1.5, "SeaweedFS S3");
        rows.push(contest.run(environment.rounds).await?);
    }
    Ok(rows)
}

async fn get_ours(environment: &Environment, host: &Host, path: &str) -> Result<f64> {
    get(environment, &format!("http://{}{path}", host.address), &host.headers).await
}

async fn get(environment: &Environment, url: &str, headers: &[(String, String)]) -> Result<f64> {
    Ok(wrk::run(url, headers, CONNECTIONS, environment.round_time, None).await?.requests_per_second)
}

async fn put(
    environment: &Environment,
    url: &str,
    headers: &[(String, String)],
    script: &Path,
) -> Result<f64> {
    Ok(wrk::run(url, headers, CONNECTIONS, environment.round_time, Some(script)).await?.requests_per_second)
}

/// Makes each request one for a name of its own, also in the next round.
fn script(folder: &Path, method: &str, prefix: &str) -> Result<PathBuf> {
    let path = folder.join(format!("{method}.lua"));
    let text = format!(
        "wrk.method = \"{method}\"\nwrk.body = string.rep(\"x\", {SIZE_BYTES})\n\
         local round = os.time() .. \"-\" .. math.floor(os.clock() * 1e6)\nlocal count = 0\n\
         request = function()\n  count = count + 1\n  \
         return wrk.format(nil, \"{prefix}\" .. round .. \"-\" .. count .. \".bin\")\nend\n"
    );
    std::fs::write(&path, text)?;
    Ok(path)
}
