//! Credentials that cannot be used are told by where they came from, and never quoted; and how long those sign for that
//! can.

use storage_core::{ConfigValues, ErrorKind, OpenRequest};

use crate::auth;
use crate::config::Config;

fn config(pairs: &[(&str, &str)]) -> Config {
    let mut config = ConfigValues::new();
    config.set("bucket_name", "cvs", "test");
    for (key, text) in pairs {
        config.set(*key, *text, "test");
    }
    let request = OpenRequest { name: "cvs".to_owned(), config, ..OpenRequest::default() };
    Config::read(&request).expect("sound")
}

fn told(pairs: &[(&str, &str)]) -> String {
    let error = auth::find(&config(pairs)).err().expect("unusable");
    assert_eq!(error.kind(), ErrorKind::ConfigInvalid, "{error}");
    format!("{} {error:?}", error.report())
}

#[test]
fn a_missing_file_is_named() {
    let text = told(&[("credentials_file", "/no/such/file.json")]);
    assert!(text.contains("GOOGLE_APPLICATION_CREDENTIALS") && text.contains("/no/such/file.json"), "{text}");
}

#[test]
fn faulty_json_is_told_by_its_place_alone() {
    let text = told(&[("credentials_json", "{\"private_key\": \"hunter2\", oops}")]);
    assert!(text.contains("GCS_CREDENTIALS_JSON") && text.contains("column"), "{text}");
    assert!(!text.contains("hunter2") && !text.contains("oops"), "{text}");
}

#[test]
fn an_unknown_type_is_told_with_the_known_ones() {
    let text = told(&[("credentials_json", "{\"type\": \"passport\", \"private_key\": \"hunter2\"}")]);
    assert!(text.contains("\"passport\"") && text.contains("external_account"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
    assert!(told(&[("credentials_json", "{}")]).contains("none"), "no type at all");
}

#[tokio::test]
async fn a_key_that_is_none_is_not_quoted() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let account =
        r#"{"type":"service_account","client_email":"a@b","private_key_id":"1","private_key":"hunter2"}"#;
    let text = told(&[("credentials_json", account)]);
    assert!(text.contains("GCS_CREDENTIALS_JSON") && !text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn a_url_is_valid_for_as_long_as_the_key_that_signs_it_stays() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let user = r#"{"type":"authorized_user","client_id":"c","client_secret":"hunter2","refresh_token":"r"}"#;
    let account = r#"{"type":"service_account","project_id":"p","client_email":"a@b","private_key_id":"1",
        "private_key":"hunter2"}"#;
    let impersonated = format!(
        r#"{{"type":"impersonated_service_account","source_credentials":{user},
            "service_account_impersonation_url":"https://x/v1/projects/-/serviceAccounts/a@b:generateAccessToken"}}"#
    );
    for (pairs, hours) in [
        ([("credentials_json", account), ("auth", "none")], 7 * 24),
        ([("credentials_json", user), ("signer_email", "a@b")], 12),
        ([("credentials_json", user), ("impersonate", "a@b")], 12),
        ([("credentials_json", &impersonated), ("auth", "default")], 12),
    ] {
        let (_, signer) = auth::find(&config(&pairs)).expect("usable");
        let most = signer.expect("a signer").max_expiry();
        assert_eq!(most.as_secs(), hours * 3600, "{pairs:?}");
    }
}
