//! The backends that the conformance suite is run against.

use std::path::Path;
use std::sync::Arc;

use storage_conformance::Target;
use storage_core::memory::MemoryBackend;
use storage_core::{Backend, Capabilities, ConfigValues, Error, ErrorKind, Limits, OpenRequest};

use crate::plugins::plugin_path;
use crate::waiver::Waiver;

/// The reference backend, called directly.
pub fn memory() -> Target {
    native("memory", || MemoryBackend::new("memory"))
}

/// The reference backend without any optional family: the suite must see that it refuses them all.
pub fn memory_bare() -> Target {
    native("memory_bare", || MemoryBackend::new("bare").with_capabilities(Capabilities::none()))
}

/// The reference backend with tight limits, of which the suite must see that they hold.
pub fn memory_limited() -> Target {
    native("memory_limited", || {
        let backend = MemoryBackend::new("limited");
        let limits = Limits {
            max_object_bytes: Some(80 << 20),
            max_single_save_bytes: Some(72 << 20),
            min_part_bytes: Some(100 << 10),
            max_part_bytes: Some(9 << 20),
            max_parts: Some(20),
            max_list_page: Some(100),
            ..backend.info().limits.clone()
        };
        backend.with_limits(limits)
    })
}

/// The reference backend through the plugin boundary, which must change nothing.
pub fn memory_plugin() -> Target {
    plugin("memory_plugin", "memory", false, |_folder| Vec::new())
}

/// The local disk.
pub fn local() -> Target {
    plugin("local", "local", true, |folder| {
        vec![
            ("path", folder.join("storage").display().to_string()),
            ("versioning", "true".to_owned()),
            // What durability costs is no part of how a backend behaves, and thousands of files are saved here.
            ("fsync", "false".to_owned()),
        ]
    })
}

/// The trials of a target that a fault of its server keeps from passing. What the provider itself does right is never
/// waived for want of capability: the plugin declares what the provider has, and a test of the plugin's requests
/// shows what the waived trial would.
pub fn waivers(target: &str) -> &'static [Waiver] {
    const WAIVERS: &[(&str, &[Waiver])] = &[];
    WAIVERS.iter().find(|(name, _)| *name == target).map_or(&[], |(_, waivers)| waivers)
}

/// A plugin that the build made, opened with the values that `configure` gives.
fn plugin(
    name: &'static str,
    file: &'static str,
    keeps_content: bool,
    configure: fn(&Path) -> Vec<(&'static str, String)>,
) -> Target {
    Target::new(name, keeps_content, move |folder| async move {
        let host = tokio::runtime::Handle::current();
        let module = storage_core::abi::load(&plugin_path(file)).map_err(|error| {
            Error::new(ErrorKind::PluginLoad, "the plugin cannot be loaded").with_source(error)
        })?;
        let module = module.polling_bodies_within(move |run| {
            let _entered = host.enter();
            run();
        });
        let mut config = ConfigValues::new();
        for (key, value) in configure(&folder) {
            config.set(key, value, "the conformance suite");
        }
        module.open(OpenRequest { name: name.to_owned(), config, ..OpenRequest::default() }).await
    })
}

fn native(name: &str, make: fn() -> MemoryBackend) -> Target {
    Target::new(name, false, move |_folder| async move { Ok(Arc::new(make()) as Arc<dyn Backend>) })
}
