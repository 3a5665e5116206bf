//! The variables that were found, and which of several that have the same name counts.

use std::collections::{BTreeMap, BTreeSet};

use storage_core::config::ConfigFault;
use storage_core::{ConfigSchema, ConfigValue, ConfigValues};

use super::LoadOptions;

/// The origin of a value that the environment sets.
pub(super) const ENVIRONMENT: &str = "environment";

/// Every variable of every source.
#[derive(Clone)]
pub(super) struct Sources {
    overrides: ConfigValues,
    environment: BTreeMap<String, String>,
    not_unicode: BTreeSet<String>,
    dotenv: ConfigValues,
}

/// A variable of one source.
pub(super) struct Named<'a> {
    pub(super) name: &'a str,
    pub(super) origin: &'a str,
    /// Whether it was set for this service: in `.env` or by an override. The environment of a process
    /// holds what many programs put there.
    pub(super) deliberate: bool,
}

impl Sources {
    pub(super) fn new(options: &LoadOptions, dotenv: ConfigValues) -> Self {
        let mut environment = BTreeMap::new();
        let mut not_unicode = BTreeSet::new();
        for (name, text) in &options.environment {
            match text.to_str() {
                Some(text) => {
                    environment.insert(name.clone(), text.to_owned());
                }
                None => {
                    not_unicode.insert(name.clone());
                }
            }
        }
        Self { overrides: options.overrides.clone(), environment, not_unicode, dotenv }
    }

    /// The value of a variable: an override, else the environment's, else that of `.env`.
    pub(super) fn variable(&self, name: &str) -> Option<ConfigValue> {
        let environment = || {
            let text = self.environment.get(name)?.clone();
            Some(ConfigValue { text, origin: ENVIRONMENT.to_owned() })
        };
        self.overrides.get(name).cloned().or_else(environment).or_else(|| self.dotenv.get(name).cloned())
    }

    /// Every variable of every source. One that two sources set appears twice.
    pub(super) fn names(&self) -> impl Iterator<Item = Named<'_>> {
        let deliberate = self.overrides.iter().chain(self.dotenv.iter());
        let deliberate =
            deliberate.map(|(name, value)| Named { name, origin: &value.origin, deliberate: true });
        let environment = self.environment.keys();
        deliberate.chain(environment.map(|name| Named { name, origin: ENVIRONMENT, deliberate: false }))
    }

    /// A fault for each variable of the schema whose text in the environment is not Unicode. Other programs'
    /// variables may hold what they like.
    pub(super) fn not_unicode(&self, schema: &ConfigSchema) -> Vec<ConfigFault> {
        let fields = schema.fields.iter().filter(|field| self.not_unicode.contains(&field.variable));
        let fault = |key: &str, variable: &str| ConfigFault {
            key: key.to_owned(),
            variable: Some(variable.to_owned()),
            origin: Some(ENVIRONMENT.to_owned()),
            problem: "the value is not Unicode text".to_owned(),
        };
        fields.map(|field| fault(&field.key, &field.variable)).collect()
    }
}
