//! The plugin's side: makes the mirror out of a plugin's [`Backend`].
//!
//! Public, but hidden, for [`crate::export_backend!`] alone, which calls it from the plugin's crate. Everything of
//! the plugin's that runs, runs within a [`Guard`]: inside the plugin's runtime, with its panics caught.

use std::future::Future;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;

use abi_stable::library::{CheckTypeLayout, RootModuleResult};
use abi_stable::marker_type::ErasedPrefix;
use abi_stable::prefix_type::{PrefixRefTrait, PrefixTypeTrait};
use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::RResult;
use async_ffi::FfiFuture;

mod operations;

pub use abi_stable::library::LibHeader;

pub use super::manifest::{manifest_bytes, manifest_fields, manifest_length};

use super::backend::{AbiBackend_TO, Answer};
use super::guard::{Guard, GuardedFuture, Surroundings, message_of};
use super::host::AbiLog;
use super::module::{AbiModule, AbiModule_Ref, AbiOpened};
use super::value::{AbiCall, AbiConfigSchema, AbiOpenRequest, Later, Mirror, Outcome};
use crate::backend::{Backend, OpenRequest};
use crate::config::ConfigSchema;
use crate::error::{Error, ErrorKind, Result, Retry};

/// The future of a plugin's `open`.
pub type Opening = Pin<Box<dyn Future<Output = Result<Arc<dyn Backend>>> + Send>>;

/// What `export_backend!` makes of a plugin.
pub trait Plugin: 'static {
    /// The name that the plugin registers.
    const BACKEND_TYPE: &'static str;

    /// The keys of its configuration.
    fn schema() -> ConfigSchema;

    /// Opens a backend.
    fn open(request: OpenRequest) -> Opening;

    /// Makes a runtime for one backend.
    ///
    /// # Errors
    ///
    /// What the operating system refuses, threads as a rule.
    fn runtime() -> std::io::Result<Box<dyn Runtime>>;
}

/// An async runtime of the plugin's own.
pub trait Runtime: Send + Sync {
    /// Runs this once, with the runtime entered.
    fn within(&self, run: &mut dyn FnMut());

    /// Ends the runtime without waiting for it.
    fn shutdown(self: Box<Self>);
}

/// What the host looks for in the library.
pub const fn library_header<P: Plugin>() -> LibHeader {
    // SAFETY: `construct` gives a module of the type `AbiModule_Ref`.
    unsafe { LibHeader::from_constructor::<AbiModule_Ref>(construct::<P>, CheckTypeLayout::Yes) }
}

extern "C" fn construct<P: Plugin>() -> RootModuleResult {
    let module = AbiModule { connect: connect::<P>, schema: schema::<P>, open: open::<P> }.leak_into_prefix();
    // SAFETY: the header says that it is an `AbiModule_Ref`, and the loader checks that before it casts back.
    RResult::ROk(unsafe { module.to_prefix_ref().cast::<ErasedPrefix>() })
}

extern "C" fn connect<P: Plugin>(log: AbiLog) {
    super::log::connect(P::BACKEND_TYPE, log);
}

extern "C" fn schema<P: Plugin>() -> Outcome<AbiConfigSchema> {
    let surroundings = Arc::new(PluginSurroundings { name: P::BACKEND_TYPE.to_owned(), runtime: None });
    let guard = Guard { surroundings, correlation: None, operation: "schema" };
    guard.run(P::schema).into_abi()
}

extern "C" fn open<P: Plugin>(call: AbiCall, request: AbiOpenRequest) -> FfiFuture<Outcome<AbiOpened>> {
    FfiFuture::new(async move {
        let surroundings = match start::<P>(request.name.to_string()) {
            Ok(surroundings) => Arc::new(surroundings),
            Err(error) => return RResult::RErr(error.into_abi()),
        };
        let guard =
            Guard { surroundings: surroundings.clone(), correlation: call.correlation(), operation: "open" };
        let opening = async move {
            let backend = P::open(OpenRequest::from_abi(request)?).await?;
            let info = (*backend.info()).clone().into_abi();
            let exported = Exported { backend: ManuallyDrop::new(backend), surroundings };
            let backend = AbiBackend_TO::from_value(exported, TD_Opaque);
            Ok(AbiOpened { backend, info, later: Later::new() })
        };
        GuardedFuture::new(guard, opening).await
    })
}

fn start<P: Plugin>(name: String) -> Result<PluginSurroundings> {
    match catch_unwind(P::runtime) {
        Ok(Ok(runtime)) => Ok(PluginSurroundings { name, runtime: Some(runtime) }),
        Ok(Err(error)) => Err(Error::new(ErrorKind::Unavailable, "the runtime of the plugin did not start")
            .with_retry(Retry::May)
            .with_operation("open")
            .with_backend(name)
            .with_source(error)),
        Err(panic) => {
            let surroundings = PluginSurroundings { name, runtime: None };
            Err(surroundings.panicked(&message_of(panic.as_ref())).with_operation("open"))
        }
    }
}

/// The plugin, around the code of one of its backends. The last stream or call that ends takes the runtime along.
struct PluginSurroundings {
    /// The backend's name.
    name: String,
    /// Absent only outside of any backend.
    runtime: Option<Box<dyn Runtime>>,
}

impl Surroundings for PluginSurroundings {
    fn within(&self, run: &mut dyn FnMut()) {
        match &self.runtime {
            Some(runtime) => runtime.within(run),
            None => run(),
        }
    }

    fn panicked(&self, message: &str) -> Error {
        Error::new(ErrorKind::PluginPanicked, format!("the plugin panicked: {message}"))
            .with_backend(&*self.name)
    }
}

impl Drop for PluginSurroundings {
    fn drop(&mut self) {
        let runtime = self.runtime.take();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| runtime.map(Runtime::shutdown))) {
            tracing::error!(backend = self.name, "the runtime did not end: {}", message_of(panic.as_ref()));
        }
    }
}

/// A plugin's backend behind the mirror.
struct Exported {
    /// Dropped by hand, inside the runtime.
    backend: ManuallyDrop<Arc<dyn Backend>>,
    surroundings: Arc<PluginSurroundings>,
}

impl Drop for Exported {
    fn drop(&mut self) {
        // SAFETY: this is the end of `self`; the backend is taken once and not used again.
        let mut backend = Some(unsafe { ManuallyDrop::take(&mut self.backend) });
        self.guard(None, "drop").release(&mut backend);
    }
}

impl Exported {
    fn guard(&self, correlation: Option<Arc<str>>, operation: &'static str) -> Guard {
        Guard { surroundings: self.surroundings.clone(), correlation, operation }
    }

    /// The future of one operation. `work` only makes the future that does it, and reads its arguments in there.
    fn run<T: Mirror + 'static, F>(
        &self,
        call: &AbiCall,
        operation: &'static str,
        work: impl FnOnce(Arc<dyn Backend>, &Guard) -> F,
    ) -> Answer<T::Abi>
    where
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let guard = self.guard(call.correlation(), operation);
        let future = work(Arc::clone(&self.backend), &guard);
        FfiFuture::new(GuardedFuture::new(guard, future))
    }
}
