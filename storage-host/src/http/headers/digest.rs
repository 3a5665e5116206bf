//! Digests of bodies: `Content-Digest` and `Repr-Digest` (RFC 9530), and `X-Content-SHA256` in hexadecimal.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName};

use crate::catalog::Sha256;
use crate::http::error::Problem;

/// `Content-Digest`.
pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
/// `Repr-Digest`.
pub(crate) const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
/// `X-Content-SHA256`, for clients without structured fields.
pub(crate) const X_CONTENT_SHA256: HeaderName = HeaderName::from_static("x-content-sha256");

/// The SHA-256 that the body of a request is to have.
///
/// # Errors
///
/// A malformed digest; a `Content-Digest` without SHA-256, which the client must not believe checked; two
/// headers that contradict each other.
pub(crate) fn expected(headers: &HeaderMap) -> Result<Option<Sha256>, Problem> {
    let mut found: Option<Sha256> = None;
    for (name, parse) in
        [(CONTENT_DIGEST, structured as fn(&str) -> Option<Sha256>), (X_CONTENT_SHA256, hexadecimal)]
    {
        for value in headers.get_all(&name) {
            let digest = value.to_str().ok().and_then(parse).ok_or_else(|| {
                Problem::invalid(
                    name.as_str(),
                    "holds no SHA-256; send Content-Digest: sha-256=:BASE64: or X-Content-SHA256: HEX",
                )
            })?;
            if found.is_some_and(|other| other != digest) {
                return Err(Problem::invalid(name.as_str(), "contradicts another digest of the request"));
            }
            found = Some(digest);
        }
    }
    Ok(found)
}

/// The value of `Repr-Digest` for this digest.
pub(crate) fn structured_sha256(digest: &Sha256) -> String {
    let mut text = String::from("sha-256=:");
    STANDARD.encode_string(digest, &mut text);
    text.push(':');
    text
}

/// The SHA-256 among the members of a dictionary of digests. Base64 holds no comma, so that it may be split.
fn structured(text: &str) -> Option<Sha256> {
    let (_, value) = text
        .split(',')
        .filter_map(|member| member.trim().split_once('='))
        .find(|(algorithm, _)| *algorithm == "sha-256")?;
    let bytes = STANDARD.decode(value.strip_prefix(':')?.strip_suffix(':')?).ok()?;
    bytes.try_into().ok()
}

/// A digest in hexadecimal.
pub(crate) fn hexadecimal(text: &str) -> Option<Sha256> {
    hex::decode(text.trim()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::error::Code;
    use http::HeaderValue;

    const DIGEST: Sha256 = [7; 32];

    fn parse(headers: &[(HeaderName, &str)]) -> Result<Option<Sha256>, Problem> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name.clone(), HeaderValue::from_str(value).expect("a header value"));
        }
        expected(&map)
    }

    #[test]
    fn both_spellings_are_read() {
        let structured = structured_sha256(&DIGEST);
        let hexadecimal = hex::encode(DIGEST);
        assert_eq!(parse(&[]).expect("none"), None);
        assert_eq!(parse(&[(CONTENT_DIGEST, &structured)]).expect("one"), Some(DIGEST));
        assert_eq!(parse(&[(X_CONTENT_SHA256, &hexadecimal)]).expect("one"), Some(DIGEST));
        let both = [(CONTENT_DIGEST, structured.as_str()), (X_CONTENT_SHA256, &hexadecimal)];
        assert_eq!(parse(&both).expect("the same"), Some(DIGEST));
        let several = format!("sha-512=:AAAA:, {structured}");
        assert_eq!(parse(&[(CONTENT_DIGEST, &several)]).expect("one of two"), Some(DIGEST));
    }

    #[test]
    fn a_digest_that_would_not_be_checked_is_refused() {
        let structured = structured_sha256(&DIGEST);
        let other = hex::encode([8; 32]);
        let cases: &[&[(HeaderName, &str)]] = &[
            &[(CONTENT_DIGEST, "sha-512=:AAAA:")],
            &[(CONTENT_DIGEST, "sha-256=AAAA")],
            &[(CONTENT_DIGEST, "sha-256=:AAAA:")],
            &[(X_CONTENT_SHA256, "07")],
            &[(CONTENT_DIGEST, structured.as_str()), (X_CONTENT_SHA256, &other)],
        ];
        for case in cases {
            assert_eq!(parse(case).expect_err("refused").code(), Code::InvalidRequest);
        }
    }
}
