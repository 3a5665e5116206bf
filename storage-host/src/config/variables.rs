//! Variables that nobody knows: a misspelt name must not silently mean the default.
//!
//! What stands in `.env` was written for this service, so there every unknown variable is a fault.
//! The environment of a process is shared with many programs, so there only near misses are,
//! and what claims to be the service's by beginning with `STORAGE_`.

use storage_core::config::ConfigFault;
use storage_core::{ConfigSchema, ConfigValues};

use super::backends::VARIABLE_PREFIX;
use super::keys::host_schema;
use super::sources::{Named, Sources};

/// How the host's own variables begin, besides those with names of their own. No plugin may use it.
const HOST_NAMESPACE: &str = "STORAGE_";

/// What Kubernetes puts into the environment of a pod for a service that is called `storage`.
const KUBERNETES: &[&str] = &["STORAGE_SERVICE_*", "STORAGE_PORT", "STORAGE_PORT_*"];

/// Variables that other programs read: `STORAGE_ENV_FOREIGN`.
#[derive(Clone)]
pub(super) struct Foreign(Vec<String>);

impl Foreign {
    pub(super) fn parse(values: &ConfigValues, faults: &mut Vec<ConfigFault>) -> Self {
        const KEY: &str = "env_foreign";
        let mut patterns = Vec::new();
        if let Some(value) = values.get(KEY) {
            for pattern in value.text.split(',').map(str::trim).filter(|pattern| !pattern.is_empty()) {
                let name = pattern.strip_suffix('*').unwrap_or(pattern);
                if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.')
                {
                    faults.push(ConfigFault {
                        key: KEY.to_owned(),
                        variable: Some("STORAGE_ENV_FOREIGN".to_owned()),
                        origin: Some(value.origin.clone()),
                        problem: format!(
                            "{pattern:?} is not the name of a variable, or its beginning and a *, such as APP_*"
                        ),
                    });
                } else {
                    patterns.push(pattern.to_owned());
                }
            }
        }
        patterns.extend(KUBERNETES.iter().map(|pattern| (*pattern).to_owned()));
        Self(patterns)
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == pattern,
        })
    }
}

/// How the variables of a plugin begin, by convention: with the first word of its type (`AWS_` for `aws_s3`).
fn namespace(backend_type: &str) -> String {
    let word = backend_type.split('_').next().unwrap_or(backend_type);
    format!("{}_", word.to_ascii_uppercase())
}

/// Faults that are known before plugins are: misspelt variables of the host.
pub(super) fn misspelt_host_variables(sources: &Sources, foreign: &Foreign) -> Vec<ConfigFault> {
    let known: Vec<&str> = variables_of(host_schema()).collect();
    let suspects = sources.names().filter(|named| {
        !known.contains(&named.name) && !named.name.starts_with(VARIABLE_PREFIX) && !foreign.has(named.name)
    });
    let faults = suspects.filter_map(|named| {
        let near = near_miss(named.name, &known);
        let is_claimed = named.name.starts_with(HOST_NAMESPACE);
        (near.is_some() || is_claimed).then(|| fault(&named, near, "there is no such variable"))
    });
    faults.collect()
}

/// Faults that are known once plugins are: see [`super::Loaded::check`].
pub(super) fn unknown(
    sources: &Sources,
    schemas: &[(&str, &ConfigSchema)],
    installed_types: &[&str],
    foreign: &Foreign,
) -> Vec<ConfigFault> {
    let used: Vec<String> = schemas.iter().map(|(backend_type, _)| namespace(backend_type)).collect();
    let spare: Vec<String> = installed_types.iter().map(|backend_type| namespace(backend_type)).collect();
    let known: Vec<&str> = variables_of(host_schema())
        .chain(schemas.iter().flat_map(|(_, schema)| variables_of(schema)))
        .collect();
    let suspects = sources.names().filter(|named| {
        let is_of =
            |namespaces: &[String]| namespaces.iter().any(|prefix| named.name.starts_with(prefix.as_str()));
        let is_spare = is_of(&spare) && !is_of(&used);
        let is_known = known.contains(&named.name) || named.name.starts_with(VARIABLE_PREFIX);
        !is_known && !is_spare && !foreign.has(named.name)
    });
    let faults = suspects.filter_map(|named| {
        let near = near_miss(named.name, &known);
        let problem = "neither the service nor a backend in use has this variable";
        (near.is_some() || named.deliberate).then(|| fault(&named, near, problem))
    });
    faults.collect()
}

fn variables_of(schema: &ConfigSchema) -> impl Iterator<Item = &str> {
    schema.fields.iter().map(|field| field.variable.as_str())
}

/// The known variable that this one is a misspelling of. Stricter than a suggestion may be: a program must
/// not be refused its start because another program's variable resembles one of its own.
fn near_miss<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let name = name.to_ascii_uppercase();
    let allowed = |candidate: &str| if candidate.len().min(name.len()) < 12 { 1 } else { 2 };
    let distance = |candidate: &&str| strsim::damerau_levenshtein(&name, candidate);
    let nearest = known.iter().copied().min_by_key(distance)?;
    (distance(&nearest) <= allowed(nearest)).then_some(nearest)
}

fn fault(named: &Named<'_>, near: Option<&str>, problem: &str) -> ConfigFault {
    let next = match near {
        Some(near) => format!("did you mean {near}? If"),
        None => "remove it or, if".to_owned(),
    };
    let problem = format!("{problem}; {next} it belongs to another program, name it in STORAGE_ENV_FOREIGN");
    ConfigFault { key: named.name.to_owned(), variable: None, origin: Some(named.origin.to_owned()), problem }
}
