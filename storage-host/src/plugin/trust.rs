//! Which libraries may be loaded at all, since loading one means running it: those that nobody else may write.
//!
//! Owner and root are trusted. "Others" are everybody (`o+w`) and the members of a group (`g+w`), unless the group's
//! number is the owner's: then it is the private group that many systems give each user. A symbolic link is
//! followed as long as it stays inside its plugin directory; what it leads to is judged like the file itself.

use std::fs;
use std::io;
use std::path::Path;

use super::diagnosis::{Code, Diagnosis};

/// Refuses a plugin directory into which others may put a library.
///
/// One that cannot be looked at is no matter of trust: whoever lists it says why.
pub(super) fn check_directory(directory: &Path) -> Result<(), Diagnosis> {
    if !others_may_write(directory).unwrap_or(false) {
        return Ok(());
    }
    let path = directory.display();
    let cause = format!("others than its owner may write in the plugin directory {path}");
    let next_step =
        format!("make sure that every library in it is yours, then take the right away: chmod go-w {path}");
    Err(Diagnosis::new(Code::DirectoryWritable, cause, next_step).at(directory))
}

/// Refuses a library that others may write, and a link that leads out of its directory.
///
/// A file that cannot be looked at is no matter of trust: whoever reads it says why.
pub(super) fn check_library(directory: &Path, library: &Path) -> Result<(), Diagnosis> {
    let (Ok(directory), Ok(target)) = (directory.canonicalize(), library.canonicalize()) else {
        return Ok(());
    };
    let path = library.display();
    if !target.starts_with(&directory) {
        let cause = format!("{path} is a link to {}, outside of its plugin directory", target.display());
        let next_step =
            "put the library itself into the directory, or name the directory that it lies in in PLUGIN_DIR";
        return Err(Diagnosis::new(Code::LinkLeadsOut, cause, next_step).at(library));
    }
    // A link may lead into a folder of the plugin directory, where the folder decides who may replace the file.
    let between = target.ancestors().take_while(|above| *above != directory);
    for above in between {
        if others_may_write(above).unwrap_or(false) {
            let cause = format!("others than its owner may write {}", above.display());
            let next_step = format!(
                "make sure that the library is what you installed, then take the right away: chmod go-w {}",
                above.display()
            );
            return Err(Diagnosis::new(Code::Writable, cause, next_step).at(library));
        }
    }
    Ok(())
}

/// Whether others than the owner may write a file or directory. Links are followed.
#[cfg(unix)]
pub(super) fn others_may_write(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;

    let metadata = fs::metadata(path)?;
    Ok(mode_lets_others_write(metadata.mode(), metadata.uid(), metadata.gid()))
}

/// Where rights are lists (Windows), the system's own tools are the place to look after them.
#[cfg(not(unix))]
pub(super) fn others_may_write(path: &Path) -> io::Result<bool> {
    fs::metadata(path).map(|_| false)
}

#[cfg(unix)]
fn mode_lets_others_write(mode: u32, owner: u32, group: u32) -> bool {
    mode & 0o002 != 0 || (mode & 0o020 != 0 && group != owner)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_owners_private_group_is_nobody_else() {
        assert!(!mode_lets_others_write(0o100_755, 1000, 50));
        assert!(!mode_lets_others_write(0o100_775, 1000, 1000));
        assert!(mode_lets_others_write(0o100_775, 1000, 50));
        assert!(mode_lets_others_write(0o100_757, 1000, 1000));
        assert!(mode_lets_others_write(0o041_777, 0, 0), "in a sticky folder others may still add files");
    }
}
