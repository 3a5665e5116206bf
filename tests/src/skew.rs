//! Plugins and a host that are built with another `storage-core` than this one: older, newer, incompatible, or
//! with another runtime.
//!
//! Each variant is this tree's `storage-core` with a few edits, built by cargo in a workspace of its own below
//! the target folder, the way an author elsewhere would build it. What is built is kept, so that only the first
//! run, or one after a change, takes its time.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

/// With what a plugin is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// A `storage-core` that does not know `close` yet.
    Older,
    /// A `storage-core` of the minor after this one: with a method, a kind of error, an option and a fact more.
    Newer,
    /// A `storage-core` in which a struct has changed and the version has not.
    Incompatible,
    /// This `storage-core`, and another minor of tokio.
    OtherTokio,
}

/// What one variant is made of: the version of tokio, and edits `(file of storage-core, text, replacement)`.
struct Recipe {
    name: &'static str,
    tokio: Option<&'static str>,
    edits: &'static [(&'static str, &'static str, &'static str)],
}

const OLDER: Recipe = Recipe {
    name: "older",
    tokio: None,
    edits: &[
        (
            "src/abi/backend.rs",
            "    /// A plugin without it has nothing to end.
    fn close(&self, call: AbiCall) -> Answer<()> {
        drop(call);
        FfiFuture::new(async { Outcome::ROk(()) })
    }
",
            "",
        ),
        (
            "src/abi/export/operations.rs",
            "    fn close(&self, call: AbiCall) -> Answer<()> {
        self.run(&call, \"close\", |backend, _| async move { backend.close().await })
    }
",
            "",
        ),
        (
            "src/abi/import.rs",
            "    async fn close(&self) -> Result<()> {
        receive(self.plugin.close(AbiCall::current())).await
    }
",
            "",
        ),
    ],
};

const NEWER: Recipe = Recipe {
    name: "newer",
    tokio: None,
    edits: &[
        ("src/abi/manifest.rs", "        \"1.0\"\n", "        \"1.1\"\n"),
        ("src/abi/manifest.rs", "{ major: 1, minor: 0 };", "{ major: 1, minor: 1 };"),
        // A method.
        (
            "src/abi/backend.rs",
            "        FfiFuture::new(async { Outcome::ROk(()) })
    }
",
            "        FfiFuture::new(async { Outcome::ROk(()) })
    }
    fn verify(&self, call: AbiCall, key: RStr<'_>) -> Answer<bool> {
        let _ = (call, key);
        FfiFuture::new(async { Outcome::RErr(crate::Error::unsupported(\"verify\").into_abi()) })
    }
",
        ),
        (
            "src/abi/export/operations.rs",
            "    fn close(&self",
            "    fn verify(&self, call: AbiCall, key: RStr<'_>) -> Answer<bool> {
        let key = ObjectKey::new(key);
        self.run(&call, \"verify\", |backend, _| async move { backend.verify(&key?).await })
    }
    fn close(&self",
        ),
        (
            "src/abi/import.rs",
            "    async fn close(&self",
            "    async fn verify(&self, key: &ObjectKey) -> Result<bool> {
        receive(self.plugin.verify(AbiCall::current(), key.as_str().into())).await
    }
    async fn close(&self",
        ),
        (
            "src/backend.rs",
            "    async fn close(&self",
            "    async fn verify(&self, key: &ObjectKey) -> Result<bool> {
        self.exists(key).await
    }
    async fn close(&self",
        ),
        // A kind of error, and an operation that answers it.
        (
            "src/error.rs",
            "    /// A fault of the software itself.\n",
            "    /// The object is kept from readers.
    Quarantined = 99, \"quarantined\";
    /// A fault of the software itself.\n",
        ),
        (
            "src/memory/mod.rs",
            "    async fn exists(&self, key: &ObjectKey) -> Result<bool> {\n",
            "    async fn exists(&self, key: &ObjectKey) -> Result<bool> {
        if key.as_str() == \"quarantined\" {
            return Err(crate::Error::new(crate::ErrorKind::Quarantined, \"kept from readers\"));
        }
",
        ),
        // An option in a request, where it is asked for, and a fact in every answer.
        (
            "src/abi/value/mod.rs",
            "later: $crate::abi::value::Later::new(),",
            "later: $crate::abi::value::newer(stringify!($native)),",
        ),
        (
            "src/abi/value/mod.rs",
            "/// Refuses a request",
            "fn newer(native: &str) -> Later {
    let mut later = Later::new();
    if native == \"DeleteResult\" {
        later.push(Tuple2(\"freed_bytes\".into(), \"7\".into()));
    }
    if native == \"ListOptions\" && super::ASK_FOR_SUFFIX.load(std::sync::atomic::Ordering::SeqCst) {
        later.push(Tuple2(\"suffix\".into(), \".pdf\".into()));
    }
    later
}

/// Refuses a request",
        ),
        (
            "src/abi/mod.rs",
            "mod backend;\n",
            "/// Whether listings ask for a suffix.
pub static ASK_FOR_SUFFIX: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

mod backend;\n",
        ),
    ],
};

const INCOMPATIBLE: Recipe = Recipe {
    name: "incompatible",
    tokio: None,
    edits: &[
        (
            "src/abi/value/structs.rs",
            "    correlation: ROption<RString>,\n",
            "    priority: u32,\n    correlation: ROption<RString>,\n",
        ),
        ("src/abi/value/structs.rs", "Self { correlation: ", "Self { priority: 0, correlation: "),
    ],
};

const OTHER_TOKIO: Recipe = Recipe { name: "other-tokio", tokio: Some("=1.47.1"), edits: &[] };

impl Variant {
    fn recipe(self) -> &'static Recipe {
        match self {
            Variant::Older => &OLDER,
            Variant::Newer => &NEWER,
            Variant::Incompatible => &INCOMPATIBLE,
            Variant::OtherTokio => &OTHER_TOKIO,
        }
    }
}

/// The in-memory backend as a plugin, built with a variant.
///
/// # Errors
///
/// What cargo says, or the edit that no longer fits `storage-core`.
pub fn plugin(variant: Variant) -> Result<PathBuf> {
    build(variant, "plugin", "cdylib")
}

/// A program that uses the plugins whose paths it is given, built with a variant.
///
/// # Errors
///
/// As [`plugin`].
pub fn host(variant: Variant) -> Result<PathBuf> {
    build(variant, "host", "bin")
}

fn build(variant: Variant, package: &str, kind: &str) -> Result<PathBuf> {
    let recipe = variant.recipe();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("tests/ is in the workspace")?;
    let executable = std::env::current_exe()?;
    let target = executable.ancestors().nth(3).context("a test runs from target/PROFILE/deps")?;
    let place = target.join("skew");
    fs::create_dir_all(&place)?;
    // Tests run in processes of their own, and two of them may want the same variant at once.
    let lock = File::create(place.join("lock"))?;
    lock.lock()?;
    let workspace = place.join(recipe.name);
    write_workspace(recipe, root, &workspace)?;
    let package = format!("skew-{package}-{}", recipe.name);
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--message-format=json-render-diagnostics", "--package", &package])
        .current_dir(&workspace)
        .env("CARGO_TARGET_DIR", target)
        // Cargo tells its tests about themselves; the other workspace is none of that.
        .env_remove("CARGO_MANIFEST_DIR")
        .output()
        .context("cargo could not be started")?;
    ensure!(output.status.success(), "{package} was not built:\n{}", String::from_utf8_lossy(&output.stderr));
    for message in String::from_utf8(output.stdout)?.lines() {
        let message: serde_json::Value = serde_json::from_str(message)?;
        let made = &message["target"];
        if made["name"] == package.replace('-', if kind == "bin" { "-" } else { "_" })
            && made["kind"][0] == kind
        {
            let file = message["filenames"][0].as_str().context("an artifact has a file")?;
            return Ok(file.into());
        }
    }
    bail!("cargo built no {kind} of {package}")
}

/// Writes the workspace of a variant. A file that is as it should be is not touched, so that cargo does not build
/// it again.
fn write_workspace(recipe: &Recipe, root: &Path, workspace: &Path) -> Result<()> {
    let read = |path: &Path| fs::read_to_string(path).with_context(|| format!("reading {}", path.display()));
    let mut manifest: toml::Table = toml::from_str(&read(&root.join("Cargo.toml"))?)?;
    let table = manifest.get_mut("workspace").and_then(toml::Value::as_table_mut);
    let table = table.context("the root manifest has a workspace")?;
    // Cargo knows a package by its folder within the workspace: with names of their own the packages of all
    // variants and of this workspace can share a target folder, and so the dependencies that are built there.
    let core = format!("storage-core-{}", recipe.name);
    table.insert("members".to_owned(), vec![core.as_str(), "plugin", "host"].into());
    table.remove("default-members");
    let dependencies = table.get_mut("dependencies").and_then(toml::Value::as_table_mut);
    let dependencies = dependencies.context("the workspace lists dependencies")?;
    dependencies.remove("storage-host");
    let core_path = toml::Table::from_iter([("path".to_owned(), core.as_str().into())]);
    dependencies.insert("storage-core".to_owned(), core_path.into());
    if let Some(version) = recipe.tokio {
        let tokio = dependencies.get_mut("tokio").context("tokio is among them")?;
        match tokio {
            toml::Value::Table(table) => drop(table.insert("version".to_owned(), version.into())),
            other => *other = version.into(),
        }
    }
    write(&workspace.join("Cargo.toml"), &toml::to_string(&manifest)?)?;
    if !workspace.join("Cargo.lock").exists() {
        write(&workspace.join("Cargo.lock"), &read(&root.join("Cargo.lock"))?)?;
    }
    let name = |text: &str| text.replace("VARIANT", recipe.name);
    for package in ["plugin", "host"] {
        let from = root.join("tests/fixtures/skew").join(package);
        write(&workspace.join(package).join("Cargo.toml"), &name(&read(&from.join("Cargo.toml.in"))?))?;
    }
    let code = read(&root.join("tests/fixtures/plugins/memory/src/lib.rs"))?;
    write(&workspace.join("plugin/src/lib.rs"), &code)?;
    let code = read(&root.join("tests/fixtures/skew/host/src/main.rs"))?;
    write(&workspace.join("host/src/main.rs"), &code)?;
    let mut edits: Vec<_> = recipe.edits.iter().collect();
    write_edited(&root.join("storage-core"), Path::new(""), &workspace.join(core), &mut edits)?;
    ensure!(edits.is_empty(), "storage-core has no file {} any more", edits[0].0);
    Ok(())
}

/// Copies a folder with its edits, and takes those that were made from the list.
fn write_edited(
    from: &Path,
    folder: &Path,
    to: &Path,
    edits: &mut Vec<&(&'static str, &'static str, &'static str)>,
) -> Result<()> {
    for entry in fs::read_dir(from.join(folder))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            write_edited(from, &path, to, edits)?;
            continue;
        }
        let mut text = fs::read_to_string(entry.path())?;
        let (here, elsewhere): (Vec<_>, Vec<_>) =
            edits.iter().copied().partition(|edit| Path::new(edit.0) == path);
        *edits = elsewhere;
        for (file, old, new) in here {
            let places = text.matches(old).count();
            ensure!(
                places == 1,
                "{file} holds this {places} times and not once; fit tests/src/skew.rs:\n{old}"
            );
            text = text.replace(old, new);
        }
        write(&to.join(path), &text)?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|found| found == text) {
        return Ok(());
    }
    fs::create_dir_all(path.parent().context("a file is in a folder")?)?;
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
