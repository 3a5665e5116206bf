//! Finding, loading and opening plugins, on real libraries: each fault has its code, and none harms a healthy plugin.

use std::collections::BTreeMap;
use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use storage_core::{Error, ErrorKind, ObjectKey};
use storage_host::config::{Config, LoadOptions, Loaded};
use storage_host::manager::StorageManager;
use storage_host::plugin::{BackendRegistry, Code, Diagnoses, Diagnosis, PluginStatus, Verdict};
use storage_tests::plugins::plugin_path;
use tempfile::TempDir;

/// A host's directory with `plugins/` in it.
struct Site {
    directory: TempDir,
}

impl Site {
    /// A site with the probe, a plugin that works.
    fn with_probe() -> Self {
        let site = Self::empty();
        site.install("probe");
        site
    }

    fn empty() -> Self {
        let site = Self { directory: tempfile::tempdir().expect("a temporary directory") };
        fs::create_dir(site.plugins()).expect("the plugin directory");
        site
    }

    fn plugins(&self) -> PathBuf {
        self.directory.path().join("plugins")
    }

    /// The file of the plugin for a type, as the build names it.
    fn file(&self, backend_type: &str) -> PathBuf {
        self.plugins().join(format!("{DLL_PREFIX}storage_backend_{backend_type}{DLL_SUFFIX}"))
    }

    /// Puts a fixture's library in its place.
    fn install(&self, fixture: &str) -> PathBuf {
        let file = self.file(&fixture.replace('-', "_"));
        fs::copy(plugin_path(fixture), &file).expect("the fixture is copied");
        file
    }

    fn registry(&self) -> BackendRegistry {
        BackendRegistry::discover(&[self.plugins()])
    }

    fn load(&self, backend_type: &str) -> Result<(), Diagnosis> {
        self.registry().load(backend_type).map(drop)
    }

    /// Opens what this `storage.toml` and these variables configure.
    async fn open(&self, toml: &str, variables: &[(&str, &str)]) -> Result<StorageManager, Diagnoses> {
        let loaded = self.configure(toml, variables);
        StorageManager::open(&loaded, BackendRegistry::discover(&loaded.config.plugin_dirs)).await
    }

    fn configure(&self, toml: &str, variables: &[(&str, &str)]) -> Loaded {
        fs::write(self.directory.path().join("storage.toml"), toml).expect("the configuration is written");
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), value.into()));
        let options = LoadOptions {
            directory: self.directory.path().to_owned(),
            environment: variables.collect::<BTreeMap<_, _>>(),
            ..LoadOptions::default()
        };
        Config::load(options).expect("the configuration is sound so far")
    }
}

/// The diagnosis of a type whose plugin cannot be used. It keeps its code and its way out when it becomes an error.
fn refusal(site: &Site, backend_type: &str) -> Diagnosis {
    let diagnosis = site.load(backend_type).expect_err("it cannot be loaded");
    let error = Error::from(diagnosis.clone());
    assert_eq!(error.kind(), ErrorKind::PluginLoad);
    let fact =
        |name: &str| error.context().find(|(found, _)| *found == name).map(|(_, value)| value.to_owned());
    assert_eq!(fact("code").as_deref(), Some(diagnosis.code.as_str()));
    assert_eq!(fact("next_step").as_deref(), Some(diagnosis.next_step.as_str()));
    assert_eq!(fact("path"), diagnosis.path.as_ref().map(|path| path.display().to_string()));
    diagnosis
}

/// Writes a changed copy of the probe's library.
fn alter(site: &Site, backend_type: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(plugin_path("probe")).expect("the probe's bytes");
    change(&mut bytes);
    fs::write(site.file(backend_type), bytes).expect("the changed copy");
}

/// Replaces a line of the manifest by another of the same length.
fn replace_line(bytes: &mut [u8], line: &str, by: &str) {
    assert_eq!(line.len(), by.len());
    let found = bytes.windows(line.len()).position(|window| window == line.as_bytes()).expect("the line");
    bytes[found..found + line.len()].copy_from_slice(by.as_bytes());
}

#[test]
fn a_file_that_is_no_library_is_refused_by_name() {
    let site = Site::with_probe();
    let whole = fs::read(plugin_path("probe")).expect("the probe's bytes");
    for (backend_type, content) in
        [("text", b"not a library at all\n".as_slice()), ("empty", b""), ("truncated", &whole[..8192])]
    {
        fs::write(site.file(backend_type), content).expect("the file");
        let diagnosis = refusal(&site, backend_type);
        assert_eq!(diagnosis.code, Code::NotALibrary, "{diagnosis}");
        assert_eq!(diagnosis.path, Some(site.file(backend_type)));
        assert!(
            diagnosis.next_step.contains(&format!("cargo xtask build-plugins {backend_type}")),
            "{diagnosis}"
        );
    }
    site.load("probe").expect("the healthy plugin beside them");
}

#[test]
fn a_library_that_is_no_storage_plugin_is_refused() {
    let site = Site::with_probe();
    site.install("stranger");
    let diagnosis = refusal(&site, "stranger");
    assert_eq!(diagnosis.code, Code::NotAPlugin, "{diagnosis}");
    site.load("probe").expect("the healthy plugin beside it");
}

#[cfg(target_os = "linux")]
#[test]
fn a_library_for_another_machine_is_refused_and_both_are_named() {
    let site = Site::with_probe();
    // The machine of an ELF file stands at offset 18: 183 is AArch64, 62 is x86-64.
    let other = if cfg!(target_arch = "x86_64") { 183 } else { 62 };
    alter(&site, "other", |bytes| bytes[18] = other);
    fs::write(site.plugins().join("shelf.dll"), "MZ").expect("a library of another system, or half of one");
    let registry = site.registry();
    let found = |path: PathBuf| registry.list_all_backends().iter().find(move |found| found.path == path);
    let windows = found(site.plugins().join("shelf.dll")).expect("it is listed");
    assert_eq!(windows.refusal().expect("refused").code, Code::NotALibrary);
    let other = found(site.file("other")).expect("it is listed");
    assert_eq!(other.backend_type.as_deref(), Some("probe"), "which its manifest says");
    let diagnosis = other.refusal().expect("refused");
    assert_eq!(diagnosis.code, Code::WrongArchitecture, "{diagnosis}");
    for name in ["X86_64", "Aarch64"] {
        assert!(diagnosis.cause.contains(name), "{diagnosis}");
    }
    site.load("probe").expect("the healthy plugin beside it");
}

#[test]
fn a_plugin_for_another_interface_is_refused_and_the_side_to_rebuild_is_named() {
    for (line, version, side) in
        [("\nabi=0.9\n", "0.9", "cargo xtask build-plugins"), ("\nabi=9.0\n", "9.0", "newer host")]
    {
        let site = Site::empty();
        alter(&site, "probe", |bytes| replace_line(bytes, "\nabi=1.0\n", line));
        let diagnosis = refusal(&site, "probe");
        assert_eq!(diagnosis.code, Code::AbiMismatch, "{diagnosis}");
        assert!(diagnosis.cause.contains(version) && diagnosis.cause.contains("1.0"), "{diagnosis}");
        assert!(diagnosis.next_step.contains(side), "{diagnosis}");
    }
}

#[test]
fn a_manifest_that_cannot_be_understood_is_refused() {
    let site = Site::empty();
    alter(&site, "probe", |bytes| replace_line(bytes, "\nabi=1.0\n", "\nabi=one\n"));
    assert_eq!(refusal(&site, "probe").code, Code::ManifestMalformed);
}

#[cfg(target_os = "linux")]
#[test]
fn a_plugin_whose_shared_library_is_missing_is_refused_and_the_library_is_named() {
    let site = Site::with_probe();
    let compile = |output: &Path, source: &str, more: &[&str]| {
        let input = output.with_extension("c");
        fs::write(&input, source).expect("the source");
        let mut compiler = Command::new("cc");
        let status = compiler.args(["-shared", "-fPIC", "-o"]).arg(output).arg(&input).args(more).status();
        assert!(status.expect("cc runs").success());
        fs::remove_file(input).expect("the source is removed");
    };
    let needed = site.plugins().join("libneeded-by-nobody-else.so");
    compile(&needed, "int needed(void) { return 1; }", &["-Wl,-soname,libneeded-by-nobody-else.so"]);
    let manifest = "storage-plugin-manifest\\ntype=needy\\ndescription=Needs a library\\nvariable_prefix=NEEDY_\\n\
                    plugin_version=1.0.0\\nabi=1.0\\nstorage_core_version=0.1.0\\nrustc_version=none\\ntarget=none\\n";
    let source = format!(
        "extern int needed(void);\n\
         __attribute__((used, section(\".storage_plugin\"))) const char manifest[] = \"{manifest}\";\n\
         int needy(void) {{ return needed(); }}\n"
    );
    compile(&site.file("needy"), &source, &[needed.to_str().expect("a path in UTF-8")]);
    fs::remove_file(&needed).expect("the needed library is removed");

    let diagnosis = refusal(&site, "needy");
    assert_eq!(diagnosis.code, Code::MissingLibrary, "{diagnosis}");
    assert!(diagnosis.cause.contains("libneeded-by-nobody-else.so"), "{diagnosis}");
    site.load("probe").expect("the healthy plugin beside it");
}

#[test]
fn a_plugin_that_fails_while_it_is_loaded_is_refused() {
    let site = Site::with_probe();
    site.install("no-schema");
    let diagnosis = refusal(&site, "no_schema");
    assert_eq!(diagnosis.code, Code::InitFailed, "{diagnosis}");
    assert!(diagnosis.cause.contains("the schema panics"), "{diagnosis}");
    site.load("probe").expect("the healthy plugin beside it");
}

#[test]
fn two_files_for_one_type_are_refused_and_both_are_named() {
    let site = Site::with_probe();
    let second = site.file("zzz");
    fs::copy(plugin_path("probe"), &second).expect("a second copy");
    let diagnosis = refusal(&site, "probe");
    assert_eq!(diagnosis.code, Code::Duplicate);
    for file in [site.file("probe"), second] {
        assert!(diagnosis.cause.contains(&file.display().to_string()), "{diagnosis}");
    }
    assert!(site.registry().list_available_backends().is_empty());
}

#[test]
fn the_first_directory_wins_and_what_it_hides_is_reported() {
    let (first, second) = (Site::with_probe(), Site::with_probe());
    let again = first.plugins().join("..").join("plugins");
    let registry = BackendRegistry::discover(&[first.plugins(), again, second.plugins()]);
    assert_eq!(registry.get_backend_info("probe").expect("usable").path, first.file("probe"));
    let hidden: Vec<_> = registry
        .list_all_backends()
        .iter()
        .filter_map(|found| match &found.verdict {
            Verdict::Shadowed { by } => Some((found.path.clone(), by.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(hidden, [(second.file("probe"), first.file("probe"))]);
    assert_eq!(registry.list_available_backends(), ["probe"]);
}

#[test]
fn a_broken_plugin_does_not_hide_a_healthy_one_in_a_later_directory() {
    let (broken, healthy) = (Site::empty(), Site::with_probe());
    fs::write(broken.file("probe"), "not a library").expect("the broken file");
    let mut registry = BackendRegistry::discover(&[broken.plugins(), healthy.plugins()]);
    let module = registry.load("probe").expect("the healthy one");
    assert_eq!(module.path(), healthy.file("probe"));
}

#[test]
fn without_a_plugin_the_near_name_and_what_was_searched_are_told() {
    let site = Site::with_probe();
    fs::write(site.plugins().join(format!("odd{DLL_SUFFIX}")), "not a library").expect("a stray file");
    let missing = site.directory.path().join("nowhere");
    let mut registry = BackendRegistry::discover(&[site.plugins(), missing.clone()]);
    let diagnosis = registry.load("prope").map(drop).expect_err("there is no such type");
    assert_eq!(diagnosis.code, Code::NotFound);
    for part in ["\"prope\"", "probe", "refused", "(does not exist)"] {
        assert!(diagnosis.cause.contains(part), "{part} is not in: {diagnosis}");
    }
    assert!(diagnosis.next_step.contains("did you mean probe?"), "{diagnosis}");
    assert!(diagnosis.next_step.contains("cargo xtask build-plugins prope"), "{diagnosis}");

    let diagnosis = BackendRegistry::discover(&[missing]).load("probe").map(drop).expect_err("no directory");
    assert_eq!(diagnosis.code, Code::DirectoryMissing);
    assert!(diagnosis.next_step.contains("PLUGIN_DIR"), "{diagnosis}");
}

#[test]
fn discovery_runs_nothing_and_loading_tells_the_keys() {
    let site = Site::with_probe();
    let mut registry = site.registry();
    let info = registry.get_backend_info("probe").expect("usable");
    assert_eq!(info.status, PluginStatus::Available);
    assert_eq!(info.manifest.description, "Misbehaves on demand");
    let schema = registry.load("probe").expect("it loads").schema();
    assert!(schema.fields.iter().any(|field| field.variable == "PROBE_MODE"));
    assert_eq!(registry.get_backend_info("probe").expect("usable").status, PluginStatus::Loaded(schema));
}

#[tokio::test]
async fn two_backends_of_one_type_are_independent() {
    let site = Site::with_probe();
    fs::write(site.file("broken"), "not a library").expect("a broken file that nobody needs");
    let toml = r#"
        primary_backend = "first"
        [backends.first]
        type = "probe"
        [backends.second]
        type = "probe"
        mode = "panic"
    "#;
    let manager = site.open(toml, &[]).await.expect("both open");
    let listed = manager.list_backends();
    assert_eq!(listed.keys().collect::<Vec<_>>(), ["first", "second"]);
    assert!(listed["first"].is_primary && !listed["second"].is_primary);
    assert!(listed.values().all(|backend| backend.status == "ready"));

    let first = &manager.backend("first").expect("open").backend;
    assert_eq!(first.invoke("name", json!({})).await.expect("it answers"), json!("first"));
    let key = ObjectKey::new("a").expect("a legal key");
    let error = manager.backend("second").expect("open").backend.exists(&key).await.expect_err("it panics");
    assert_eq!((error.kind(), error.backend()), (ErrorKind::PluginPanicked, Some("second")));
    assert_eq!(error.operation(), Some("exists"));
}

#[tokio::test]
async fn every_fault_of_every_backend_is_told_at_once() {
    let site = Site::with_probe();
    let toml = r#"
        primary_backend = "first"
        [backends.first]
        type = "probe"
        mode = "fail_in_open"
        [backends.second]
        type = "probe"
        mode = "sideways"
        integer = "seven"
        [backends.third]
        type = "minio"
        [backends.fourth]
        type = "probe"
        mode = "panic_in_open"
    "#;
    let diagnoses = site.open(toml, &[]).await.err().expect("nothing can open");
    let codes: Vec<_> = diagnoses.iter().map(|diagnosis| diagnosis.code).collect();
    assert_eq!(codes, [Code::NotFound, Code::ConfigInvalid, Code::OpenFailed, Code::OpenFailed]);
    let text = diagnoses.to_string();
    for part in [
        "needed_by: third",
        "second.mode (PROBE_MODE): \"sideways\" is not one of work",
        "second.integer (PROBE_INTEGER): the value is not a whole number",
        "the backend first did not open: the probe does not open",
        "check the credentials of first",
        "the backend fourth did not open",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    assert!(!text.contains("seven"), "the value of a secret is told:\n{text}");
}

#[tokio::test]
async fn a_primary_that_its_provider_refuses_stops_the_host_with_the_providers_kind() {
    let site = Site::with_probe();
    let variables = [("PRIMARY_BACKEND", "probe"), ("PROBE_MODE", "fail_in_open")];
    let diagnoses = site.open("", &variables).await.err().expect("it does not open");
    let error = Error::from(diagnoses);
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert!(error.context().any(|fact| fact == ("code", "backend_open_failed")), "{error}");
}

#[tokio::test]
async fn another_backend_that_its_provider_refuses_is_listed_as_unavailable() {
    let site = Site::with_probe();
    let toml = r#"
        primary_backend = "first"
        [backends.first]
        type = "probe"
        [backends.second]
        type = "probe"
        mode = "fail_in_open"
    "#;
    let manager = site.open(toml, &[]).await.expect("the primary opens");
    let second = &manager.list_backends()["second"];
    assert_eq!(second.info.backend_type, "probe");
    assert!(second.status.starts_with("unavailable: the backend second did not open"), "{}", second.status);
    let error = manager.backend("second").err().expect("it is not open");
    assert_eq!((error.kind(), error.backend()), (ErrorKind::Unavailable, Some("second")));

    let health = manager.health().await;
    assert!(health["first"].result.is_ok() && health["second"].result.is_err());
    manager.close().await.expect("the open one closes");
}

#[tokio::test]
async fn a_variable_that_nobody_knows_is_told_with_its_near_name() {
    let site = Site::with_probe();
    let variables = [("PRIMARY_BACKEND", "probe"), ("PROBE_MOED", "work")];
    let diagnoses = site.open("", &variables).await.err().expect("it does not open");
    let text = diagnoses.to_string();
    assert!(text.contains("PROBE_MOED") && text.contains("PROBE_MODE"), "{text}");
}
