//! How a backend declares its configuration and reads it.
//!
//! A plugin declares a [`ConfigSchema`]; the host, which knows no provider's keys, gathers the values
//! from wherever they are and hands them over as [`ConfigValues`]. A [`ConfigReader`] turns text into
//! values and collects every fault, so that an operator sees all of them at once.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};

/// The keys that a backend understands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigSchema {
    /// The fields, in the order in which documentation lists them.
    pub fields: Vec<ConfigField>,
}

/// One key of a backend's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigField {
    /// The key inside a backend's own section (`bucket_name`).
    pub key: String,
    /// The environment variable that sets it (`MINIO_BUCKET_NAME`).
    pub variable: String,
    /// The form of its value.
    pub kind: ConfigKind,
    /// Whether the backend cannot open without it.
    pub required: bool,
    /// Whether the value must never be printed.
    pub secret: bool,
    /// The value that stands where none is given.
    pub default: Option<String>,
    /// What it means, in one or two sentences.
    pub description: String,
}

/// The form of a configuration value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigKind {
    /// Any text.
    Text,
    /// `true` or `false`.
    Bool,
    /// A whole number, zero or more.
    Integer,
    /// A number of bytes: `1048576`, `64 MiB`.
    Size,
    /// A span of time: `30s`, `7 days`.
    Duration,
    /// A path on the host's file system.
    Path,
    /// An absolute URL.
    Url,
    /// One of these words.
    Choice(Vec<String>),
}

impl ConfigKind {
    /// The form in words, for error messages and documentation.
    pub fn expected(&self) -> String {
        match self {
            ConfigKind::Text => "text".to_owned(),
            ConfigKind::Bool => "true or false".to_owned(),
            ConfigKind::Integer => "a whole number".to_owned(),
            ConfigKind::Size => "a size such as 1048576 or 64MiB".to_owned(),
            ConfigKind::Duration => "a duration such as 30s or 7days".to_owned(),
            ConfigKind::Path => "a path".to_owned(),
            ConfigKind::Url => "a URL such as https://example.org:9000".to_owned(),
            ConfigKind::Choice(words) => format!("one of {}", words.join(", ")),
        }
    }

    /// Whether a text has this form.
    fn accepts(&self, text: &str) -> bool {
        match self {
            ConfigKind::Text => true,
            ConfigKind::Bool => parse_bool(text).is_some(),
            ConfigKind::Integer => text.parse::<u64>().is_ok(),
            ConfigKind::Size => parse_size(text).is_some(),
            ConfigKind::Duration => parse_duration(text).is_some(),
            ConfigKind::Path => !text.is_empty(),
            ConfigKind::Url => text.split_once("://").is_some_and(|(scheme, rest)| {
                !rest.is_empty() && !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric())
            }),
            ConfigKind::Choice(words) => words.iter().any(|word| word == text),
        }
    }
}

impl ConfigField {
    /// An optional field without a default.
    pub fn new(key: &str, variable: &str, kind: ConfigKind, description: &str) -> Self {
        Self {
            key: key.to_owned(),
            variable: variable.to_owned(),
            kind,
            required: false,
            secret: false,
            default: None,
            description: description.to_owned(),
        }
    }

    /// The same field, which must be given.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// The same field, whose value is never printed.
    #[must_use]
    pub fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// The same field with a value that stands where none is given.
    #[must_use]
    pub fn default(mut self, value: impl fmt::Display) -> Self {
        self.default = Some(value.to_string());
        self
    }
}

/// One value as it was found. `Debug` does not print it, since it may be a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigValue {
    /// The text.
    pub text: String,
    /// Where it was found, for people: `environment`, `.env line 3`, `storage.toml [backends.hot]`.
    pub origin: String,
}

impl fmt::Debug for ConfigValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigValue").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// The values that were found for one backend, by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigValues(BTreeMap<String, ConfigValue>);

impl ConfigValues {
    /// No values.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a value; one that was set before is replaced.
    pub fn set(&mut self, key: impl Into<String>, text: impl Into<String>, origin: impl Into<String>) {
        self.0.insert(key.into(), ConfigValue { text: text.into(), origin: origin.into() });
    }

    /// Takes a value away.
    pub fn remove(&mut self, key: &str) {
        self.0.remove(key);
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&ConfigValue> {
        self.0.get(key)
    }

    /// All values, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ConfigValue)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }
}

/// What is wrong with one key of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFault {
    /// The key.
    pub key: String,
    /// The environment variable that sets it, where the schema has the key.
    pub variable: Option<String>,
    /// Where the faulty value was found.
    pub origin: Option<String>,
    /// What is wrong and what is expected. Never the value of a secret.
    pub problem: String,
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        if let Some(variable) = &self.variable {
            write!(f, " ({variable})")?;
        }
        write!(f, ": {}", self.problem)?;
        match &self.origin {
            Some(origin) => write!(f, ", found in {origin}"),
            None => Ok(()),
        }
    }
}

/// One `ConfigInvalid` error that tells all faults. `what` names whose configuration it is.
pub fn faults_to_error(what: &str, faults: &[ConfigFault]) -> Error {
    let count = match faults {
        [_] => "1 fault".to_owned(),
        more => format!("{} faults", more.len()),
    };
    let error = Error::new(ErrorKind::ConfigInvalid, format!("the configuration of {what} has {count}"));
    faults.iter().fold(error, |error, fault| error.with_context("fault", fault))
}

/// Reads typed values and collects what is wrong with them.
///
/// Getters answer an empty value where the text is faulty, so that reading goes on;
/// [`ConfigReader::finish`] then refuses the whole. Call it before using any value.
#[derive(Debug)]
pub struct ConfigReader<'a> {
    schema: &'a ConfigSchema,
    values: &'a ConfigValues,
    faults: Vec<ConfigFault>,
}

impl<'a> ConfigReader<'a> {
    /// Checks every value and every key against the schema.
    pub fn new(schema: &'a ConfigSchema, values: &'a ConfigValues) -> Self {
        Self { schema, values, faults: schema.check(values) }
    }

    /// The text of a key: as given, else its default.
    ///
    /// # Panics
    ///
    /// If the schema does not declare the key: a mistake of the plugin that its first test finds.
    fn text(&self, key: &str) -> Option<&'a str> {
        let field = self.schema.fields.iter().find(|field| field.key == key);
        let field = field.unwrap_or_else(|| panic!("the schema does not declare the key {key}"));
        self.values.get(key).map(|value| value.text.as_str()).or(field.default.as_deref())
    }

    fn parse<T>(&self, key: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        self.text(key).and_then(parse)
    }

    /// A text; empty where it is absent.
    pub fn string(&mut self, key: &str) -> String {
        self.optional_string(key).unwrap_or_default()
    }

    /// A text that may be absent.
    pub fn optional_string(&mut self, key: &str) -> Option<String> {
        self.text(key).map(str::to_owned)
    }

    /// A path; empty where it is absent.
    pub fn path(&mut self, key: &str) -> PathBuf {
        self.optional_path(key).unwrap_or_default()
    }

    /// A path that may be absent.
    pub fn optional_path(&mut self, key: &str) -> Option<PathBuf> {
        self.text(key).map(PathBuf::from)
    }

    /// A switch; `false` where it is absent.
    pub fn bool(&mut self, key: &str) -> bool {
        self.parse(key, parse_bool).unwrap_or_default()
    }

    /// A number; 0 where it is absent.
    pub fn integer(&mut self, key: &str) -> u64 {
        self.optional_integer(key).unwrap_or_default()
    }

    /// A number that may be absent.
    pub fn optional_integer(&mut self, key: &str) -> Option<u64> {
        self.parse(key, |text| text.parse().ok())
    }

    /// A number of bytes; 0 where it is absent.
    pub fn size_bytes(&mut self, key: &str) -> u64 {
        self.optional_size_bytes(key).unwrap_or_default()
    }

    /// A number of bytes that may be absent.
    pub fn optional_size_bytes(&mut self, key: &str) -> Option<u64> {
        self.parse(key, parse_size)
    }

    /// A span of time; zero where it is absent.
    pub fn duration(&mut self, key: &str) -> Duration {
        self.optional_duration(key).unwrap_or_default()
    }

    /// A span of time that may be absent.
    pub fn optional_duration(&mut self, key: &str) -> Option<Duration> {
        self.parse(key, parse_duration)
    }

    /// Adds a fault that the schema cannot express (two keys that exclude each other, …).
    pub fn fault(&mut self, key: &str, problem: impl Into<String>) {
        self.faults.push(self.schema.fault(key, self.values, problem.into()));
    }

    /// Everything that is wrong, for a caller that has more to tell than this schema's values.
    pub fn into_faults(self) -> Vec<ConfigFault> {
        self.faults
    }

    /// Refuses the configuration if anything is wrong with it.
    ///
    /// # Errors
    ///
    /// `ConfigInvalid`, with every fault as context.
    pub fn finish(self, what: &str) -> Result<()> {
        match self.faults.as_slice() {
            [] => Ok(()),
            faults => Err(faults_to_error(what, faults)),
        }
    }
}

impl ConfigSchema {
    /// Everything that is wrong with these values: keys that the schema does not have, values of another
    /// form, required keys that are absent or empty.
    pub fn check(&self, values: &ConfigValues) -> Vec<ConfigFault> {
        let unknown = values.iter().filter(|(key, _)| self.fields.iter().all(|field| field.key != *key));
        let unknown = unknown.map(|(key, _)| {
            let problem = match self.nearest(key) {
                Some(near) => format!("there is no such key; did you mean {near}?"),
                None => format!("there is no such key; the keys are {}", self.keys().join(", ")),
            };
            self.fault(key, values, problem)
        });
        let known = self.fields.iter().filter_map(|field| {
            let problem = match values.get(&field.key) {
                None if field.required && field.default.is_none() => {
                    format!("is required: {}. Expected: {}", field.description, field.kind.expected())
                }
                Some(value) if field.required && value.text.is_empty() => {
                    format!("is required but empty. Expected: {}", field.kind.expected())
                }
                Some(value) if !field.kind.accepts(&value.text) => {
                    let shown = if field.secret { "the value" } else { &format!("{:?}", value.text) };
                    format!("{shown} is not {}", field.kind.expected())
                }
                _ => return None,
            };
            Some(self.fault(&field.key, values, problem))
        });
        unknown.chain(known).collect()
    }

    fn fault(&self, key: &str, values: &ConfigValues, problem: String) -> ConfigFault {
        let field = self.fields.iter().find(|field| field.key == key);
        ConfigFault {
            key: key.to_owned(),
            variable: field.map(|field| field.variable.clone()),
            origin: values.get(key).map(|value| value.origin.clone()),
            problem,
        }
    }

    fn keys(&self) -> Vec<&str> {
        self.fields.iter().map(|field| field.key.as_str()).collect()
    }

    fn nearest(&self, key: &str) -> Option<&str> {
        nearest(key, self.keys())
    }
}

/// The candidate that a misspelt word most likely means, if one is near enough.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = |candidate: &&str| strsim::damerau_levenshtein(word, candidate);
    let best = candidates.into_iter().min_by_key(near)?;
    (near(&best) <= 1 + best.len().min(word.len()) / 5).then_some(best)
}

fn parse_bool(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// A number of bytes from its text: `1048576`, `64 MiB`, `10MB`.
pub fn parse_size(text: &str) -> Option<u64> {
    text.parse::<bytesize::ByteSize>().ok().map(|size| size.as_u64())
}

/// A span of time from its text: `30s`, `7days`, `1h 30m`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> ConfigSchema {
        ConfigSchema {
            fields: vec![
                ConfigField::new("bucket_name", "X_BUCKET_NAME", ConfigKind::Text, "The bucket").required(),
                ConfigField::new("secret_key", "X_SECRET_KEY", ConfigKind::Integer, "The key").secret(),
                ConfigField::new("timeout", "X_TIMEOUT", ConfigKind::Duration, "How long").default("30s"),
                ConfigField::new("part", "X_PART", ConfigKind::Size, "How large"),
            ],
        }
    }

    fn values(pairs: &[(&str, &str)]) -> ConfigValues {
        let mut values = ConfigValues::new();
        for (key, text) in pairs {
            values.set(*key, *text, ".env line 3");
        }
        values
    }

    #[test]
    fn every_fault_is_told_at_once_and_no_secret_is() {
        let schema = schema();
        let values = values(&[("bucket_nam", "b"), ("secret_key", "hunter2"), ("timeout", "soon")]);
        let error = ConfigReader::new(&schema, &values).finish("backend x").expect_err("faulty");
        let text = error.to_string();
        assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
        for part in [
            "4 faults",
            "did you mean bucket_name?",
            "bucket_name (X_BUCKET_NAME): is required",
            "secret_key (X_SECRET_KEY): the value is not a whole number",
            "\"soon\" is not a duration such as 30s or 7days, found in .env line 3",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("hunter2") && !format!("{values:?}").contains("hunter2"));
    }

    #[test]
    fn values_are_read_with_their_defaults() {
        let schema = schema();
        let values = values(&[("bucket_name", "b"), ("part", "64 MiB")]);
        let mut reader = ConfigReader::new(&schema, &values);
        assert_eq!(reader.string("bucket_name"), "b");
        assert_eq!(reader.duration("timeout"), Duration::from_secs(30));
        assert_eq!(reader.optional_size_bytes("part"), Some(64 << 20));
        assert_eq!(reader.optional_integer("secret_key"), None);
        reader.finish("backend x").expect("sound");
    }

    #[test]
    fn only_near_words_are_suggested() {
        assert_eq!(
            nearest("LOCL_STORAGE_PATH", ["LOCAL_STORAGE_PATH", "LOG_LEVEL"]),
            Some("LOCAL_STORAGE_PATH")
        );
        assert_eq!(nearest("HOME", ["LOCAL_STORAGE_PATH", "LOG_LEVEL"]), None);
    }
}
