//! The rows, one group to a file, in the order in which they are measured.

mod boundary;
mod catalog;
mod cloud;
mod connections;
mod http_large;
mod http_small;
mod latency;
mod local_large;
mod local_small;
mod memory;
mod service;
mod start;

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use futures_util::future::LocalBoxFuture;

use crate::environment::Environment;
use crate::row::Row;

/// Rows that share what they need.
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) rows: &'static [&'static str],
    /// What must be there besides what is built: `program NAME` on the PATH, `installed NAME` or `server NAME`, one that
    /// `cargo xtask servers` has installed or started.
    pub(crate) needs: &'static [&'static str],
    pub(crate) run: for<'a> fn(&'a Environment) -> LocalBoxFuture<'a, Result<Vec<Row>>>,
}

/// A group whose rows and function have these paths.
macro_rules! group {
    ($name:literal, $rows:path, $run:path, [$($need:literal),*]) => {
        Group { name: $name, rows: $rows, needs: &[$($need),*], run: |environment| Box::pin($run(environment)) }
    };
}

static GROUPS: &[Group] = &[
    group!("boundary", boundary::ROWS, boundary::run, []),
    group!("local-small", local_small::ROWS, local_small::run, []),
    group!("local-large", local_large::ROWS, local_large::run, []),
    group!("service", service::ROWS, service::run, []),
    group!("http-nginx", http_small::NGINX_ROWS, http_small::beside_nginx, ["program wrk", "program nginx"]),
    group!("http-large", http_large::ROWS, http_large::run, ["program nginx"]),
    group!(
        "http-seaweedfs",
        http_small::SEAWEED_ROWS,
        http_small::beside_seaweedfs,
        ["program wrk", "installed seaweedfs"]
    ),
    group!("memory", memory::ROWS, memory::run, []),
    group!("connections", connections::ROWS, connections::run, ["program wrk"]),
    group!("catalog", catalog::ROWS, catalog::run, []),
    group!("start", start::ROWS, start::run, ["installed seaweedfs", "server azurite", "server fake_gcs"]),
    group!("minio", cloud::MINIO_ROWS, cloud::minio, ["installed seaweedfs"]),
    group!("aws_s3", cloud::AWS_ROWS, cloud::aws, ["installed seaweedfs"]),
    group!("latency", latency::ROWS, latency::run, ["installed seaweedfs"]),
    group!("azure_blob", cloud::AZURE_ROWS, cloud::azure, ["server azurite"]),
    group!("gcs", cloud::GCS_ROWS, cloud::gcs, ["server fake_gcs"]),
];

/// The groups that have these names or rows of these names; all where none is named.
///
/// # Errors
///
/// A name is neither a group's nor a row's.
pub(crate) fn select(names: &[String]) -> Result<Vec<&'static Group>> {
    let is_known = |name: &String| GROUPS.iter().any(|group| has(group, name));
    if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
        let known: Vec<_> = GROUPS.iter().map(|group| group.name).collect();
        bail!(
            "there is no row `{unknown}`; the groups are: {} (`--list` shows the rows of each)",
            known.join(", ")
        );
    }
    Ok(GROUPS.iter().filter(|group| names.is_empty() || names.iter().any(|name| has(group, name))).collect())
}

/// What these groups need, each once.
pub(crate) fn needs(groups: &[&Group]) -> BTreeSet<&'static str> {
    groups.iter().flat_map(|group| group.needs.iter().copied()).collect()
}

fn has(group: &Group, name: &str) -> bool {
    group.name == name || group.rows.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_groups_are_found_by_name() {
        let names = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            select(&names).map(|groups| groups.iter().map(|group| group.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).expect("all").len(), GROUPS.len());
        assert_eq!(names(&["local-get-4k"]).expect("known"), ["local-small"]);
        assert_eq!(names(&["boundary"]).expect("known"), ["boundary"]);
        assert!(names(&["nothing"]).expect_err("unknown").to_string().contains("local-small"));
    }
}
