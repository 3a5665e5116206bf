//! Users, roles and temporary credentials, which ministack enforces.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use storage_core::{Backend, ErrorKind, PresignMethod, PresignRequest, SaveOptions};
use storage_tests::fixture::{Chunking, Content};

use super::{all_services, element, root};
use crate::rig::{Settings, holds, key, kind, open, refusal, save, unique};

const CONTENT: Content = Content::new(1, 1_000);

async fn iam(form: &[(&str, &str)]) -> String {
    root("iam", "2010-05-08", form).await
}

/// Makes a user with this policy, and gives the settings with its keys.
async fn as_user(settings: &Settings, policy: &Value) -> Settings {
    let user = unique("user");
    iam(&[("Action", "CreateUser"), ("UserName", &user)]).await;
    let document = policy.to_string();
    let grant = [("Action", "PutUserPolicy"), ("UserName", &user), ("PolicyName", "storage")];
    iam(&[&grant[..], &[("PolicyDocument", &document)]].concat()).await;
    let keys = iam(&[("Action", "CreateAccessKey"), ("UserName", &user)]).await;
    with_keys(settings, &element(&keys, "AccessKeyId"), &element(&keys, "SecretAccessKey"))
}

fn with_keys(settings: &Settings, id: &str, secret: &str) -> Settings {
    let mut settings = settings.clone();
    settings.retain(|(key, _)| !["access_key_id", "secret_access_key", "create_bucket"].contains(key));
    settings.push(("access_key_id", id.to_owned()));
    settings.push(("secret_access_key", secret.to_owned()));
    settings
}

/// The policy that a backend of this configuration prints, without the actions that are named.
async fn policy_without(backend: &Arc<dyn Backend>, actions: &[&str]) -> Value {
    let mut policy = backend.invoke("policy", json!({})).await.expect("printed");
    for statement in policy["Statement"].as_array_mut().expect("statements") {
        let all = statement["Action"].as_array_mut().expect("actions");
        all.retain(|action| !actions.iter().any(|without| action == without));
    }
    policy
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_policy_is_enough_and_nothing_more_is_allowed() {
    let settings = all_services(&[("create_bucket", "true")]);
    let creator = open(settings.clone()).await;
    let policy = policy_without(&creator, &["s3:CreateBucket"]).await;
    let backend = open(as_user(&settings, &policy).await).await;
    let health = backend.health().await.expect("healthy");
    assert!(health.problems.is_empty(), "{health:?}");
    for content in [CONTENT, Content::new(2, 20 << 20)] {
        save(&backend, "object", content).await;
        holds(&backend, "object", content).await;
    }
    backend.copy(&key("object"), &key("copy"), Default::default()).await.expect("copied");
    let tags = [("team".to_owned(), "a".to_owned())].into();
    let options = SaveOptions { tags, ..SaveOptions::default() };
    backend.save(&key("tagged"), CONTENT.body(Chunking::Buffer), options).await.expect("tagged");
    assert_eq!(backend.list_files(Default::default()).await.expect("listed").objects.len(), 3);
    let keys = ["object", "copy", "tagged"].map(key).to_vec();
    for deleted in backend.delete_many(keys).await.expect("deleted") {
        assert!(deleted.expect("deleted").existed);
    }
    backend.apply_lifecycle(Vec::new()).await.expect("the rules may be read");
    // What the configuration does not need is not allowed.
    let denied = backend.invoke("list_intelligent_tiering", json!({})).await;
    assert!(matches!(
        kind(denied),
        ErrorKind::PermissionDenied | ErrorKind::NotFound | ErrorKind::Unsupported
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_probe_names_each_permission_that_is_missing() {
    let settings = all_services(&[]);
    let creator = open(settings.clone()).await;
    for permission in ["s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject"] {
        let policy = policy_without(&creator, &[permission]).await;
        let backend = open(as_user(&settings, &policy).await).await;
        let problems = backend.health().await.expect("it answers").problems;
        assert_eq!(problems.len(), 1, "without {permission}: {problems:?}");
        assert!(problems[0].contains(permission), "without {permission}: {problems:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_of_a_user_is_told() {
    let settings = all_services(&[]);
    let creator = open(settings.clone()).await;
    let policy = policy_without(&creator, &[]).await;
    let mut wrong = as_user(&settings, &policy).await;
    wrong.retain(|(key, _)| *key != "secret_access_key");
    wrong.push(("secret_access_key", "not-the-secret".to_owned()));
    let error = refusal(wrong).await;
    assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{}", error.report());
}

/// Who issues the tokens of pods.
const ISSUER: &str = "oidc.example.org";

/// A role that anybody may take on, with this policy.
async fn role(policy: &Value) -> String {
    let name = unique("role");
    let provider = format!("arn:aws:iam::000000000000:oidc-provider/{ISSUER}");
    let trust = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Principal": { "AWS": "*" }, "Action": "sts:AssumeRole" },
        { "Effect": "Allow", "Principal": { "Federated": provider }, "Action": "sts:AssumeRoleWithWebIdentity" }
    ] })
    .to_string();
    let form = [("Action", "CreateRole"), ("RoleName", &*name), ("AssumeRolePolicyDocument", &*trust)];
    let arn = element(&iam(&form).await, "Arn");
    let document = policy.to_string();
    let grant = [("Action", "PutRolePolicy"), ("RoleName", &*name), ("PolicyName", "storage")];
    iam(&[&grant[..], &[("PolicyDocument", &*document)]].concat()).await;
    arn
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_taken_on_and_a_url_lives_no_longer_than_its_session() {
    let settings = all_services(&[]);
    let creator = open(settings.clone()).await;
    let arn = role(&policy_without(&creator, &[]).await).await;
    let user = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "sts:AssumeRole", "Resource": arn }
    ] });
    let mut as_role = as_user(&settings, &user).await;
    as_role.push(("assume_role_arn", arn));
    let backend = open(as_role.clone()).await;
    save(&backend, "object", CONTENT).await;
    holds(&backend, "object", CONTENT).await;
    let week = Duration::from_secs(7 * 24 * 3600);
    let url = backend.presign(PresignRequest::new(key("object"), PresignMethod::Get, week)).await;
    let expires_at = url.expect("signed").expires_at;
    assert!(expires_at < SystemTime::now() + week / 2, "a session is of hours: {expires_at:?}");
    // The user alone may do nothing.
    as_role.retain(|(key, _)| *key != "assume_role_arn");
    let backend = open(as_role).await;
    let body = CONTENT.body(Chunking::Buffer);
    let saved = backend.save(&key("object"), body, SaveOptions::default()).await;
    assert_eq!(kind(saved), ErrorKind::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_not_be_taken_on_is_told() {
    let mut settings = all_services(&[]);
    let creator = open(settings.clone()).await;
    let nobody = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Deny", "Action": "*", "Resource": "*" }
    ] });
    let arn = role(&policy_without(&creator, &[]).await).await;
    settings = as_user(&settings, &nobody).await;
    settings.push(("assume_role_arn", arn));
    let error = refusal(settings).await;
    assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{}", error.report());
}

#[tokio::test(flavor = "multi_thread")]
async fn temporary_keys_work_with_their_token_and_not_without() {
    let settings = all_services(&[]);
    let creator = open(settings.clone()).await;
    let arn = role(&policy_without(&creator, &[]).await).await;
    let form = [("Action", "AssumeRole"), ("RoleArn", &*arn), ("RoleSessionName", "test")];
    let session = root("sts", "2011-06-15", &form).await;
    let keys = with_keys(&settings, &element(&session, "AccessKeyId"), &element(&session, "SecretAccessKey"));
    let mut with_token = keys.clone();
    with_token.push(("session_token", element(&session, "SessionToken")));
    let backend = open(with_token).await;
    save(&backend, "object", CONTENT).await;
    holds(&backend, "object", CONTENT).await;
    let error = refusal(keys).await;
    assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{}", error.report());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_identity_token_is_exchanged_for_keys() {
    let settings = all_services(&[]);
    let creator = open(settings.clone()).await;
    let arn = role(&policy_without(&creator, &[]).await).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    // Nobody looks at the signature of the token but a real STS.
    let part =
        |claims: Value| base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, claims.to_string());
    let claims = json!({ "iss": format!("https://{ISSUER}"), "aud": "sts.amazonaws.com", "sub": "pod", "exp": 4_102_444_800_u64 });
    let token = format!("{}.{}.c2lnbmF0dXJl\n", part(json!({ "alg": "RS256", "typ": "JWT" })), part(claims));
    std::fs::write(&file, token).expect("written");
    let mut identity = settings;
    identity.retain(|(key, _)| !["access_key_id", "secret_access_key", "create_bucket"].contains(key));
    identity.push(("role_arn", arn));
    identity.push(("web_identity_token_file", file.display().to_string()));
    let backend = open(identity.clone()).await;
    save(&backend, "object", CONTENT).await;
    holds(&backend, "object", CONTENT).await;
    std::fs::remove_file(&file).expect("removed");
    let error = refusal(identity).await;
    assert!(error.report().contains("AWS_WEB_IDENTITY_TOKEN_FILE"), "{}", error.report());
}
