//! `X-Storage-Metadata` and `X-Storage-Tags`: names and values in one header, encoded as in a query string
//! (`job_id=42&title=R%C3%A9sum%C3%A9`), so that any text passes and nothing lands in access logs.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName};

use crate::http::error::Problem;

/// `X-Storage-Metadata`.
pub(crate) const X_STORAGE_METADATA: HeaderName = HeaderName::from_static("x-storage-metadata");
/// `X-Storage-Tags`.
pub(crate) const X_STORAGE_TAGS: HeaderName = HeaderName::from_static("x-storage-tags");

/// The pairs of a header; `None` where it is absent. An empty header is an empty set. Several lines are one set.
///
/// # Errors
///
/// Text that is not ASCII or does not decode to UTF-8, a pair without `=`, a name given twice.
pub(crate) fn parse(
    headers: &HeaderMap,
    name: &HeaderName,
) -> Result<Option<BTreeMap<String, String>>, Problem> {
    let mut pairs: Option<BTreeMap<String, String>> = None;
    for line in headers.get_all(name) {
        let pairs = pairs.get_or_insert_default();
        let line = line.to_str().map_err(|_| {
            Problem::invalid(name.as_str(), "holds a character that is not ASCII: encode it as %XX")
        })?;
        for pair in line.split('&').map(str::trim).filter(|pair| !pair.is_empty()) {
            let Some((key, value)) = pair.split_once('=') else {
                return Err(Problem::invalid(name.as_str(), format!("{pair:?} is no name=value pair")));
            };
            let (key, value) = (decode(name, key)?, decode(name, value)?);
            if pairs.insert(key.clone(), value).is_some() {
                return Err(Problem::invalid(name.as_str(), format!("{key:?} is given twice")));
            }
        }
    }
    Ok(pairs)
}

fn decode(name: &HeaderName, text: &str) -> Result<String, Problem> {
    let spaced = text.replace('+', " ");
    let decoded = percent_encoding::percent_decode_str(&spaced).decode_utf8();
    decoded
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| Problem::invalid(name.as_str(), format!("{text:?} is not UTF-8 when it is decoded")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn pairs(lines: &[&str]) -> Result<Option<BTreeMap<String, String>>, Problem> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_STORAGE_METADATA, HeaderValue::from_str(line).expect("a header value"));
        }
        parse(&headers, &X_STORAGE_METADATA)
    }

    #[test]
    fn an_absent_header_is_not_an_empty_one() {
        assert_eq!(pairs(&[]).expect("absent"), None);
        assert_eq!(pairs(&[""]).expect("empty"), Some(BTreeMap::new()));
    }

    #[test]
    fn faults_name_the_pair() {
        for (lines, told) in
            [(&["a"][..], "no name=value"), (&["a=1", "a=2"], "twice"), (&["a=%FF"], "not UTF-8")]
        {
            let problem = pairs(lines).expect_err(told);
            assert!(problem.report().expect("a detail").contains(told));
        }
    }

    proptest! {
        #[test]
        fn any_text_passes(
            entries in proptest::collection::btree_map("[a-z][a-z0-9_-]{0,8}", any::<String>(), 0..4),
        ) {
            let encoded = form_urlencoded::Serializer::new(String::new()).extend_pairs(&entries).finish();
            prop_assert_eq!(pairs(&[&encoded]).expect("well-formed"), Some(entries));
        }
    }
}
