//! The plugin boundary: a native [`crate::Backend`] on either side, an ABI-stable mirror between.
//!
//! ```text
//!   host                                    plugin (a cdylib with its own runtime and globals)
//!   Backend ◄─ import ─► module, backend ◄─ export ─► Backend
//!                        value, stream
//! ```
//!
//! * A plugin author writes one [`crate::export_backend!`].
//! * The host calls [`read_manifest`], which runs nothing of the library, then [`load()`] and
//!   [`PluginModule::open`], and has a [`crate::Backend`].
//!
//! # How it behaves
//!
//! * **Futures and streams** are polled by whoever awaits them, on that thread, inside the runtime of the
//!   side that made them. Nothing is spawned. Dropping one cancels the work behind it.
//! * **Panics** of a plugin become `PluginPanicked` errors; none unwinds across the boundary.
//! * **Bytes** are never copied: buffers change hands with their owner.
//! * **Events** that the plugin emits with `tracing` reach the host's, with the correlation id of the call.
//!
//! # Evolution
//!
//! Methods are only appended after the `last_prefix_field`, with a body that answers `Unsupported`. Structs
//! and enums that cross never grow: kinds and capabilities are integers, and every struct of options or
//! results carries a list, `later`, for what newer versions add. A newer option that this version does not know is
//! refused, a newer fact in an answer is passed over. Anything else raises [`AbiVersion::CURRENT`]'s major.
//!
//! This is the only module with unsafe code, and the only one that names an `abi_stable` or `async_ffi` type.

#![allow(unsafe_code, reason = "the boundary is where raw pointers are; nothing outside of it is unsafe")]
#![allow(
    non_camel_case_types,
    non_local_definitions,
    unused_qualifications,
    reason = "the macros of abi_stable generate such code"
)]

mod backend;
#[doc(hidden)]
pub mod export;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod guard;
mod host;
mod import;
mod load;
mod log;
mod macros;
mod manifest;
mod module;
#[cfg(test)]
mod promise;
mod stream;
mod value;

pub use import::PluginModule;
pub use load::{LoadError, LoadStage, load, load_watched, was_replaced};
pub use manifest::{AbiVersion, Manifest, ManifestError, read_manifest};
