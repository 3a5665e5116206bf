//! Files for what can be read from a disk only: one folder for each thread, in memory where the system has such.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

thread_local! {
    static FOLDER: TempDir = make();
}

fn make() -> TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    folder.expect("a folder for scratch files")
}

/// The folder of this thread.
pub(crate) fn folder() -> PathBuf {
    FOLDER.with(|folder| folder.path().to_owned())
}

/// Writes a file of this thread's folder, or removes it where there is nothing to write.
pub(crate) fn put(name: &str, content: Option<&[u8]>) -> PathBuf {
    let path = folder().join(name);
    match content {
        Some(content) => std::fs::write(&path, content).expect("writing a scratch file"),
        None => match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
            _ => {}
        },
    }
    path
}
