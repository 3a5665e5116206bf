//! Reads `storage.toml` into the same flat values that variables give, each with its line.
//!
//! Faults tell no value, since the file may hold secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use storage_core::ConfigValues;
use storage_core::config::{ConfigFault, nearest};
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::keys::{BACKENDS, VARIABLE_ONLY, host_schema};

/// What the file holds.
#[derive(Default)]
pub(super) struct TomlFile {
    /// Whether there is a file.
    pub(super) found: bool,
    /// The host's settings, by key.
    pub(super) values: ConfigValues,
    /// Each backend's section, by name.
    pub(super) backends: BTreeMap<String, ConfigValues>,
}

impl TomlFile {
    /// Reads the file. One that does not exist holds nothing, unless something named it: then that is a fault.
    pub(super) fn read(path: &Path, named_by: Option<&str>, faults: &mut Vec<ConfigFault>) -> Self {
        let problem = match std::fs::read_to_string(path) {
            Ok(text) => {
                let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
                return parse(&text, &file, faults);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && named_by.is_none() => {
                return Self::default();
            }
            Err(error) => format!("the configuration file {} cannot be read: {error}", path.display()),
        };
        let variable = Some("STORAGE_CONFIG".to_owned());
        let origin = named_by.map(str::to_owned);
        faults.push(ConfigFault { key: "config".to_owned(), variable, origin, problem });
        Self::default()
    }
}

fn parse(text: &str, file: &str, faults: &mut Vec<ConfigFault>) -> TomlFile {
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // What was recovered is left alone: faults that follow from the first ones would only distract.
        faults.extend(errors.iter().map(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let origin = Some(format!("{file} line {}, column {}", line(text, start), column(text, start)));
            let problem = format!("is not well-formed TOML: {}", error.message());
            ConfigFault { key: file.to_owned(), variable: None, origin, problem }
        }));
        return TomlFile { found: true, ..TomlFile::default() };
    }
    let mut reader = Reader { text, file, faults, read: TomlFile { found: true, ..TomlFile::default() } };
    reader.document(document.get_ref());
    reader.read
}

fn line(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

fn column(text: &str, offset: usize) -> usize {
    let before = &text[..text.floor_char_boundary(offset)];
    1 + before.rsplit('\n').next().unwrap_or_default().chars().count()
}

struct Reader<'a> {
    text: &'a str,
    file: &'a str,
    faults: &'a mut Vec<ConfigFault>,
    read: TomlFile,
}

impl Reader<'_> {
    fn document(&mut self, document: &DeTable<'_>) {
        let sections: BTreeSet<&str> =
            host_schema().fields.iter().filter_map(|field| Some(field.key.split_once('.')?.0)).collect();
        for (name, value) in document {
            let (key, at) = (name.get_ref().as_ref(), name.span().start);
            match value.get_ref() {
                DeValue::Table(backends) if key == BACKENDS => self.backends(backends),
                DeValue::Table(section) if sections.contains(key) => {
                    for (name, value) in section {
                        self.host_value(
                            &format!("{key}.{}", name.get_ref()),
                            name.span().start,
                            value,
                            Some(key),
                        );
                    }
                }
                DeValue::Table(_) => {
                    let near = nearest(key, sections.iter().copied().chain([BACKENDS]));
                    self.fault(
                        key,
                        at,
                        &match near {
                            Some(near) => format!("there is no such section; did you mean [{near}]?"),
                            None => {
                                format!("there is no such section; the sections are {}", joined(&sections))
                            }
                        },
                    );
                }
                _ if key == BACKENDS || sections.contains(key) => {
                    self.fault(key, at, &format!("is a section: write [{key}] and its keys below"));
                }
                _ => self.host_value(key, at, value, None),
            }
        }
    }

    fn host_value(&mut self, key: &str, at: usize, value: &Spanned<DeValue<'_>>, section: Option<&str>) {
        let fields = &host_schema().fields;
        let settable =
            || fields.iter().map(|field| field.key.as_str()).filter(|key| !VARIABLE_ONLY.contains(key));
        if let Some(field) = fields.iter().find(|field| field.key == key && VARIABLE_ONLY.contains(&key)) {
            return self.fault(key, at, &format!("can only be set by the variable {}", field.variable));
        }
        if !settable().any(|known| known == key) {
            let of_section: BTreeSet<_> = settable()
                .filter(|known| known.split_once('.').map(|(section, _)| section) == section)
                .collect();
            let problem = match nearest(key, settable()) {
                Some(near) => format!("there is no such key; did you mean {near}?"),
                None => format!("there is no such key; the keys here are {}", joined(&of_section)),
            };
            return self.fault(key, at, &problem);
        }
        let value = match (key, value.get_ref()) {
            ("plugin_dir", DeValue::Array(paths)) => {
                strings(paths).and_then(|paths| Some(std::env::join_paths(paths).ok()?.to_str()?.to_owned()))
            }
            ("env_foreign", DeValue::Array(names)) => strings(names).map(|names| names.join(",")),
            (_, value) => scalar(value),
        };
        match value {
            Some(text) => self.read.values.set(key, text, self.origin(at, section)),
            None => self.fault(key, at, "one value is expected here, in quotes where it is text"),
        }
    }

    fn backends(&mut self, backends: &DeTable<'_>) {
        for (name, section) in backends {
            let (name, at) = (name.get_ref().as_ref(), name.span().start);
            let path = format!("{BACKENDS}.{name}");
            let DeValue::Table(section) = section.get_ref() else {
                self.fault(&path, at, &format!("is a section: write [{path}] and its keys below"));
                continue;
            };
            let mut values = ConfigValues::new();
            for (key, value) in section {
                let at = key.span().start;
                match scalar(value.get_ref()) {
                    Some(text) => values.set(key.get_ref().as_ref(), text, self.origin(at, Some(&path))),
                    None => self.fault(
                        &format!("{path}.{}", key.get_ref()),
                        at,
                        "one value is expected here, in quotes where it is text",
                    ),
                }
            }
            self.read.backends.insert(name.to_owned(), values);
        }
    }

    fn origin(&self, at: usize, section: Option<&str>) -> String {
        let place = format!("{} line {}", self.file, line(self.text, at));
        section.map_or(place.clone(), |section| format!("{place} [{section}]"))
    }

    fn fault(&mut self, key: &str, at: usize, problem: &str) {
        let origin = Some(format!("{} line {}", self.file, line(self.text, at)));
        self.faults.push(ConfigFault {
            key: key.to_owned(),
            variable: None,
            origin,
            problem: problem.to_owned(),
        });
    }
}

fn joined(words: &BTreeSet<&str>) -> String {
    words.iter().copied().collect::<Vec<_>>().join(", ")
}

/// The text that a variable would give for this value; nothing for lists and tables.
fn scalar(value: &DeValue<'_>) -> Option<String> {
    Some(match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix()).ok()?.to_string(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(switch) => switch.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) | DeValue::Table(_) => return None,
    })
}

fn strings<'a>(values: &'a DeArray<'_>) -> Option<Vec<&'a str>> {
    values.iter().map(|value| value.get_ref().as_str()).collect()
}
