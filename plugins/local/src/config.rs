//! The configuration of a local disk: what may be set, and what was.

use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::Mode;
use storage_core::{ConfigField, ConfigKind, ConfigReader, ConfigSchema, OpenRequest, Result};

/// The most old versions that one object keeps: they are told in one document.
pub(crate) const MAX_VERSIONS_KEPT: u64 = 1000;

/// How this store works.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) path: PathBuf,
    pub(crate) create: bool,
    pub(crate) fsync: bool,
    /// How long old versions stay; none where versions are not kept.
    pub(crate) retention: Option<Retention>,
    pub(crate) file_mode: Mode,
    pub(crate) directory_mode: Mode,
    pub(crate) min_free_bytes: u64,
}

/// When an old version goes: as soon as either bound is passed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    /// So many are kept beside the newest.
    pub(crate) count: usize,
    /// So long after they were superseded.
    pub(crate) age: Duration,
}

/// What may be set.
pub(crate) fn schema() -> ConfigSchema {
    let field = ConfigField::new;
    ConfigSchema {
        fields: vec![
            field("path", "LOCAL_STORAGE_PATH", ConfigKind::Path, "The folder that holds the store.")
                .default("./storage"),
            field(
                "create",
                "LOCAL_CREATE",
                ConfigKind::Bool,
                "Whether the folder is created where it does not exist. Turn it off where the folder is a mount \
                 point, so that a disk that is not mounted is noticed.",
            )
            .default(true),
            field(
                "fsync",
                "LOCAL_FSYNC",
                ConfigKind::Bool,
                "Whether a save waits until the disk has it. Without it a power failure may lose what was answered.",
            )
            .default(true),
            field(
                "versioning",
                "LOCAL_VERSIONING",
                ConfigKind::Bool,
                "Whether what is overwritten or deleted is kept as an old version.",
            )
            .default(true),
            field(
                "versions_keep",
                "LOCAL_VERSIONS_KEEP",
                ConfigKind::Integer,
                "How many old versions of an object are kept, 1 to 1000.",
            )
            .default(10),
            field(
                "versions_keep_for",
                "LOCAL_VERSIONS_KEEP_FOR",
                ConfigKind::Duration,
                "How long an old version is kept after it was overwritten or deleted.",
            )
            .default("30days"),
            field(
                "file_mode",
                "LOCAL_FILE_MODE",
                ConfigKind::Text,
                "The permissions of new files, in octal, before the umask. Folders may be entered by whoever may \
                 read.",
            )
            .default("0600"),
            field(
                "min_free",
                "LOCAL_MIN_FREE",
                ConfigKind::Size,
                "Health reports a problem when less than this is free on the disk.",
            )
            .default("1GiB"),
        ],
    }
}

impl Config {
    /// Reads the configuration of a request to open.
    ///
    /// # Errors
    ///
    /// `ConfigInvalid`, with every fault.
    pub(crate) fn read(request: &OpenRequest) -> Result<Self> {
        let schema = schema();
        let mut reader = ConfigReader::new(&schema, &request.config);
        let count = reader.optional_integer("versions_keep");
        if reader.bool("versioning") && count.is_some_and(|count| !(1..=MAX_VERSIONS_KEPT).contains(&count)) {
            reader.fault(
                "versions_keep",
                format!("is not 1 to {MAX_VERSIONS_KEPT}; to keep no versions set versioning to false"),
            );
        }
        let mode_text = reader.string("file_mode");
        let mode = u32::from_str_radix(&mode_text, 8).unwrap_or_default();
        if mode & 0o600 != 0o600 || mode > 0o777 {
            reader.fault(
                "file_mode",
                format!(
                    "{mode_text:?} is not a mode in octal, such as 0640, that lets the owner read and write"
                ),
            );
        }
        let retention = Retention {
            count: count.and_then(|count| usize::try_from(count).ok()).unwrap_or_default(),
            age: reader.duration("versions_keep_for"),
        };
        let config = Self {
            path: reader.path("path"),
            create: reader.bool("create"),
            fsync: reader.bool("fsync"),
            retention: reader.bool("versioning").then_some(retention),
            file_mode: Mode::from_raw_mode(mode),
            // Whoever may read files may enter folders.
            directory_mode: Mode::from_raw_mode(mode | (mode & 0o444) >> 2),
            min_free_bytes: reader.size_bytes("min_free"),
        };
        reader.finish(&format!("backend {}", request.name))?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use storage_core::{ConfigValues, ErrorKind};

    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Config> {
        let mut config = ConfigValues::new();
        for (key, text) in pairs {
            config.set(*key, *text, "test");
        }
        Config::read(&OpenRequest { name: "disk".to_owned(), config, ..OpenRequest::default() })
    }

    #[test]
    fn the_defaults_are_durable_and_private() {
        let config = read(&[]).expect("defaults");
        assert!(config.fsync && config.create && config.retention.is_some());
        assert_eq!((config.file_mode.bits(), config.directory_mode.bits()), (0o600, 0o700));
        assert_eq!(config.path, PathBuf::from("./storage"));
        assert_eq!(read(&[("file_mode", "640")]).expect("mode").directory_mode.bits(), 0o750);
        assert!(read(&[("versioning", "false"), ("versions_keep", "0")]).expect("off").retention.is_none());
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let error = read(&[
            ("fsync", "perhaps"),
            ("versions_keep", "0"),
            ("file_mode", "0944"),
            ("pth", "/x"),
            ("path", ""),
        ])
        .expect_err("faulty");
        assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
        let text = error.to_string();
        for part in [
            "LOCAL_FSYNC",
            "set versioning to false",
            "LOCAL_FILE_MODE",
            "did you mean path?",
            "LOCAL_STORAGE_PATH",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }
}
