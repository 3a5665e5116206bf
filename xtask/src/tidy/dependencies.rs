//! Who may depend on whom: the core on no runtime and no provider, plugins on the core alone.

use std::path::Path;

use anyhow::Result;
use serde_json::Value;

use super::Fault;
use crate::workspace::{array, cargo_output, metadata};

const CORE: &str = "storage-core";
const HOST: &str = "storage-host";
const CONFORMANCE: &str = "storage-conformance";
const XTASK: &str = "xtask";

/// Async runtimes: each plugin brings its own, so the contract must not bring one.
const RUNTIMES: [&str; 6] = ["tokio", "async-std", "async-executor", "smol", "monoio", "glommio"];

/// Beginnings of the names of provider kits and of crates that speak a provider's protocol.
const PROVIDER_KITS: [&str; 14] = [
    "aws-config",
    "aws-runtime",
    "aws-sdk-",
    "aws-sigv4",
    "aws-smithy-",
    "azure_",
    "gcloud-",
    "google-cloud-",
    "minio",
    "object_store",
    "opendal",
    "rusoto_",
    "rust-s3",
    "tame-gcs",
];

pub(crate) fn check(root: &Path) -> Result<Vec<Fault>> {
    let mut faults = direct(&metadata()?, root);
    // Without `--workspace`, so that features which other members ask for do not count.
    let tree = |package: &str| {
        cargo_output(&["tree", "-p", package, "-e", "normal", "--prefix", "none", "-f", "{p}"])
    };
    faults.extend(forbidden_in_tree(CORE, &tree(CORE)?, is_runtime));
    faults.extend(forbidden_in_tree(CORE, &tree(CORE)?, is_provider_kit));
    faults.extend(forbidden_in_tree(HOST, &tree(HOST)?, is_provider_kit));
    Ok(faults)
}

fn is_runtime(name: &str) -> bool {
    RUNTIMES.contains(&name)
}

fn is_provider_kit(name: &str) -> bool {
    PROVIDER_KITS.iter().any(|kit| name.starts_with(kit))
}

/// The lines of `cargo tree` are `name version …`.
fn forbidden_in_tree(package: &str, tree: &str, forbidden: fn(&str) -> bool) -> Vec<Fault> {
    let mut names: Vec<&str> =
        tree.lines().filter_map(|line| line.split(' ').next()).filter(|name| forbidden(name)).collect();
    names.sort_unstable();
    names.dedup();
    names
        .into_iter()
        .map(|name| {
            let message = format!(
                "depends on `{name}`; `cargo tree -p {package} -e normal -i {name}` shows through what"
            );
            Fault::new(&format!("{package}/Cargo.toml"), None, message)
        })
        .collect()
}

/// Faults in what the members themselves declare, for every kind of dependency.
fn direct(metadata: &Value, root: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    for package in array(&metadata["packages"]) {
        let (Some(name), Some(manifest)) = (package["name"].as_str(), package["manifest_path"].as_str())
        else {
            continue;
        };
        let manifest = Path::new(manifest).strip_prefix(root).unwrap_or(Path::new(manifest));
        let of_workspace = array(&package["dependencies"])
            .filter(|dependency| dependency["path"].is_string())
            .filter_map(|dependency| dependency["name"].as_str());
        for dependency in of_workspace {
            if let Some(rule) = broken_rule(name, manifest, dependency) {
                let message = format!("depends on `{dependency}`: {rule}");
                faults.push(Fault::new(&manifest.to_string_lossy(), None, message));
            }
        }
    }
    faults
}

fn broken_rule(package: &str, manifest: &Path, dependency: &str) -> Option<&'static str> {
    if package == XTASK {
        Some("xtask depends on no crate of the workspace")
    } else if package == CORE && dependency != CORE {
        Some("the core depends on no other crate of the workspace")
    } else if manifest.starts_with("plugins") && dependency != CORE {
        Some("a plugin shares nothing but storage-core")
    } else if package == CONFORMANCE && dependency != CORE {
        Some("the conformance suite, with which the host is built, knows the core alone")
    } else if package == HOST && dependency != CORE && dependency != CONFORMANCE {
        Some("the host knows plugins only as libraries that it loads")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults(package: &str, folder: &str, dependency: &str) -> usize {
        let metadata = json!({ "packages": [{
            "name": package,
            "manifest_path": format!("/w/{folder}/Cargo.toml"),
            "dependencies": [{ "name": "bytes", "path": null }, { "name": dependency, "path": "/w/x" }],
        }]});
        direct(&metadata, Path::new("/w")).len()
    }

    #[test]
    fn members_depend_on_the_core_alone() {
        assert_eq!(faults("storage-backend-gcs", "plugins/gcs", "storage-core"), 0);
        assert_eq!(faults("storage-backend-gcs", "plugins/gcs", "storage-backend-minio"), 1);
        assert_eq!(faults("storage-backend-gcs", "plugins/gcs", "storage-host"), 1);
        assert_eq!(faults("storage-host", "storage-host", "storage-core"), 0);
        assert_eq!(faults("storage-host", "storage-host", "storage-conformance"), 0);
        assert_eq!(faults("storage-host", "storage-host", "storage-backend-local"), 1);
        assert_eq!(faults("storage-conformance", "tests/conformance", "storage-core"), 0);
        assert_eq!(faults("storage-conformance", "tests/conformance", "storage-host"), 1);
        assert_eq!(faults("storage-backend-gcs", "plugins/gcs", "storage-conformance"), 1);
        assert_eq!(faults("storage-core", "storage-core", "storage-host"), 1);
        assert_eq!(faults("xtask", "xtask", "storage-core"), 1);
        assert_eq!(faults("storage-tests", "tests", "storage-host"), 0);
    }

    #[test]
    fn runtimes_and_provider_kits_are_found_at_any_depth() {
        let tree = "storage-core v0.1.0 (/w/storage-core)\nbytes v1.0.0\ntokio v1.0.0\ntokio v1.0.0 (*)\ntokio-util v0.7.0\naws-sdk-s3 v1.0.0\n";
        let found = forbidden_in_tree(CORE, tree, is_runtime);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].message.contains("`tokio`"), "{found:?}");
        assert!(forbidden_in_tree(HOST, tree, is_provider_kit)[0].message.contains("`aws-sdk-s3`"));
        assert_eq!(forbidden_in_tree(CORE, "storage-core v0.1.0\nbytes v1.0.0\n", is_provider_kit), []);
    }
}
