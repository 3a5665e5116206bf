//! The conformance suite: what [`storage_core::Backend`] promises, one behaviour a case.
//!
//! A [`Case`] is run against any opened backend; a test binary and a command can both do so. It fails by
//! panicking. Each works under a key prefix of its own, so that they may run at once and on a store that
//! holds other things. A case whose capability a backend does not declare checks instead that the backend
//! refuses the family ([`undeclared`]): there is no way to pass by doing nothing.

mod check;
pub mod checksums;
pub mod concurrency;
pub mod copy;
pub mod delete;
pub mod errors;
pub mod failures;
pub mod info;
pub mod keys;
pub mod lifecycle;
pub mod list;
pub mod metadata;
pub mod multipart;
pub mod multipart_faults;
pub mod presign;
pub mod range;
pub mod retrieve;
pub mod save;
pub mod tiers;
pub mod undeclared;
pub mod versions;

pub use check::Checked;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use storage_core::Capabilities;

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
                false => Plan::Ignore(format!("{missing:?} is not declared, and nothing is to be refused")),
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

    /// Runs the case, by its plan, in a prefix of its own, and removes what it saved.
    ///
    /// # Panics
    ///
    /// Where the backend does not behave as it must, or the case does not end in three minutes.
    pub async fn run(self, instance: Arc<Instance>) {
        let checked = Checked::new(Arc::clone(&instance), next_prefix());
        let cleaner = checked.clone();
        let work = match self.plan(&instance) {
            Plan::Check => (self.run)(checked),
            Plan::Counter(capability) => Box::pin(undeclared::is_refused(checked, capability)),
            Plan::Ignore(_) => return,
        };
        tokio::time::timeout(PATIENCE, work).await.expect("the case ends");
        cleaner.remove_everything().await;
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
            $crate::conformance::Case::new(module_path!(), stringify!($name), $name)
                $($(.with(storage_core::Capabilities::$capability))*)?
                $(.needing($crate::conformance::Need::$need))?
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
