//! What cargo knows about this workspace: where it is, which plugins it holds, what a build made.
//!
//! Every command asks here instead of guessing paths, so that `CARGO_TARGET_DIR` and renamed
//! crates are honoured.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// The package whose binary is the service.
pub(crate) const HOST_PACKAGE: &str = "storage-host";
/// The name of that binary.
pub(crate) const HOST_BINARY: &str = "storage";

/// A plugin crate of this workspace: a member below `plugins/` that builds a `cdylib`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plugin {
    /// The backend type, which is the name of the crate's folder.
    pub(crate) backend_type: String,
    /// The name of the cargo package.
    pub(crate) package: String,
    /// Its `Cargo.toml`, by which cargo's messages about it are recognised.
    pub(crate) manifest: PathBuf,
}

/// The folder that holds the workspace's `Cargo.toml`.
pub(crate) fn root() -> PathBuf {
    // Cargo sets the variable when it runs us; the compiled-in value serves a direct start.
    let manifest_dir =
        env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    manifest_dir.parent().map_or_else(|| manifest_dir.clone(), Path::to_path_buf)
}

/// A `cargo` process that starts in the workspace root.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// The standard output of a cargo command that must succeed.
pub(crate) fn cargo_output(args: &[&str]) -> Result<String> {
    let output = cargo()
        .args(args)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .context("cargo could not be started")?;
    ensure!(
        output.status.success(),
        "`cargo {}` failed:\n{}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    String::from_utf8(output.stdout).context("cargo wrote something that is not UTF-8")
}

/// `cargo metadata` of the workspace members alone.
pub(crate) fn metadata() -> Result<Value> {
    let json = cargo_output(&["metadata", "--no-deps", "--format-version", "1"])?;
    serde_json::from_str(&json).context("cargo metadata is not JSON")
}

/// The folder into which cargo builds.
pub(crate) fn target_folder() -> Result<PathBuf> {
    let metadata = metadata()?;
    let folder = metadata["target_directory"].as_str();
    folder.map(PathBuf::from).context("cargo metadata names no target directory")
}

/// The plugins of this workspace, by backend type.
pub(crate) fn plugins() -> Result<Vec<Plugin>> {
    let plugins = plugins_in(&metadata()?, &root().join("plugins"));
    ensure!(!plugins.is_empty(), "no member below plugins/ builds a cdylib");
    Ok(plugins)
}

fn plugins_in(metadata: &Value, folder: &Path) -> Vec<Plugin> {
    let mut plugins: Vec<Plugin> = array(&metadata["packages"])
        .filter(|package| array(&package["targets"]).any(is_cdylib))
        .filter_map(|package| {
            let manifest = PathBuf::from(package["manifest_path"].as_str()?);
            let backend_type = manifest.parent()?.strip_prefix(folder).ok()?.to_str()?.to_owned();
            Some(Plugin { backend_type, package: package["name"].as_str()?.to_owned(), manifest })
        })
        .collect();
    plugins.sort_by(|a, b| a.backend_type.cmp(&b.backend_type));
    plugins
}

/// The plugins of the given types, in the given order; of all types when none is given.
///
/// # Errors
/// A type that no plugin has is answered with the list of types and the nearest name.
pub(crate) fn select(plugins: &[Plugin], types: &[String]) -> Result<Vec<Plugin>> {
    if types.is_empty() {
        return Ok(plugins.to_vec());
    }
    types
        .iter()
        .map(|wanted| match plugins.iter().find(|plugin| plugin.backend_type == *wanted) {
            Some(plugin) => Ok(plugin.clone()),
            None => bail!(unknown_type(plugins, wanted)),
        })
        .collect()
}

fn unknown_type(plugins: &[Plugin], wanted: &str) -> String {
    let known: Vec<&str> = plugins.iter().map(|plugin| plugin.backend_type.as_str()).collect();
    let nearest = known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(name, wanted), *name))
        .min()
        .filter(|(distance, name)| *distance <= name.len().max(wanted.len()) / 2)
        .map(|(_, name)| format!("; did you mean `{name}`?"))
        .unwrap_or_default();
    format!("this workspace has no plugin of type `{wanted}`{nearest}\nits plugins are: {}", known.join(", "))
}

/// What one `cargo build` left on disk.
#[derive(Debug, Default)]
pub(crate) struct Built {
    /// The service's binary, when it was among the packages.
    pub(crate) host: Option<PathBuf>,
    /// The plugin libraries.
    pub(crate) libraries: Vec<PathBuf>,
}

/// Builds the service and some plugins in one cargo invocation, so that shared dependencies are
/// compiled once.
pub(crate) fn build_with_host(plugins: &[Plugin], release: bool) -> Result<Built> {
    let mut command = cargo();
    command.args(["build", "--package", HOST_PACKAGE]);
    run_build(with_packages(command, plugins, release), plugins)
}

/// Builds some plugins and nothing else.
pub(crate) fn build_plugins(plugins: &[Plugin], release: bool) -> Result<Built> {
    let mut command = cargo();
    command.arg("build");
    run_build(with_packages(command, plugins, release), plugins)
}

/// Builds whatever the tests run, load or start: the same targets as the test runner asks for, so
/// that it finds them compiled. A library that is only loaded is no dependency of its test and would
/// not be built otherwise.
pub(crate) fn build_for_tests(plugins: &[Plugin]) -> Result<Built> {
    let mut command = cargo();
    command.args(["build", "--workspace"]).args(TEST_TARGETS);
    run_build(command, plugins)
}

/// Every target that holds or serves tests; `--all-targets` would add the benches.
pub(crate) const TEST_TARGETS: [&str; 4] = ["--lib", "--bins", "--tests", "--examples"];

fn with_packages(mut command: Command, plugins: &[Plugin], release: bool) -> Command {
    if release {
        command.arg("--release");
    }
    for plugin in plugins {
        command.args(["--package", &plugin.package]);
    }
    command
}

fn run_build(mut command: Command, plugins: &[Plugin]) -> Result<Built> {
    let mut child = command
        .arg("--message-format=json-render-diagnostics")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cargo build could not be started")?;
    let stdout = child.stdout.take().context("cargo build has no standard output")?;
    let mut built = Built::default();
    for line in BufReader::new(stdout).lines() {
        let line = line.context("reading from cargo build")?;
        let message =
            serde_json::from_str(&line).with_context(|| format!("not a message of cargo: {line}"))?;
        collect_artifact(&message, plugins, &mut built);
    }
    ensure!(child.wait()?.success(), "the build failed; the compiler's messages are above");
    ensure!(
        built.libraries.len() == plugins.len(),
        "cargo built {} plugin libraries where {} were expected",
        built.libraries.len(),
        plugins.len()
    );
    Ok(built)
}

fn collect_artifact(message: &Value, plugins: &[Plugin], built: &mut Built) {
    if message["reason"] != "compiler-artifact" {
        return;
    }
    let target = &message["target"];
    if target["name"] == HOST_BINARY && has_kind(target, "bin") && message["profile"]["test"] == false {
        built.host = message["executable"].as_str().map(PathBuf::from);
    } else if is_cdylib(target) && plugins.iter().any(|plugin| made_by(message, plugin)) {
        let library = array(&message["filenames"])
            .filter_map(Value::as_str)
            .find(|name| name.ends_with(env::consts::DLL_SUFFIX));
        // The unit tests of a plugin are reported too, as an executable.
        built.libraries.extend(library.map(PathBuf::from));
    }
}

fn made_by(message: &Value, plugin: &Plugin) -> bool {
    message["manifest_path"].as_str().is_some_and(|path| Path::new(path) == plugin.manifest)
}

fn is_cdylib(target: &Value) -> bool {
    has_kind(target, "cdylib")
}

fn has_kind(target: &Value, kind: &str) -> bool {
    array(&target["kind"]).any(|value| value == kind)
}

/// The elements of a JSON array; none when the value is something else.
pub(crate) fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plugin(backend_type: &str) -> Plugin {
        Plugin {
            backend_type: backend_type.to_owned(),
            package: format!("storage-backend-{backend_type}"),
            manifest: format!("/w/plugins/{backend_type}/Cargo.toml").into(),
        }
    }

    #[test]
    fn only_cdylibs_below_plugins_are_plugins() {
        let package = |name: &str, path: &str, kind: &str| json!({ "name": name, "manifest_path": path, "targets": [{ "kind": [kind] }] });
        let metadata = json!({ "packages": [
            package("storage-backend-minio", "/w/plugins/minio/Cargo.toml", "cdylib"),
            package("storage-core", "/w/storage-core/Cargo.toml", "lib"),
            package("fixture", "/w/tests/fixtures/fixture/Cargo.toml", "cdylib"),
            package("storage-backend-gcs", "/w/plugins/gcs/Cargo.toml", "cdylib"),
            package("helper", "/w/plugins/helper/Cargo.toml", "lib"),
        ]});
        assert_eq!(plugins_in(&metadata, Path::new("/w/plugins")), [plugin("gcs"), plugin("minio")]);
    }

    #[test]
    fn an_unknown_type_is_answered_with_the_list_and_the_nearest_name() {
        let plugins = [plugin("gcs"), plugin("local"), plugin("minio")];
        let error = select(&plugins, &["minoi".to_owned()]).expect_err("`minoi` is no type").to_string();
        assert!(error.contains("did you mean `minio`?"), "{error}");
        assert!(error.contains("gcs, local, minio"), "{error}");

        let error = select(&plugins, &["cassandra".to_owned()]).expect_err("no such type").to_string();
        assert!(!error.contains("did you mean"), "nothing is near: {error}");
    }

    #[test]
    fn no_types_mean_all_plugins() {
        let plugins = [plugin("gcs"), plugin("local")];
        assert_eq!(select(&plugins, &[]).expect("all"), plugins);
        assert_eq!(select(&plugins, &["local".to_owned()]).expect("one"), [plugin("local")]);
    }

    #[test]
    fn the_built_library_is_recognised_by_its_crate() {
        let mut built = Built::default();
        let message = |manifest: &str| {
            json!({ "reason": "compiler-artifact", "manifest_path": manifest,
                "target": { "name": "anything", "kind": ["cdylib"] },
                "filenames": ["/t/debug/anything.rmeta", format!("/t/debug/anything{}", env::consts::DLL_SUFFIX)] })
        };
        collect_artifact(&message("/w/plugins/local/Cargo.toml"), &[plugin("local")], &mut built);
        collect_artifact(&message("/w/tests/fixtures/panics/Cargo.toml"), &[plugin("local")], &mut built);
        assert_eq!(built.libraries, [PathBuf::from(format!("/t/debug/anything{}", env::consts::DLL_SUFFIX))]);
    }
}
