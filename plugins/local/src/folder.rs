//! [`Folder`]: an open directory from which no path leads out.
//!
//! Every path of the store is opened through here, relative to a directory that was opened once. Symbolic
//! links are not followed at any place of a path.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags};
use rustix::io::{Errno, Result};

/// A directory, held open.
#[derive(Debug)]
pub(crate) struct Folder {
    fd: OwnedFd,
    whole_paths: bool,
}

impl Folder {
    /// Takes an open directory and finds out how paths below it can be opened safely.
    pub(crate) fn new(fd: OwnedFd) -> Self {
        let whole_paths =
            open_whole(fd.as_fd(), ".", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).is_ok();
        Self { fd, whole_paths }
    }

    /// Opens the directory with this name, which is created where it does not exist.
    pub(crate) fn child(&self, name: &str, mode: Mode) -> Result<Self> {
        let made = rustix::fs::mkdirat(&self.fd, name, mode);
        match (made, self.open_directory(name)) {
            // A store on a read-only file system can still be read, if it is there.
            (Ok(()) | Err(Errno::EXIST | Errno::ROFS), Ok(fd)) => {
                Ok(Self { fd, whole_paths: self.whole_paths })
            }
            (Ok(()) | Err(Errno::EXIST), Err(errno)) | (Err(errno), _) => Err(errno),
        }
    }

    /// Opens a file for reading.
    pub(crate) fn open_file(&self, path: &str) -> Result<File> {
        self.open(path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).map(File::from)
    }

    /// Opens a file for reading if that takes no wait: the whole path is in the system's memory. None where it would
    /// wait, or in any other trouble.
    #[cfg(target_os = "linux")]
    pub(crate) fn open_cached(&self, path: &str) -> Option<File> {
        if !self.whole_paths {
            return None;
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let resolve = BENEATH | rustix::fs::ResolveFlags::CACHED;
        rustix::fs::openat2(&self.fd, path, flags, Mode::empty(), resolve).ok().map(File::from)
    }

    /// Other systems do not tell what they have in memory.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn open_cached(&self, _: &str) -> Option<File> {
        None
    }

    /// The length of a file, in bytes; none where there is no file. One call, for which a path must be known to have no
    /// links among its folders: that one beside the file was opened through here just before.
    pub(crate) fn file_bytes(&self, path: &str) -> Result<Option<u64>> {
        match rustix::fs::statat(&self.fd, path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {
                Ok(u64::try_from(stat.st_size).ok())
            }
            Ok(_) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Opens a directory; the empty path is this one.
    pub(crate) fn open_directory(&self, path: &str) -> Result<OwnedFd> {
        let path = if path.is_empty() { "." } else { path };
        self.open(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())
    }

    /// Opens a file that serves as a lock, created where it does not exist.
    pub(crate) fn open_lock(&self, name: &str, mode: Mode) -> Result<OwnedFd> {
        self.open(name, OFlags::RDWR | OFlags::CREATE, mode)
    }

    /// Creates a file that must not exist.
    pub(crate) fn create_file(&self, name: &str, mode: Mode) -> Result<File> {
        self.open(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, mode).map(File::from)
    }

    /// Opens a directory and creates what is missing of its path. Gives the directory and those in which
    /// something was created, the deepest first, for the caller to sync.
    pub(crate) fn make_directories(&self, path: &str, mode: Mode) -> Result<(OwnedFd, Vec<OwnedFd>)> {
        match self.open_directory(path) {
            Err(Errno::NOENT) => {}
            opened => return opened.map(|fd| (fd, Vec::new())),
        }
        let mut directory = self.open_directory("")?;
        let mut changed = Vec::new();
        for name in path.split('/') {
            let created = match rustix::fs::mkdirat(&directory, name, mode) {
                Ok(()) => true,
                Err(Errno::EXIST) => false,
                Err(errno) => return Err(errno),
            };
            let next = open_step(directory.as_fd(), name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
            let parent = std::mem::replace(&mut directory, next);
            if created {
                changed.insert(0, parent);
            }
        }
        Ok((directory, changed))
    }

    /// Removes directories from this path upwards as long as they are empty. Another process may be about to
    /// put something in; that is why a directory that is not empty is no fault.
    pub(crate) fn remove_empty_directories(&self, path: &str) -> Result<()> {
        let mut rest = path;
        while !rest.is_empty() {
            let (parent, name) = rest.rsplit_once('/').unwrap_or(("", rest));
            match self
                .open_directory(parent)
                .and_then(|parent| rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR))
            {
                Ok(()) | Err(Errno::NOENT) => rest = parent,
                Err(Errno::NOTEMPTY | Errno::EXIST) => return Ok(()),
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// The names in a directory, in no order.
    pub(crate) fn names(&self, path: &str) -> Result<Vec<String>> {
        let mut names = Vec::new();
        self.for_each_name(path, |name| names.push(name.to_owned()))?;
        Ok(names)
    }

    /// Visits the names in a directory, in no order. Names that are not UTF-8 are not of the store.
    pub(crate) fn for_each_name(&self, path: &str, mut visit: impl FnMut(&str)) -> Result<()> {
        let mut directory = Dir::new(self.open_directory(path)?)?;
        while let Some(entry) = directory.read() {
            if let Ok(name) = entry?.file_name().to_str()
                && name != "."
                && name != ".."
            {
                visit(name);
            }
        }
        Ok(())
    }

    /// Removes a file; one that is not there is no fault.
    pub(crate) fn remove_file(&self, path: &str) -> Result<()> {
        let removed = match path.rsplit_once('/') {
            None => rustix::fs::unlinkat(&self.fd, path, AtFlags::empty()),
            Some((parent, name)) => self
                .open_directory(parent)
                .and_then(|parent| rustix::fs::unlinkat(parent, name, AtFlags::empty())),
        };
        match removed {
            Err(Errno::NOENT) => Ok(()),
            done => done,
        }
    }

    /// Removes a directory with the files in it, and theirs.
    pub(crate) fn remove_tree(&self, path: &str) -> Result<()> {
        for name in self.names(path)? {
            let path = format!("{path}/{name}");
            match self.remove_file(&path) {
                // Linux says the one, POSIX the other.
                Err(Errno::ISDIR | Errno::PERM) => self.remove_tree(&path)?,
                done => done?,
            }
        }
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        rustix::fs::unlinkat(self.open_directory(parent)?, name, AtFlags::REMOVEDIR)
    }

    /// Whether the directory itself was removed while it was open.
    pub(crate) fn is_removed(&self) -> Result<bool> {
        Ok(rustix::fs::fstat(&self.fd)?.st_nlink == 0)
    }

    fn open(&self, path: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
        if self.whole_paths {
            return open_whole(self.fd.as_fd(), path, flags, mode);
        }
        let Some((parents, name)) = path.rsplit_once('/') else {
            return open_step(self.fd.as_fd(), path, flags, mode);
        };
        let mut directory = None;
        for parent in parents.split('/') {
            let from = directory.as_ref().map_or(self.fd.as_fd(), AsFd::as_fd);
            directory = Some(open_step(from, parent, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?);
        }
        open_step(directory.as_ref().map_or(self.fd.as_fd(), AsFd::as_fd), name, flags, mode)
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Whom a lock keeps out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lock {
    /// Every other holder.
    Exclusive,
    /// Those that want it alone.
    Shared,
}

/// Waits for the lock on an open file or directory. It is held until that is closed, by a crash too, and
/// counts in this process as in others.
pub(crate) fn wait_for_lock(fd: impl AsFd, lock: Lock) -> Result<()> {
    let operation = match lock {
        Lock::Exclusive => FlockOperation::LockExclusive,
        Lock::Shared => FlockOperation::LockShared,
    };
    rustix::io::retry_on_intr(|| rustix::fs::flock(&fd, operation))
}

/// Takes the lock where nobody holds it.
pub(crate) fn try_lock_exclusive(fd: impl AsFd) -> Result<bool> {
    match rustix::fs::flock(fd, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Refuses links and whatever leads out.
#[cfg(target_os = "linux")]
const BENEATH: rustix::fs::ResolveFlags = rustix::fs::ResolveFlags::BENEATH
    .union(rustix::fs::ResolveFlags::NO_SYMLINKS)
    .union(rustix::fs::ResolveFlags::NO_MAGICLINKS);

/// Opens a path in one call, which refuses links and whatever leads out. Old kernels and some sandboxes lack it.
#[cfg(target_os = "linux")]
fn open_whole(from: BorrowedFd<'_>, path: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    rustix::io::retry_on_intr(|| rustix::fs::openat2(from, path, flags | OFlags::CLOEXEC, mode, BENEATH))
}

#[cfg(not(target_os = "linux"))]
fn open_whole(_: BorrowedFd<'_>, _: &str, _: OFlags, _: Mode) -> Result<OwnedFd> {
    Err(Errno::NOSYS)
}

/// Opens one name, without following a link.
fn open_step(from: BorrowedFd<'_>, name: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::io::retry_on_intr(|| rustix::fs::openat(from, name, flags, mode))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const MODE: Mode = Mode::RWXU;

    fn folders(directory: &std::path::Path) -> [Folder; 2] {
        let open = || OwnedFd::from(File::open(directory).expect("a directory"));
        [Folder::new(open()), Folder { fd: open(), whole_paths: false }]
    }

    #[test]
    fn no_path_leads_out_with_and_without_openat2() {
        let outside = tempfile::tempdir().expect("a directory");
        std::fs::write(outside.path().join("secret"), "x").expect("a file");
        let inside = tempfile::tempdir().expect("a directory");
        symlink(outside.path(), inside.path().join("link")).expect("a link");
        symlink(outside.path().join("secret"), inside.path().join("file")).expect("a link");
        for folder in folders(inside.path()) {
            for path in ["link/secret", "file"] {
                assert!(folder.open_file(path).is_err(), "{path}");
            }
            assert!(folder.make_directories("link/below", MODE).is_err());
            assert!(folder.create_file("link/new", MODE).is_err());
            assert!(folder.remove_file("link/secret").is_err());
            assert!(folder.names("link").is_err());
        }
        assert!(outside.path().join("secret").exists() && !outside.path().join("below").exists());
    }

    #[test]
    fn missing_directories_are_made_and_their_parents_told() {
        let inside = tempfile::tempdir().expect("a directory");
        for (folder, path) in folders(inside.path()).into_iter().zip(["a/b/c", "d/e/f"]) {
            assert_eq!(folder.make_directories(path, MODE).expect("made").1.len(), 3);
            assert_eq!(folder.make_directories(path, MODE).expect("there").1.len(), 0);
            folder.create_file(&format!("{}/x", &path[..1]), MODE).expect("a file");
            folder.remove_empty_directories(path).expect("removed");
            assert!(folder.open_directory(&path[..1]).is_ok() && folder.open_directory(&path[..3]).is_err());
        }
    }
}
