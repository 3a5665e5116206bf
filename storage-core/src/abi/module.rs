//! The root module of a plugin library: all that the host finds in it.

use abi_stable::StableAbi;
use abi_stable::library::RootModule;
use abi_stable::sabi_types::VersionStrings;
use abi_stable::std_types::RBox;
use async_ffi::FfiFuture;

use super::backend::AbiBackend_TO;
use super::host::AbiLog;
use super::manifest::ABI_VERSION_TEXT;
use super::value::{AbiBackendInfo, AbiCall, AbiConfigSchema, AbiOpenRequest, Later, Outcome};

/// What a plugin exports. Fields are only appended, after the last prefix field.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = AbiModule_Ref, prefix_fields = AbiModule_Prefix)))]
pub(crate) struct AbiModule {
    /// Gives the plugin the host's log; called before anything else, and again when the level changes.
    pub(crate) connect: extern "C" fn(log: AbiLog),
    /// The keys of a backend's configuration.
    pub(crate) schema: extern "C" fn() -> Outcome<AbiConfigSchema>,
    /// Opens a backend.
    #[sabi(last_prefix_field)]
    pub(crate) open: extern "C" fn(call: AbiCall, request: AbiOpenRequest) -> FfiFuture<Outcome<AbiOpened>>,
}

/// An opened backend and what it says of itself.
#[repr(C)]
#[derive(StableAbi)]
pub(crate) struct AbiOpened {
    pub(crate) backend: AbiBackend_TO<'static, RBox<()>>,
    pub(crate) info: AbiBackendInfo,
    pub(crate) later: Later,
}

impl RootModule for AbiModule_Ref {
    abi_stable::declare_root_module_statics! { AbiModule_Ref }

    const BASE_NAME: &'static str = "storage_backend";
    const NAME: &'static str = "storage_backend";
    const VERSION_STRINGS: VersionStrings = VersionStrings::new(ABI_VERSION_TEXT);
}
