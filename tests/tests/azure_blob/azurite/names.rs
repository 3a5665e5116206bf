//! Names: what is the plugin's own is not listed, and blobs that others put there under names of no key are left alone.

use storage_core::{ListOptions, UploadId};
use storage_tests::proxy::Rule;

use crate::rig::{Rig, key, read, requests, save};

async fn listed(backend: &std::sync::Arc<dyn storage_core::Backend>, options: ListOptions) -> Vec<String> {
    let page = backend.list_files(options).await.expect("listed");
    let objects = page.objects.iter().map(|object| object.key.as_str().to_owned());
    objects.chain(page.common_prefixes.iter().cloned()).collect()
}

#[tokio::test]
async fn keys_in_the_plugins_own_folder_do_not_meet_it() {
    let rig = Rig::new("azurite");
    let backend = rig.open().await;
    let upload: UploadId = backend.begin_multipart(&key("object"), Default::default()).await.expect("begun");
    let own = format!(".storage-uploads/{upload}");
    assert!(!backend.exists(&key(&own)).await.expect("asked"));
    save(&backend, &own, "an application's").await.expect("saved");
    assert_eq!(read(&backend, &own).await.expect("read"), "an application's");
    assert_eq!(listed(&backend, ListOptions::default()).await.join(" "), own);
    let delimited = ListOptions { delimited: true, ..ListOptions::default() };
    assert_eq!(listed(&backend, delimited).await, [".storage-uploads/"]);
    assert!(backend.abort_multipart(&key("object"), &upload).await.expect("aborted").existed);
    assert_eq!(read(&backend, &own).await.expect("read"), "an application's");
}

#[tokio::test]
async fn no_url_has_what_azure_warns_of() {
    let (rig, proxy) = Rig::proxied().await;
    let backend = rig.open().await;
    for name in ["a./b.", "a\\b", "...", "a/.../b", "x. "] {
        save(&backend, name, name.to_owned()).await.expect("saved");
        assert_eq!(read(&backend, name).await.expect("read"), name);
    }
    for seen in requests(&proxy, |seen| seen.request.method == "PUT") {
        let path = &seen.request.path;
        assert!(!path.ends_with('.') && !path.contains("./") && !path.contains("%5C"), "{path}");
    }
}

#[tokio::test]
async fn groups_behind_a_dot_are_put_together_here() {
    let rig = Rig::new("azurite");
    let backend = rig.open().await;
    for name in ["a.", "a./1", "a./2/x", "a./2/y", "a.b", "a/1"] {
        save(&backend, name, "x").await.expect("saved");
    }
    for limit in [1, 2, 10] {
        let mut options = ListOptions { delimited: true, limit: Some(limit), ..ListOptions::default() };
        let mut all = Vec::new();
        loop {
            let page = backend.list_files(options.clone()).await.expect("listed");
            all.extend(page.objects.iter().map(|object| object.key.as_str().to_owned()));
            all.extend(page.common_prefixes);
            options.page_token = page.next_page_token;
            if options.page_token.is_none() {
                break;
            }
        }
        all.sort();
        assert_eq!(all, ["a.", "a./", "a.b", "a/"], "pages of {limit}");
    }
    let options = ListOptions { prefix: "a./".to_owned(), delimited: true, ..ListOptions::default() };
    assert_eq!(listed(&backend, options).await, ["a./1", "a./2/"]);
}

#[tokio::test]
async fn blobs_of_others_under_names_of_no_key_are_not_listed() {
    let (rig, proxy) = Rig::proxied().await;
    let backend = rig.open().await;
    let entry = |name: &str| {
        format!(
            "<Blob><Name>{name}</Name><Properties><Last-Modified>Sun, 06 Nov 1994 08:49:37 GMT</Last-Modified>\
             <Content-Length>1</Content-Length></Properties></Blob>"
        )
    };
    let blobs: String = ["/lead", "a//b", "dir/", "fine", "trail."].iter().map(|name| entry(name)).collect();
    let xml = format!("<EnumerationResults><Blobs>{blobs}</Blobs><NextMarker/></EnumerationResults>");
    proxy.add(Rule::on(|request| request.query("include").as_deref() == Some("metadata")).answer(200, xml));
    assert_eq!(listed(&backend, ListOptions::default()).await, ["fine"]);
}
