//! Which of Amazon's hosts a configuration reaches. A proxy that connects nowhere is told the host's name.

use storage_core::ErrorKind;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;

use crate::rig::refusal;

/// The host that a backend with these settings asks first.
async fn asked(settings: &[(&'static str, &str)]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let proxy = format!("http://{}", listener.local_addr().expect("an address"));
    let host = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).await.expect("a line");
        line.split(' ').nth(1).expect("a host").to_owned()
    });
    let mut all = vec![
        ("bucket_name", "resumes".to_owned()),
        ("region", "eu-central-1".to_owned()),
        ("access_key_id", "AKIDEXAMPLE".to_owned()),
        ("secret_access_key", "not-a-secret".to_owned()),
        ("proxy", proxy),
    ];
    for (key, value) in settings {
        all.retain(|(known, _)| known != key);
        all.push((key, (*value).to_owned()));
    }
    let error = refusal(all).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", error.report());
    assert!(error.retry().is_allowed(), "the network may come back");
    host.await.expect("the proxy was asked")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_setting_chooses_its_host() {
    let arn = "arn:aws:s3:eu-west-1:123456789012:accesspoint/resumes";
    let everywhere = "arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap";
    let express = "resumes--euc1-az4--x-s3";
    for (settings, host) in [
        (&[][..], "resumes.s3.eu-central-1.amazonaws.com:443"),
        (&[("region", "us-east-1")], "resumes.s3.us-east-1.amazonaws.com:443"),
        (&[("accelerate", "true")], "resumes.s3-accelerate.amazonaws.com:443"),
        (&[("dual_stack", "true")], "resumes.s3.dualstack.eu-central-1.amazonaws.com:443"),
        (
            &[("accelerate", "true"), ("dual_stack", "true")],
            "resumes.s3-accelerate.dualstack.amazonaws.com:443",
        ),
        (&[("fips", "true"), ("region", "us-east-2")], "resumes.s3-fips.us-east-2.amazonaws.com:443"),
        (&[("path_style", "true")], "s3.eu-central-1.amazonaws.com:443"),
        (&[("region", "cn-north-1")], "resumes.s3.cn-north-1.amazonaws.com.cn:443"),
        (&[("bucket_name", arn)], "resumes-123456789012.s3-accesspoint.eu-west-1.amazonaws.com:443"),
        (
            &[("bucket_name", arn), ("dual_stack", "true")],
            "resumes-123456789012.s3-accesspoint.dualstack.eu-west-1.amazonaws.com:443",
        ),
        (&[("bucket_name", everywhere)], "mfzwi23gnjvgw.mrap.accesspoint.s3-global.amazonaws.com:443"),
        (
            &[("bucket_name", express)],
            "resumes--euc1-az4--x-s3.s3express-euc1-az4.eu-central-1.amazonaws.com:443",
        ),
        (
            &[("bucket_name", express), ("fips", "true"), ("region", "us-east-1")],
            "resumes--euc1-az4--x-s3.s3express-fips-euc1-az4.us-east-1.amazonaws.com:443",
        ),
        (
            &[("bucket_name", express), ("dual_stack", "true")],
            "resumes--euc1-az4--x-s3.s3express-euc1-az4.dualstack.eu-central-1.amazonaws.com:443",
        ),
        (
            &[("bucket_name", "readers--use1-az4--xa-s3"), ("region", "us-east-1")],
            "readers--use1-az4--xa-s3.s3express-use1-az4.us-east-1.amazonaws.com:443",
        ),
    ] {
        assert_eq!(asked(settings).await, host);
    }
}
