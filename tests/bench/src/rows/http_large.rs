//! One large file over HTTP, in and out, beside nginx.

use anyhow::Result;

use crate::contest::{Contest, throughput};
use crate::environment::Environment;
use crate::host::Host;
use crate::nginx::Nginx;
use crate::raw_http::{download, upload};
use crate::row::{Row, Unit};

pub(crate) const ROWS: &[&str] = &["http-get-1g-nginx", "http-put-1g-nginx"];

const OURS: &str = "storage serve";
const NGINX: &str = "nginx";

pub(crate) async fn run(environment: &Environment) -> Result<Vec<Row>> {
    let folder = environment.scratch()?;
    let folder = folder.path();
    let nginx = &Nginx::start(&folder.join("nginx")).await?;
    let host = &Host::start(environment, &folder.join("host")).await?;
    let bytes = environment.large_bytes;
    let path = &host.save("large.bin", bytes).await?;
    upload(nginx.request("PUT", "large.bin"), bytes).await?;
    let mut rows = Vec::new();
    if environment.wants("http-get-1g-nginx") {
        let work = "GET of a large file; ours checks its digest, nginx uses sendfile";
        let contest = Contest::new("http-get-1g-nginx", work, Unit::BytesPerSecond)
            .contender(OURS, || throughput(bytes, download(host.request("GET", path.as_str()), bytes)))
            .contender(NGINX, || throughput(bytes, download(nginx.request("GET", "large.bin"), bytes)))
            .at_least(0.7, NGINX);
        rows.push(contest.run(environment.long_rounds()).await?);
    }
    if environment.wants("http-put-1g-nginx") {
        let put = |request| async move {
            upload(request, bytes).await?;
            Ok(())
        };
        let work = "PUT of a large file; ours digested and durable, nginx neither";
        let contest = Contest::new("http-put-1g-nginx", work, Unit::BytesPerSecond)
            .contender(OURS, || throughput(bytes, put(host.request("PUT", path.as_str()))))
            .contender(NGINX, || throughput(bytes, put(nginx.request("PUT", "other.bin"))))
            .at_least(0.5, NGINX);
        rows.push(contest.run(environment.long_rounds()).await?);
    }
    Ok(rows)
}
