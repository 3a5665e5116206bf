//! [`Staging`]: where files are written before they appear under their names.
//!
//! Every open store has a directory of its own below `staging/` and holds a lock on it, which the system drops
//! when the process dies, however it dies. Whoever opens the store later removes the directories that nobody
//! holds, so that no file of a living process is touched and the objects need not be searched.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, Mode};
use rustix::io::Errno;
use storage_core::Result;

use crate::error::{fault, io_fault};
use crate::folder::{Folder, Lock, try_lock_exclusive, wait_for_lock};

/// The staging directory of one open store.
#[derive(Debug)]
pub(crate) struct Staging {
    /// `staging/`.
    all: Folder,
    /// The name of the own directory.
    name: String,
    /// The own directory; its lock is held as long as this is open.
    own: Folder,
    file_mode: Mode,
    next: AtomicU64,
}

impl Staging {
    /// Makes a directory for this store. `recover` is given what every dead process left, by the path of its
    /// directory, before that is removed.
    ///
    /// # Errors
    ///
    /// Those of the file system; `ReadOnly` where it is read-only; those of `recover`.
    pub(crate) fn open(
        all: Folder,
        file_mode: Mode,
        directory_mode: Mode,
        recover: impl Fn(&Folder, &str) -> Result<()>,
    ) -> Result<Self> {
        let failed = fault("prepare the staging folder");
        // Held while a directory exists whose own lock is not yet taken. Dropped with the descriptor.
        let registry = all.open_directory("").map_err(&failed)?;
        wait_for_lock(&registry, Lock::Exclusive).map_err(&failed)?;
        for left in all.names("").map_err(&failed)? {
            let held = match all.open_directory(&left) {
                Ok(directory) => !try_lock_exclusive(&directory).map_err(&failed)?,
                // A file or a link: nothing that a store puts here.
                Err(_) => true,
            };
            if !held {
                recover(&all, &left)?;
                all.remove_tree(&left).map_err(fault("remove what a dead process left"))?;
                tracing::info!(directory = left, "removed what a dead process left in the staging folder");
            }
        }
        let name = uuid::Uuid::now_v7().simple().to_string();
        let own = all.child(&name, directory_mode).map_err(&failed)?;
        wait_for_lock(&own, Lock::Exclusive).map_err(&failed)?;
        Ok(Self { all, name, own, file_mode, next: AtomicU64::new(0) })
    }

    /// Creates a file that is removed again unless it is published.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub(crate) fn create(self: &Arc<Self>, suffix: &'static str) -> Result<Staged> {
        let name = self.new_name(suffix);
        let file = self.own.create_file(&name, self.file_mode).map_err(fault("create a file"))?;
        Ok(Staged { staging: Arc::clone(self), name, file, published: false })
    }

    /// Makes a second name for an open file, removed again unless it is published.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub(crate) fn link(self: &Arc<Self>, directory: impl AsFd, name: &str, file: File) -> Result<Staged> {
        let own_name = self.new_name("link");
        rustix::fs::linkat(directory, name, &self.own, &own_name, AtFlags::empty())
            .map_err(fault("link the content"))?;
        Ok(Staged { staging: Arc::clone(self), name: own_name, file, published: false })
    }

    /// Creates a directory that is removed again, with what is in it, unless it is published.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub(crate) fn create_directory(
        self: &Arc<Self>,
        suffix: &'static str,
        mode: Mode,
    ) -> Result<StagedDirectory> {
        let name = self.new_name(suffix);
        let made = rustix::fs::mkdirat(&self.own, &name, mode).and_then(|()| self.own.open_directory(&name));
        let fd = made.map_err(fault("create a folder"))?;
        Ok(StagedDirectory { staging: Arc::clone(self), name, fd, published: false })
    }

    /// Takes a directory out of its place in one step and then removes it.
    /// Gives `false` where there is none.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub(crate) fn discard_directory(&self, from: &Folder, name: &str) -> Result<bool> {
        let own_name = self.new_name("discarded");
        match rustix::fs::renameat(from, name, &self.own, &own_name) {
            Err(Errno::NOENT) => return Ok(false),
            moved => moved.map_err(fault("remove a folder"))?,
        }
        self.own.remove_tree(&own_name).map_err(fault("remove a folder"))?;
        Ok(true)
    }

    fn new_name(&self, suffix: &'static str) -> String {
        format!("{:x}.{suffix}", self.next.fetch_add(1, Ordering::Relaxed))
    }

    fn remove(&self, name: &str) {
        // Whatever resists is removed when a store opens after this one is gone.
        if let Err(errno) = self.own.remove_file(name) {
            tracing::warn!(name, error = %errno, "could not remove a file from the staging folder");
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Err(errno) = rustix::fs::unlinkat(&self.all, &self.name, AtFlags::REMOVEDIR) {
            tracing::debug!(name = self.name, error = %errno, "the staging folder stays until the next opening");
        }
    }
}

/// A file that is being written and has no name of its own yet. Dropped, it is gone.
#[derive(Debug)]
pub(crate) struct Staged {
    staging: Arc<Staging>,
    name: String,
    file: File,
    published: bool,
}

impl Staged {
    /// The open file.
    pub(crate) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Waits until the disk has the content.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub(crate) fn sync(&self) -> Result<()> {
        sync(&self.file)
    }

    /// What waits until the disk has the content that was written up to now, while more is written.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub(crate) fn begin_sync(&self) -> Result<impl FnOnce() -> Result<()> + Send + use<>> {
        let file = self.file.try_clone().map_err(io_fault("bring the content to the disk"))?;
        Ok(move || sync(&file))
    }

    /// Gives the file its name in a directory, in place of what has it. The file stays staged where that fails.
    pub(crate) fn publish(&mut self, directory: impl AsFd, name: &str) -> rustix::io::Result<()> {
        rustix::fs::renameat(&self.staging.own, &self.name, directory, name)?;
        self.published = true;
        Ok(())
    }
}

fn sync(file: &File) -> Result<()> {
    rustix::fs::fdatasync(file).map_err(fault("bring the content to the disk"))
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.published {
            self.staging.remove(&self.name);
        }
    }
}

/// A directory that is being filled and has no name of its own yet. Dropped, it is gone.
#[derive(Debug)]
pub(crate) struct StagedDirectory {
    staging: Arc<Staging>,
    name: String,
    fd: OwnedFd,
    published: bool,
}

impl StagedDirectory {
    /// The open directory.
    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Gives the directory its name in another one, where nothing must have it.
    pub(crate) fn publish(mut self, directory: impl AsFd, name: &str) -> rustix::io::Result<()> {
        rustix::fs::renameat(&self.staging.own, &self.name, directory, name)?;
        self.published = true;
        Ok(())
    }
}

impl Drop for StagedDirectory {
    fn drop(&mut self) {
        if !self.published
            && let Err(errno) = self.staging.own.remove_tree(&self.name)
        {
            tracing::warn!(name = self.name, error = %errno, "could not remove a folder from the staging folder");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(directory: &tempfile::TempDir) -> Folder {
        Folder::new(File::open(directory.path()).expect("a directory").into())
    }

    fn open(directory: &tempfile::TempDir) -> Arc<Staging> {
        let staging = Staging::open(all(directory), Mode::RWXU, Mode::RWXU, |_, _| Ok(()));
        Arc::new(staging.expect("a staging folder"))
    }

    #[test]
    fn a_dropped_file_is_gone_and_a_published_one_stays() {
        let directory = tempfile::tempdir().expect("a directory");
        let staging = open(&directory);
        drop(staging.create("content").expect("a file"));
        let mut kept = staging.create("content").expect("a file");
        kept.publish(&staging.all, "kept").expect("published");
        drop(kept);
        assert!(directory.path().join("kept").exists());
        drop(staging);
        assert_eq!(
            std::fs::read_dir(directory.path()).expect("a directory").count(),
            1,
            "nothing else is left"
        );
    }

    #[test]
    fn only_what_the_dead_left_is_swept() {
        let directory = tempfile::tempdir().expect("a directory");
        let dead = directory.path().join("dead");
        std::fs::create_dir_all(dead.join("1.upload")).expect("a directory");
        std::fs::write(dead.join("0.content"), "half").expect("a file");
        std::fs::write(dead.join("1.upload/part"), "half").expect("a file");
        let living = open(&directory);
        let file = living.create("content").expect("a file");
        assert!(!dead.exists());
        let second = open(&directory);
        assert!(
            directory.path().join(&living.name).join(&file.name).exists(),
            "it belongs to a living store"
        );
        drop((file, second));
    }
}
