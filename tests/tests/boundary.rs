//! The plugin boundary, proven on libraries that are loaded.

use storage_core::abi::load;
use storage_core::{ObjectKey, OpenRequest};
use storage_tests::plugins::plugin_path;

#[tokio::test]
async fn a_loaded_plugin_reaches_the_network_in_its_own_runtime() {
    let module = load(&plugin_path("probe")).expect("the probe loads");
    let request = OpenRequest { name: "probe".to_owned(), ..OpenRequest::default() };
    let backend = module.open(request).await.expect("it opens");
    let key = ObjectKey::new("network").expect("a legal key");
    assert!(backend.exists(&key).await.expect("it answers"));
}
