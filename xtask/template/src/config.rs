//! What may be set, and what was. The host reads `.env` by [`schema`]; this crate reads no variable itself.

use storage_core::{ConfigField, ConfigKind, ConfigReader, ConfigSchema, OpenRequest, Result};

/// How this backend works.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// How much all objects together may hold, in bytes.
    pub(crate) max_bytes: u64,
}

/// What may be set. Mark a key that must be given with `.required()` and a password with `.secret()`.
pub(crate) fn schema() -> ConfigSchema {
    ConfigSchema {
        fields: vec![
            ConfigField::new(
                "max_bytes",
                "{{VARIABLE}}_MAX_BYTES",
                ConfigKind::Size,
                "How much all objects together may hold.",
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
        let config = Self { max_bytes: reader.size_bytes("max_bytes") };
        if config.max_bytes == 0 {
            reader.fault("max_bytes", "is 0, so that nothing could be saved");
        }
        reader.finish(&format!("backend {}", request.name))?;
        Ok(config)
    }
}
