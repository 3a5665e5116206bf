//! What a service that was started again says, compared with what the client was answered before.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::Method;
use serde_json::Value;
use storage_conformance::fixture::Content;

use super::client::text;
use super::ledger::{Doubt, Ledger, Versions};
use crate::home::Api;

/// What a check found out.
#[derive(Debug, Default)]
pub struct Checked {
    /// How many versions were read whole.
    pub versions_read: u64,
    /// Whether the request that was under way was done; none where none was.
    pub was_done: Option<bool>,
    /// Bytes that are still promised to saves which the kill ended.
    pub reserved_bytes: u64,
}

/// Compares, and settles what was in doubt.
///
/// # Errors
///
/// What was answered and does not hold, or what is there and nobody asked for.
pub async fn check(api: &Api, ledger: &mut Ledger) -> Result<Checked> {
    let user = ledger.user.clone();
    check_in_detail(api, ledger).await.with_context(|| format!("the files of {user}"))
}

async fn check_in_detail(api: &Api, ledger: &mut Ledger) -> Result<Checked> {
    let mut checked = Checked::default();
    let user = ledger.user.clone();
    let doubt = ledger.doubt.take();
    checked.was_done = doubt.as_ref().map(|_| false);
    let listed = api.get(&user, "/v1/files?limit=1000").await?;
    let mut found = BTreeMap::new();
    for file in listed["files"].as_array().context("a list")? {
        let id = text(file, "id");
        found.insert(id.clone(), versions(api, &user, &id).await?);
    }
    for file in ledger.gone_lately.drain(..) {
        for path in ["", "/content", "/versions"] {
            let request = api.call(&user, Method::GET, &format!("/v1/files/{file}{path}"));
            let (status, answer) = api.send(request).await?;
            ensure!(status == 404, "{file}{path} was deleted and is answered {status}: {answer}");
        }
    }
    for file in found.keys() {
        ensure!(!ledger.gone.contains(file), "{file} was deleted and is back");
    }
    for (file, known) in std::mem::take(&mut ledger.files) {
        let Some(mut there) = found.remove(&file) else {
            match &doubt {
                Some(Doubt::Delete(deleted)) if *deleted == file => {
                    checked.was_done = Some(true);
                    ledger.gone.insert(file);
                    continue;
                }
                _ => bail!("{file} is lost: {known:?} ({doubt:?})"),
            }
        };
        let mut kept: Versions = Vec::new();
        for (version, content) in known {
            if there.remove(&version).is_some() {
                compare(api, &user, &file, &version, content).await?;
                checked.versions_read += 1;
                kept.push((version, content));
                continue;
            }
            match &doubt {
                Some(Doubt::DeleteVersion(of, deleted)) if *of == file && *deleted == version => {
                    checked.was_done = Some(true);
                }
                _ => bail!("version {version} of {file} is lost: {content:?} ({doubt:?})"),
            }
        }
        if let Some((version, described)) = there.pop_first() {
            match &doubt {
                Some(Doubt::NewVersion(of, content)) if *of == file => {
                    compare(api, &user, &file, &version, *content).await?;
                    checked.was_done = Some(true);
                    kept.push((version, *content));
                }
                _ => bail!("nobody saved this version of {file}: {described} ({doubt:?})"),
            }
        }
        ensure!(there.is_empty(), "nobody saved these versions of {file}: {there:?}");
        ledger.files.insert(file, kept);
    }
    if let Some((file, mut there)) = found.pop_first() {
        let (Some(Doubt::NewFile(content)), Some((version, _))) = (&doubt, there.pop_first()) else {
            bail!("nobody saved {file} ({doubt:?})");
        };
        ensure!(there.is_empty(), "{file} has more than one version: {there:?}");
        compare(api, &user, &file, &version, *content).await?;
        checked.was_done = Some(true);
        ledger.files.insert(file, vec![(version, *content)]);
    }
    ensure!(found.is_empty(), "nobody saved {found:?}");
    checked.reserved_bytes = check_usage(api, ledger).await?;
    Ok(checked)
}

/// The versions of a file, by id, as they are described.
async fn versions(api: &Api, user: &str, file: &str) -> Result<BTreeMap<String, Value>> {
    let answer = api.get(user, &format!("/v1/files/{file}/versions")).await?;
    let versions = answer["versions"].as_array().context("a list")?;
    Ok(versions.iter().map(|version| (text(version, "version"), version.clone())).collect())
}

/// Reads a version whole, and compares it with what was sent, byte by byte, and with its description.
async fn compare(api: &Api, user: &str, file: &str, version: &str, content: Content) -> Result<()> {
    let described = api.get(user, &format!("/v1/files/{file}?version={version}")).await?;
    ensure!(
        described["sha256"] == hex::encode(content.sha256()) && described["size_bytes"] == content.size_bytes,
        "version {version} of {file} is described as {described}, and was {content:?}"
    );
    let path = format!("/v1/files/{file}/content?version={version}");
    let response = api.call(user, Method::GET, &path).send().await?.error_for_status()?;
    let bytes = response.bytes().await?;
    ensure!(bytes == content.bytes(), "version {version} of {file} has other bytes: {content:?}");
    Ok(())
}

/// Usage is what the files add up to; gives what is still promised besides.
async fn check_usage(api: &Api, ledger: &Ledger) -> Result<u64> {
    let usage = api.get(&ledger.user, "/v1/usage").await?;
    let number = |name: &str| usage[name].as_u64().with_context(|| format!("{name} in {usage}"));
    let counted = (number("bytes")?, number("files")?, number("versions")?);
    ensure!(counted == ledger.usage(), "{usage} is not {:?}", ledger.usage());
    ensure!(usage["max_bytes"].as_u64() == ledger.max_bytes, "{usage} is not {:?}", ledger.max_bytes);
    number("reserved_bytes")
}

/// Nothing is promised to anybody, once the service rests and was repaired.
///
/// # Errors
///
/// Something is.
pub async fn check_nothing_is_reserved(api: &Api, ledger: &Ledger) -> Result<()> {
    let reserved = check_usage(api, ledger).await?;
    ensure!(reserved == 0, "{reserved} bytes are still promised to {}", ledger.user);
    Ok(())
}
