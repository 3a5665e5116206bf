//! Puts built plugins where the host looks for them: `plugins/` beside its executable.
//!
//! A running host has its plugins mapped into memory, so a library is never written in place: the
//! new one is copied beside it and renamed over it, and only when its bytes differ.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context, Result, ensure};

/// Stages libraries in `plugins/` beside them, which is beside the executable too, and returns that folder.
pub(crate) fn stage_beside(libraries: &[PathBuf]) -> Result<PathBuf> {
    let profile_dir = libraries
        .first()
        .and_then(|library| library.parent())
        .context("there is no library to stage, so there is no folder to stage it in")?;
    let folder = profile_dir.join("plugins");
    stage(libraries, &folder)?;
    Ok(folder)
}

/// Copies each library into `folder`, atomically and only when it changed.
pub(crate) fn stage(libraries: &[PathBuf], folder: &Path) -> Result<()> {
    create_dir(folder)?;
    for library in libraries {
        let name = library.file_name().with_context(|| format!("{} names no file", library.display()))?;
        let staged = folder.join(name);
        if same_content(library, &staged)? {
            continue;
        }
        install(library, &staged)?;
        println!("staged {}", staged.display());
    }
    Ok(())
}

/// Creates a folder that only its owner may write: the host refuses to load from any other.
pub(crate) fn create_dir(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    set_mode(folder)
}

/// Copies a file so that a reader sees the old bytes or the new, never a part.
pub(crate) fn install(source: &Path, target: &Path) -> Result<()> {
    let folder = target.parent().with_context(|| format!("{} has no folder", target.display()))?;
    let name = target.file_name().with_context(|| format!("{} names no file", target.display()))?;
    let temporary = folder.join(format!(".{}.{}.tmp", name.display(), process::id()));
    let copied = fs::copy(source, &temporary)
        .with_context(|| format!("copying {} to {}", source.display(), temporary.display()))
        .and_then(|_| set_mode(&temporary))
        .and_then(|()| {
            fs::rename(&temporary, target).with_context(|| format!("replacing {}", target.display()))
        });
    if copied.is_err() {
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                eprintln!("{} stays behind: {error}", temporary.display())
            }
            _ => {}
        }
    }
    copied
}

#[cfg(unix)]
fn set_mode(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    // A generous umask (002 is common) would make the file writable by the group.
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("setting the permissions of {}", path.display()))
}

#[cfg(not(unix))]
fn set_mode(_path: &Path) -> Result<()> {
    Ok(())
}

fn same_content(source: &Path, staged: &Path) -> Result<bool> {
    if !staged.try_exists()? {
        return Ok(false);
    }
    ensure!(staged.is_file(), "{} is not a file: move it away", staged.display());
    let open = |path: &Path| File::open(path).with_context(|| format!("opening {}", path.display()));
    let (source, staged) = (open(source)?, open(staged)?);
    let len_bytes = source.metadata()?.len();
    Ok(len_bytes == staged.metadata()?.len() && equal_bytes(source, staged, len_bytes)?)
}

fn equal_bytes(mut left: File, mut right: File, len_bytes: u64) -> Result<bool> {
    const CHUNK_BYTES: u64 = 1 << 20;
    let mut left_bytes = Vec::new();
    let mut right_bytes = Vec::new();
    let mut remaining_bytes = len_bytes;
    while remaining_bytes > 0 {
        let chunk_bytes = remaining_bytes.min(CHUNK_BYTES);
        left_bytes.clear();
        right_bytes.clear();
        (&mut left).take(chunk_bytes).read_to_end(&mut left_bytes)?;
        (&mut right).take(chunk_bytes).read_to_end(&mut right_bytes)?;
        if left_bytes != right_bytes {
            return Ok(false);
        }
        remaining_bytes -= chunk_bytes;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(folder: &Path, bytes: &[u8]) -> PathBuf {
        let path = folder.join("libstorage_backend_x.so");
        fs::write(&path, bytes).expect("writing the library");
        path
    }

    #[test]
    fn a_library_is_staged_in_plugins_beside_it_and_nothing_else_is_left_there() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let built = library(dir.path(), b"first");
        let folder = stage_beside(&[built]).expect("staging");
        assert_eq!(folder, dir.path().join("plugins"));
        let names: Vec<_> = fs::read_dir(&folder)
            .expect("listing")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        assert_eq!(names, ["libstorage_backend_x.so"]);
    }

    #[cfg(unix)]
    #[test]
    fn an_unchanged_library_is_not_touched_and_a_changed_one_gets_a_new_inode() {
        use std::os::unix::fs::MetadataExt;

        let dir = tempfile::tempdir().expect("a temporary folder");
        let built = library(dir.path(), b"first");
        let staged =
            stage_beside(std::slice::from_ref(&built)).expect("staging").join("libstorage_backend_x.so");
        let inode = || fs::metadata(&staged).expect("the staged library").ino();
        let first = inode();

        stage_beside(std::slice::from_ref(&built)).expect("staging again");
        assert_eq!(inode(), first, "equal bytes are left alone");

        // Same length, so only the bytes can tell the two apart.
        library(dir.path(), b"later");
        stage_beside(std::slice::from_ref(&built)).expect("staging the change");
        assert_ne!(inode(), first, "a mapped library must not be written in place");
        assert_eq!(fs::read(&staged).expect("reading"), b"later");
    }

    #[cfg(unix)]
    #[test]
    fn nobody_but_the_owner_may_write_what_was_staged() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().expect("a temporary folder");
        let built = library(dir.path(), b"bytes");
        fs::set_permissions(&built, fs::Permissions::from_mode(0o775)).expect("a generous umask");
        let folder = stage_beside(&[built]).expect("staging");
        for path in [folder.join("libstorage_backend_x.so"), folder] {
            let mode = fs::metadata(&path).expect("metadata").permissions().mode();
            assert_eq!(mode & 0o022, 0, "{} has mode {mode:o}", path.display());
        }
    }
}
