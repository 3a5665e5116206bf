//! Requests to CloudWatch, signed here.
//!
//! Three operations are needed of it, in the form that all of AWS's older services share: a form is posted, XML comes
//! back. The SDK's own crate for CloudWatch takes as long to compile as that for S3.

use std::time::SystemTime;

use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_s3::config::http::HttpRequest;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_types::body::SdkBody;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use storage_core::{Error, ErrorKind, Result, Retry};

use crate::error::{answered, parse_retry_after, timed_out};
use crate::extension::policy::partition;
use crate::store::Store;

const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The version of CloudWatch's API.
const VERSION: &str = "2010-08-01";

/// Asks CloudWatch something and gives the XML of the answer.
///
/// # Errors
///
/// What CloudWatch answers; `Timeout`; `Unauthenticated`.
pub(crate) async fn cloudwatch(
    store: &Store,
    what: &'static str,
    action: &str,
    form: &[(String, String)],
) -> Result<String> {
    let patience = store.config.read_timeout;
    match tokio::time::timeout(patience, send(store, what, action, form)).await {
        Ok(answer) => answer,
        Err(_) => Err(timed_out(what, patience)),
    }
}

fn endpoint(store: &Store) -> String {
    if let Some(endpoint) = &store.config.endpoints.cloudwatch {
        return endpoint.trim_end_matches('/').to_owned();
    }
    let region = store.region();
    let fips = if store.config.endpoints.fips { "-fips" } else { "" };
    let domain = if partition(region) == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://monitoring{fips}.{region}.{domain}")
}

async fn send(store: &Store, what: &'static str, action: &str, form: &[(String, String)]) -> Result<String> {
    let fault = |message: &str| Error::new(ErrorKind::Internal, message).with_context("request", what);
    let fixed = [("Action".to_owned(), action.to_owned()), ("Version".to_owned(), VERSION.to_owned())];
    let pairs = fixed.iter().chain(form).map(|(name, value)| {
        format!("{}={}", utf8_percent_encode(name, PLAIN), utf8_percent_encode(value, PLAIN))
    });
    let body = pairs.collect::<Vec<_>>().join("&");
    let provider = store.sdk.credentials_provider().ok_or_else(|| fault("there are no credentials"))?;
    let credentials = provider.provide_credentials().await.map_err(|error| {
        Error::new(ErrorKind::Unauthenticated, "the source of the credentials gave none").with_source(error)
    })?;
    let identity = credentials.into();
    let url = format!("{}/", endpoint(store));
    let host = url.split("://").nth(1).map(|rest| rest.trim_end_matches('/').to_owned()).unwrap_or_default();
    let headers =
        [("host", host.as_str()), ("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(store.region())
        .name("monitoring")
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| fault("the request cannot be signed").with_source(error))?
        .into();
    let signable =
        SignableRequest::new("POST", &url, headers.into_iter(), SignableBody::Bytes(body.as_bytes()));
    let signed = signable.and_then(|request| sign(request, &parameters));
    let (instructions, _) =
        signed.map_err(|error| fault("the request cannot be signed").with_source(error))?.into_parts();
    let mut request = http::Request::builder().method("POST").uri(&url);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let mut request = request
        .body(SdkBody::from(body))
        .map_err(|error| fault("the request cannot be made").with_source(error))?;
    instructions.apply_to_request_http1x(&mut request);
    let request = HttpRequest::try_from(request)
        .map_err(|error| fault("the request cannot be made").with_source(error))?;
    let mut answer = store.plain.call(request).await.map_err(|error| {
        Error::new(ErrorKind::Unavailable, "CloudWatch cannot be reached or broke the connection")
            .with_retry(Retry::May)
            .with_context("request", what)
            .with_source(error)
    })?;
    let status = answer.status().as_u16();
    let retry_after = answer.headers().get("retry-after").and_then(parse_retry_after);
    let bytes = aws_smithy_types::byte_stream::ByteStream::new(answer.take_body()).collect().await;
    let bytes = bytes.map_err(|error| {
        Error::new(ErrorKind::Unavailable, "the answer of CloudWatch broke off")
            .with_retry(Retry::May)
            .with_source(error)
    })?;
    let xml = String::from_utf8_lossy(&bytes.into_bytes()).into_owned();
    if (200..300).contains(&status) {
        return Ok(xml);
    }
    let (code, words) = (elements(&xml, "Code"), elements(&xml, "Message"));
    Err(answered(what, code.first().copied(), words.first().copied(), status, retry_after))
}

/// The contents of all elements of this name that hold no element of the same name.
pub(crate) fn elements<'a>(xml: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    xml.split(&open).skip(1).filter_map(|rest| rest.split_once(&close).map(|(content, _)| content)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found() {
        let xml = "<A><Code>X</Code><Datapoints><member><Average>1.0</Average></member><member>\
                   <Average>2.5</Average></member></Datapoints></A>";
        assert_eq!(elements(xml, "Average"), ["1.0", "2.5"]);
        assert_eq!(elements(xml, "Code"), ["X"]);
        assert!(elements(xml, "Message").is_empty() && elements("<Code>cut", "Code").is_empty());
    }
}
