//! [`crate::export_backend!`]: all that a plugin author writes for the boundary.

/// Turns a crate with a [`crate::Backend`] into a plugin.
///
/// ```text
/// #![forbid(unsafe_code)]
///
/// storage_core::export_backend! {
///     backend_type: "local",
///     description: "Files on a local disk",
///     variable_prefix: "LOCAL_",
///     schema: config::schema,
///     open: LocalBackend::open,
/// }
/// ```
///
/// * `schema` is a `fn() -> ConfigSchema`, `open` an `async fn(OpenRequest) -> Result<impl Backend>`.
/// * The crate is a `cdylib`, and of no other type, and depends on `tokio` with the feature `rt-multi-thread`. Each
///   opened backend has a runtime of its own, in which all its operations, streams and destructors run;
///   the runtime's threads drive sockets, timers and what is spawned. Operations themselves are polled by the
///   host's threads: block only inside `spawn_blocking`.
/// * Emit `tracing` events for the log; they reach the host. Install no subscriber and no panic hook.
/// * Panics become errors, so build with `panic = "unwind"`.
#[macro_export]
macro_rules! export_backend {
    (
        backend_type: $backend_type:literal,
        description: $description:literal,
        variable_prefix: $variable_prefix:literal,
        schema: $schema:path,
        open: $open:path $(,)?
    ) => {
        const _: () = {
            struct Plugin;

            impl $crate::abi::export::Plugin for Plugin {
                const BACKEND_TYPE: &'static str = $backend_type;

                fn schema() -> $crate::ConfigSchema {
                    $schema()
                }

                fn open(request: $crate::OpenRequest) -> $crate::abi::export::Opening {
                    ::std::boxed::Box::pin(async move {
                        let backend = $open(request).await?;
                        let backend: ::std::sync::Arc<dyn $crate::Backend> = ::std::sync::Arc::new(backend);
                        ::std::result::Result::Ok(backend)
                    })
                }

                fn runtime() -> ::std::io::Result<::std::boxed::Box<dyn $crate::abi::export::Runtime>> {
                    let threads =
                        ::std::thread::available_parallelism().map_or(2, |count| count.get().clamp(2, 4));
                    let runtime = ::tokio::runtime::Builder::new_multi_thread()
                        .worker_threads(threads)
                        .thread_name(::std::concat!("plugin-", $backend_type))
                        .enable_all()
                        .build()?;
                    ::std::result::Result::Ok(::std::boxed::Box::new(Runtime(runtime)))
                }
            }

            struct Runtime(::tokio::runtime::Runtime);

            impl $crate::abi::export::Runtime for Runtime {
                fn within(&self, run: &mut dyn ::std::ops::FnMut()) {
                    let _entered = self.0.enter();
                    run();
                }

                fn shutdown(self: ::std::boxed::Box<Self>) {
                    self.0.shutdown_background();
                }
            }

            const FIELDS: [(&'static str, &'static str); 8] = $crate::abi::export::manifest_fields(
                $backend_type,
                $description,
                $variable_prefix,
                ::std::env!("CARGO_PKG_VERSION"),
            );

            #[used]
            #[unsafe(no_mangle)]
            #[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__storage_plugin"))]
            #[cfg_attr(windows, unsafe(link_section = ".stplug"))]
            #[cfg_attr(not(any(target_vendor = "apple", windows)), unsafe(link_section = ".storage_plugin"))]
            static STORAGE_PLUGIN_MANIFEST: [u8; $crate::abi::export::manifest_length(&FIELDS)] =
                $crate::abi::export::manifest_bytes(&FIELDS);

            // The name under which abi_stable looks for the root module.
            #[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
            static LIBRARY_HEADER: $crate::abi::export::LibHeader =
                $crate::abi::export::library_header::<Plugin>();
        };
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_header_is_exported_under_the_name_that_the_loader_looks_for() {
        let exported = "_1as_0lib_1header_0root_bmodule_bloader";
        assert_eq!(abi_stable::library::ROOT_MODULE_LOADER_NAME, exported);
        assert!(include_str!("macros.rs").contains(&format!("export_name = \"{exported}\"")));
    }
}
