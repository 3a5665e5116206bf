//! Where the server is: the text of `MINIO_ENDPOINT_URL`, with or without a scheme, becomes an address.

use http::uri::Authority;

/// The address of the server, `scheme://host[:port]`, from its text and the wish for TLS.
///
/// Without a scheme the wish decides, and TLS is what nobody wished away.
///
/// # Errors
///
/// What is wrong with the text, in words.
pub(crate) fn address(text: &str, secure: Option<bool>) -> Result<String, String> {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
        None if secure == Some(false) => ("http".to_owned(), text),
        None => ("https".to_owned(), text),
    };
    let contradiction = match (scheme.as_str(), secure) {
        ("http", Some(true)) => Some("true"),
        ("https", Some(false)) => Some("false"),
        ("http" | "https", _) => None,
        _ => return Err(format!("starts with {scheme}://; it is http:// or https://")),
    };
    if let Some(secure) = contradiction {
        return Err(format!(
            "starts with {scheme}:// while secure (MINIO_SECURE) is {secure}; drop one of them"
        ));
    }
    let host = rest.trim_end_matches('/');
    let fault = if host.is_empty() {
        "names no host"
    } else if host.contains('@') {
        "holds a user or a password; they belong into MINIO_ACCESS_KEY and MINIO_SECRET_KEY"
    } else if host.contains(['/', '?', '#']) {
        "holds a path; requests are signed for the root of a host, and the bucket belongs into MINIO_BUCKET_NAME"
    } else if host.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
        "holds a character that no host has"
    } else if !is_authority(host) {
        "is not a host and a port, such as storage.example.org:9000"
    } else {
        return Ok(format!("{scheme}://{host}"));
    };
    Err(fault.to_owned())
}

/// Whether a text is a host and, where there is a second part, a port.
fn is_authority(text: &str) -> bool {
    text.parse::<Authority>().is_ok_and(|authority| {
        let port = text.strip_prefix(authority.host()).unwrap_or_default();
        !authority.host().is_empty() && (port.is_empty() || authority.port_u16().is_some_and(|port| port > 0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_that_is_missing_is_taken_from_the_wish_for_tls() {
        for (text, secure, expected) in [
            ("http://minio:9000", None, "http://minio:9000"),
            ("http://minio:9000/", Some(false), "http://minio:9000"),
            ("HTTPS://minio", None, "https://minio"),
            ("minio:9000", Some(false), "http://minio:9000"),
            ("minio:9000", Some(true), "https://minio:9000"),
            ("minio:9000", None, "https://minio:9000"),
            ("[::1]:9000", Some(false), "http://[::1]:9000"),
        ] {
            assert_eq!(address(text, secure).as_deref(), Ok(expected), "{text} {secure:?}");
        }
    }

    #[test]
    fn an_address_that_cannot_be_meant_is_refused_with_what_is_wrong() {
        for (text, secure, part) in [
            ("http://minio:9000", Some(true), "drop one of them"),
            ("https://minio", Some(false), "drop one of them"),
            ("ftp://minio", None, "it is http:// or https://"),
            ("http://", None, "names no host"),
            ("", None, "names no host"),
            ("http://a:b@minio", None, "a password"),
            ("http://minio/bucket", None, "MINIO_BUCKET_NAME"),
            ("http://minio:port", None, "a host and a port"),
            ("http://mi nio", None, "a character"),
        ] {
            let fault = address(text, secure).expect_err(text);
            assert!(fault.contains(part), "{fault}");
        }
    }
}
