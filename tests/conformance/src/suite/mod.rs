//! The cases, one behaviour each, in one file for each group of them.
//!
//! A [`Case`] works under a key prefix of its own, so that cases may run at once and on a store that holds other
//! things. A case whose capability a backend does not declare checks instead that the backend refuses the
//! family ([`undeclared`]): there is no way to pass by doing nothing. The functions of a case fail by panicking.

mod check;
mod checksums;
mod concurrency;
mod copy;
mod delete;
mod errors;
mod failures;
mod info;
mod keys;
mod lifecycle;
mod list;
mod metadata;
mod multipart;
mod multipart_faults;
mod presign;
mod range;
mod retrieve;
mod save;
mod tiers;
mod undeclared;
mod versions;

#[cfg(test)]
mod tests;

pub use check::Checked;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use storage_core::Capabilities;

use crate::outcome::{Outcome, failure};
use crate::target::Instance;

/// How long a case may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(180);

type Run = Box<dyn FnOnce(Checked) -> BoxFuture<'static, ()> + Send>;

/// One behaviour that a backend must have.
pub struct Case {
    /// The file of the suite that it is in, and what it checks: `save::an_overwrite_replaces_the_content`.
    pub name: String,
    capabilities: Capabilities,
    needs: Option<Need>,
    run: Run,
}

/// What a case needs besides capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// A second instance on the same content.
    Reopen,
    /// A clock that can be put forward.
    Clock,
}

/// What a case will do with a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Check the behaviour.
    Check,
    /// Check that this capability, which the backend does not declare, is refused.
    Counter(Capabilities),
    /// Nothing, for this reason.
    Ignore(String),
}

impl Case {
    fn new<F>(module: &str, name: impl AsRef<str>, run: impl FnOnce(Checked) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let group = module.rsplit("::").next().unwrap_or(module);
        Self {
            name: format!("{group}::{}", name.as_ref()),
            capabilities: Capabilities::none(),
            needs: None,
            run: Box::new(move |checked| Box::pin(run(checked))),
        }
    }

    fn with(mut self, capabilities: Capabilities) -> Self {
        self.capabilities |= capabilities;
        self
    }

    fn needing(mut self, need: Need) -> Self {
        self.needs = Some(need);
        self
    }

    /// What the case will do with this backend.
    pub fn plan(&self, instance: &Instance) -> Plan {
        let info = instance.backend.info();
        let missing = Capabilities::ALL.iter().map(|(one, _)| *one);
        let mut missing = missing.filter(|one| self.capabilities.has(*one) && !info.capabilities.has(*one));
        if let Some(missing) = missing.next() {
            return match undeclared::can_be_asked(missing) {
                true => Plan::Counter(missing),
                false => Plan::Ignore(format!(
                    "{} is not declared, and nothing is to be refused",
                    missing.names().join(", ")
                )),
            };
        }
        let has_clock = info.extensions.iter().any(|one| one.name == check::ADVANCE_CLOCK);
        let obstacle = match self.needs {
            Some(Need::Reopen) if !instance.target().keeps_content() => "it keeps nothing when it is closed",
            Some(Need::Clock) if !has_clock => "its clock cannot be put forward",
            _ => return Plan::Check,
        };
        Plan::Ignore(obstacle.to_owned())
    }

    /// The part of the suite that it is in: `save`.
    pub fn group(&self) -> &str {
        self.name.split_once("::").map_or(self.name.as_str(), |(group, _)| group)
    }

    /// Runs the case, by its plan, in a prefix of its own, and removes what it saved.
    ///
    /// A case that does not end in three minutes has failed.
    pub async fn run(self, instance: Arc<Instance>) -> Outcome {
        let checked = Checked::new(Arc::clone(&instance), next_prefix());
        let cleaner = checked.clone();
        let (work, passed) = match self.plan(&instance) {
            Plan::Check => ((self.run)(checked), Outcome::Passed),
            Plan::Counter(capability) => {
                let refused: BoxFuture<'static, ()> = Box::pin(undeclared::is_refused(checked, capability));
                (refused, Outcome::NotSupported(capability))
            }
            Plan::Ignore(reason) => return Outcome::LeftOut(reason),
        };
        let bounded = async { tokio::time::timeout(PATIENCE, work).await.expect("the case ends") };
        let found = AssertUnwindSafe(bounded).catch_unwind().await.map_err(|panic| failure(&*panic));
        let removal = AssertUnwindSafe(cleaner.remove_everything()).catch_unwind().await;
        let removed =
            removal.map_err(|panic| format!("what was saved cannot be removed: {}", failure(&*panic)));
        // Where both fail, the case's own failure is the one to look at first.
        match found.and(removed) {
            Ok(()) => passed,
            Err(reason) => Outcome::Failed(reason),
        }
    }
}

/// A prefix that no other case of this or another run uses.
fn next_prefix() -> String {
    static RUN: std::sync::LazyLock<u32> = std::sync::LazyLock::new(rand::random);
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("conformance/{:08x}/{}/", *RUN, COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Makes cases of functions: `name`, `name [CAPABILITY, …]`, `name [CAPABILITY] Need`.
macro_rules! cases {
    ($($name:ident $([$($capability:ident),*])? $($need:ident)?),+ $(,)?) => {
        vec![$(
            $crate::suite::Case::new(module_path!(), stringify!($name), $name)
                $($(.with(storage_core::Capabilities::$capability))*)?
                $(.needing($crate::suite::Need::$need))?
        ),+]
    };
}
pub(crate) use cases;

/// Every case of the suite.
pub fn all() -> Vec<Case> {
    let groups = [
        info::cases,
        save::cases,
        keys::cases,
        failures::cases,
        checksums::cases,
        retrieve::cases,
        range::cases,
        metadata::cases,
        delete::cases,
        list::cases,
        copy::cases,
        multipart::cases,
        multipart_faults::cases,
        versions::cases,
        presign::cases,
        tiers::cases,
        lifecycle::cases,
        errors::cases,
        concurrency::cases,
    ];
    groups.into_iter().flat_map(|cases| cases()).collect()
}
