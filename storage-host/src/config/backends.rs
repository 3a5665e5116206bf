//! Named backends: gathered from `storage.toml`, `BACKENDS_CONFIG` and their own variables, and their values
//! put together once the plugin's schema is known.
//!
//! The keys of a backend are known to its plugin alone; here they are text.

use std::collections::BTreeMap;

use serde_json::Value;
use storage_core::config::{ConfigFault, nearest};
use storage_core::{ConfigSchema, ConfigValue, ConfigValues, Error, ErrorKind, Result};

use super::BackendConfig;
use super::keys::{BACKENDS, DEFAULT_PRIMARY};
use super::sources::Sources;

/// How the variables of one backend begin: `STORAGE_BACKENDS__AWS_HOT__BUCKET_NAME`.
pub(super) const VARIABLE_PREFIX: &str = "STORAGE_BACKENDS__";

/// The key that says of which type a backend is.
const TYPE: &str = "type";

/// The form of a name: it is also part of a variable's name, and of the catalog's records.
const NAME_FORM: &str =
    "is made of lower-case letters, digits and single underscores, and begins with a letter";

/// The settings of every backend, by the backend's name.
type Sections = BTreeMap<String, ConfigValues>;

/// Every backend that the configuration names.
#[derive(Clone)]
pub(super) struct Backends(BTreeMap<String, Gathered>);

/// What is said of one backend by its name.
#[derive(Clone)]
struct Gathered {
    backend_type: String,
    /// Its section in `storage.toml`, and above it what `BACKENDS_CONFIG` says.
    section: ConfigValues,
    /// What its own variables say.
    variables: ConfigValues,
}

impl Backends {
    /// Gathers the backends. The primary one is always among them: where none has its name, the name is
    /// that of a backend type. Without a primary one it is `local`.
    pub(super) fn gather(
        sources: &Sources,
        mut sections: Sections,
        primary: Option<&ConfigValue>,
        faults: &mut Vec<ConfigFault>,
    ) -> Self {
        add_json(sources, &mut sections, faults);
        imply_primary(&mut sections, primary, faults);
        let mut variables = own_variables(sources, &sections, faults);
        let mut backends = BTreeMap::new();
        for (name, mut section) in sections {
            let variables = variables.remove(&name).unwrap_or_default();
            let backend_type = section.get(TYPE).map(|value| value.text.clone()).unwrap_or_default();
            section.remove(TYPE);
            if !is_name(&name) {
                faults.push(fault(&name, None, None, &format!("a backend's name {NAME_FORM}")));
            } else if backend_type.is_empty() {
                let near = section.iter().find(|(key, _)| nearest(key, [TYPE]).is_some());
                let problem = match near {
                    Some((near, _)) => format!("is required; is {near} a misspelling of it?"),
                    None => "is required: the backend type, such as \"local\"".to_owned(),
                };
                let origin = near.or(section.iter().next()).map(|(_, value)| value.origin.as_str());
                faults.push(fault(&name, Some(TYPE), origin, &problem));
            } else {
                backends.insert(name, Gathered { backend_type, section, variables });
            }
        }
        Self(backends)
    }

    /// Every backend as the configuration gives it: its type and the values that are set by its name.
    pub(super) fn configs(&self) -> BTreeMap<String, BackendConfig> {
        let config = |gathered: &Gathered| {
            let mut values = gathered.section.clone();
            apply(&mut values, &gathered.variables);
            BackendConfig { backend_type: gathered.backend_type.clone(), values }
        };
        self.0.iter().map(|(name, gathered)| (name.clone(), config(gathered))).collect()
    }

    /// See [`super::Loaded::backend_values`].
    pub(super) fn values(
        &self,
        name: &str,
        schema: &ConfigSchema,
        sources: &Sources,
    ) -> Result<ConfigValues> {
        let gathered = self.0.get(name).ok_or_else(|| {
            let names = self.0.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            Error::new(ErrorKind::ConfigInvalid, format!("no backend is named {name:?}"))
                .with_context("backends", names)
        })?;
        Ok(gathered.values(name, schema, sources))
    }

    /// Every fault in the values of the backends whose type has a schema here.
    pub(super) fn check(&self, schemas: &[(&str, &ConfigSchema)], sources: &Sources) -> Vec<ConfigFault> {
        let mut faults = Vec::new();
        for (name, gathered) in &self.0 {
            let schema = schemas.iter().find(|(backend_type, _)| *backend_type == gathered.backend_type);
            let Some((_, schema)) = schema else { continue };
            let found = schema.check(&gathered.values(name, schema, sources));
            let found = found.into_iter().chain(sources.not_unicode(schema));
            faults.extend(
                found.map(|fault| ConfigFault { key: format!("{BACKENDS}.{name}.{}", fault.key), ..fault }),
            );
        }
        faults
    }
}

impl Gathered {
    fn values(&self, name: &str, schema: &ConfigSchema, sources: &Sources) -> ConfigValues {
        let mut values = ConfigValues::new();
        let has_own_name = name != self.backend_type;
        if !has_own_name {
            apply(&mut values, &self.section);
        }
        for field in &schema.fields {
            match sources.variable(&field.variable) {
                // An empty variable says that the default shall stand. Where there is none to stand, the
                // plugin's check tells that the value is empty, and where.
                Some(value) if value.text.is_empty() && !field.required => values.remove(&field.key),
                Some(value) => values.set(field.key.as_str(), value.text, value.origin),
                None => {}
            }
        }
        if has_own_name {
            apply(&mut values, &self.section);
        }
        apply(&mut values, &self.variables);
        values
    }
}

/// Adds the primary backend where no section has its name.
fn imply_primary(sections: &mut Sections, primary: Option<&ConfigValue>, faults: &mut Vec<ConfigFault>) {
    let name = primary.map_or(DEFAULT_PRIMARY, |value| value.text.as_str());
    if sections.contains_key(name) {
        return;
    }
    let problem = if !is_name(name) {
        format!("{name:?} is not the name of a backend or of a backend type, which {NAME_FORM}")
    } else if primary.is_none() && !sections.is_empty() {
        // Files would go to a backend that the configuration does not so much as mention.
        let names = sections.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        format!("is required where backends are configured: one of {names}, or {DEFAULT_PRIMARY}")
    } else {
        let mut section = ConfigValues::new();
        section.set(TYPE, name, "primary backend");
        sections.insert(name.to_owned(), section);
        return;
    };
    faults.push(ConfigFault {
        key: "primary_backend".to_owned(),
        variable: Some("PRIMARY_BACKEND".to_owned()),
        origin: primary.map(|value| value.origin.clone()),
        problem,
    });
}

/// Puts values above others.
fn apply(values: &mut ConfigValues, above: &ConfigValues) {
    for (key, value) in above.iter() {
        values.set(key, value.text.as_str(), value.origin.as_str());
    }
}

/// Adds what `BACKENDS_CONFIG` says to the sections of the file, key by key.
fn add_json(sources: &Sources, sections: &mut Sections, faults: &mut Vec<ConfigFault>) {
    const VARIABLE: &str = "BACKENDS_CONFIG";
    let Some(config) = sources.variable(VARIABLE).filter(|config| !config.text.trim().is_empty()) else {
        return;
    };
    let mut refuse = |key: String, problem: String| {
        let variable = Some(VARIABLE.to_owned());
        faults.push(ConfigFault { key, variable, origin: Some(config.origin.clone()), problem });
    };
    let backends = match serde_json::from_str(&config.text) {
        Ok(Value::Object(backends)) => backends,
        Ok(_) => {
            let problem = r#"is not a JSON object such as {"hot": {"type": "local"}}"#.to_owned();
            return refuse("backends_config".to_owned(), problem);
        }
        Err(error) => {
            return refuse("backends_config".to_owned(), format!("is not well-formed JSON: {error}"));
        }
    };
    for (name, settings) in backends {
        let Value::Object(settings) = settings else {
            refuse(
                format!("{BACKENDS}.{name}"),
                r#"is not a JSON object such as {"type": "local"}"#.to_owned(),
            );
            continue;
        };
        let section = sections.entry(name.clone()).or_default();
        for (key, value) in settings {
            let text = match value {
                Value::String(text) => text,
                Value::Number(_) | Value::Bool(_) => value.to_string(),
                Value::Null | Value::Array(_) | Value::Object(_) => {
                    refuse(
                        format!("{BACKENDS}.{name}.{key}"),
                        "is not a text, a number, true or false".to_owned(),
                    );
                    continue;
                }
            };
            section.set(key, text, format!("{}, {VARIABLE}", config.origin));
        }
    }
}

/// What the variables of single backends say, by the backend's name.
fn own_variables(sources: &Sources, sections: &Sections, faults: &mut Vec<ConfigFault>) -> Sections {
    let mut own = Sections::new();
    for named in sources.names() {
        let Some(path) = named.name.strip_prefix(VARIABLE_PREFIX) else { continue };
        let (name, key) = path.split_once("__").unwrap_or((path, ""));
        let (name, key) = (name.to_ascii_lowercase(), key.to_ascii_lowercase());
        let problem = if !sections.contains_key(&name) {
            match nearest(&name, sections.keys().map(String::as_str)) {
                Some(near) => format!("no backend is named {name}; did you mean {near}?"),
                None => format!("no backend is named {name}: add the section [{BACKENDS}.{name}]"),
            }
        } else if key.is_empty() {
            format!("names no key: the form is {VARIABLE_PREFIX}NAME__KEY")
        } else if key == TYPE {
            "the type of a backend is set in its section".to_owned()
        } else {
            if let Some(value) = sources.variable(named.name) {
                own.entry(name).or_default().set(
                    key,
                    value.text,
                    format!("{}, {}", value.origin, named.name),
                );
            }
            continue;
        };
        let origin = Some(named.origin.to_owned());
        faults.push(ConfigFault { key: named.name.to_owned(), variable: None, origin, problem });
    }
    own
}

/// Makes sure that a text can be the name of a backend.
///
/// # Errors
///
/// `InvalidArgument`, saying what a name is like.
pub fn check_backend_name(name: &str) -> Result<()> {
    if is_name(name) {
        return Ok(());
    }
    let problem = format!("{name:?} cannot be a backend's name, which {NAME_FORM}");
    Err(Error::new(ErrorKind::InvalidArgument, problem))
}

/// Whether a text has the [`NAME_FORM`].
fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !name.contains("__")
        && !name.ends_with('_')
}

fn fault(name: &str, key: Option<&str>, origin: Option<&str>, problem: &str) -> ConfigFault {
    let key = key.map_or_else(|| format!("{BACKENDS}.{name}"), |key| format!("{BACKENDS}.{name}.{key}"));
    ConfigFault { key, variable: None, origin: origin.map(str::to_owned), problem: problem.to_owned() }
}
