//! `ETag`, `Last-Modified` and the conditions on them (RFC 9110, section 13).

use std::time::SystemTime;

use http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, ToStrError};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::http::error::{Code, Problem};
use crate::service::FileInfo;

/// The conditions of one request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Conditions {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
    if_modified_since: Option<SystemTime>,
    if_unmodified_since: Option<SystemTime>,
    if_range: Option<IfRange>,
}

#[derive(Debug, PartialEq, Eq)]
enum Tags {
    Any,
    /// The opaque parts, and whether each is weak.
    These(Vec<(String, bool)>),
}

#[derive(Debug, PartialEq, Eq)]
enum IfRange {
    Tag(String),
    Date(SystemTime),
    /// A weak tag or no tag at all: never matches.
    Never,
}

/// What the conditions of a read mean for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Answer it.
    Proceed,
    /// The client has it: 304.
    NotModified,
}

impl Conditions {
    /// Reads the conditions.
    ///
    /// # Errors
    ///
    /// A malformed list of tags, which must not be taken for no condition. A date that is none is ignored, as
    /// RFC 9110 demands.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Result<Self, Problem> {
        Ok(Self {
            if_match: tags(headers, &IF_MATCH)?,
            if_none_match: tags(headers, &IF_NONE_MATCH)?,
            if_modified_since: date(headers, &IF_MODIFIED_SINCE),
            if_unmodified_since: date(headers, &IF_UNMODIFIED_SINCE),
            if_range: headers.get(IF_RANGE).map(if_range),
        })
    }

    /// Whether the request depends on nothing.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Decides a read of this file, in the order of RFC 9110, section 13.2.2.
    ///
    /// # Errors
    ///
    /// 412.
    pub(crate) fn check_read(&self, info: &FileInfo) -> Result<Verdict, Problem> {
        self.check_state(info)?;
        let unchanged = match &self.if_none_match {
            Some(known) => known.hold_weakly(info),
            None => self.if_modified_since.is_some_and(|moment| !changed_after(info, moment)),
        };
        Ok(if unchanged { Verdict::NotModified } else { Verdict::Proceed })
    }

    /// Decides a write that replaces this file.
    ///
    /// # Errors
    ///
    /// 412.
    pub(crate) fn check_write(&self, info: &FileInfo) -> Result<(), Problem> {
        self.check_state(info)?;
        match &self.if_none_match {
            Some(known) if known.hold_weakly(info) => Err(failed("If-None-Match", info)),
            _ => Ok(()),
        }
    }

    /// Whether the write depends on the state that it replaces.
    pub(crate) fn names_state(&self) -> bool {
        self.if_match.is_some() || self.if_none_match.is_some() || self.if_unmodified_since.is_some()
    }

    fn check_state(&self, info: &FileInfo) -> Result<(), Problem> {
        match &self.if_match {
            Some(expected) if !expected.hold_strongly(info) => Err(failed("If-Match", info)),
            Some(_) => Ok(()),
            None if self.if_unmodified_since.is_some_and(|moment| changed_after(info, moment)) => {
                Err(failed("If-Unmodified-Since", info))
            }
            None => Ok(()),
        }
    }

    /// Whether a `Range` of the request counts, or the file is another by now and must be answered whole.
    pub(crate) fn range_counts(&self, info: &FileInfo) -> bool {
        match &self.if_range {
            None => true,
            Some(IfRange::Tag(tag)) => *tag == info.etag().as_str(),
            // A date names a content only where no other was saved in its second (section 8.8.2.2), of which the first
            // version alone is sure.
            Some(IfRange::Date(moment)) => {
                info.version_number == 1 && seconds(*moment) == seconds(info.updated_at)
            }
            Some(IfRange::Never) => false,
        }
    }
}

impl Tags {
    fn hold_strongly(&self, info: &FileInfo) -> bool {
        match self {
            Tags::Any => true,
            Tags::These(tags) => tags.iter().any(|(tag, weak)| !weak && tag == info.etag().as_str()),
        }
    }

    fn hold_weakly(&self, info: &FileInfo) -> bool {
        match self {
            Tags::Any => true,
            Tags::These(tags) => tags.iter().any(|(tag, _)| tag == info.etag().as_str()),
        }
    }
}

/// The `ETag` of a file.
pub(crate) fn etag(info: &FileInfo) -> String {
    ["\"", info.etag().as_str(), "\""].concat()
}

/// The `Last-Modified` of a file: never later than the answer (RFC 9110, section 8.8.2.1), though a clock may have been
/// set back since the file was saved.
pub(crate) fn last_modified(info: &FileInfo) -> String {
    httpdate::fmt_http_date(info.updated_at.min(SystemTime::now()))
}

fn failed(header: &'static str, info: &FileInfo) -> Problem {
    Problem::new(Code::PreconditionFailed)
        .detail(format!("{header} does not hold: the current version has the tag {}", etag(info)))
        .field(header, "does not hold")
}

fn changed_after(info: &FileInfo, moment: SystemTime) -> bool {
    seconds(info.updated_at) > seconds(moment)
}

fn seconds(moment: SystemTime) -> u64 {
    moment.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

fn if_range(value: &HeaderValue) -> IfRange {
    let Ok(text) = value.to_str() else { return IfRange::Never };
    match tag_list(text) {
        Some(Tags::These(tags)) => match tags.as_slice() {
            [(tag, false)] => IfRange::Tag(tag.clone()),
            _ => IfRange::Never,
        },
        Some(Tags::Any) => IfRange::Never,
        None => httpdate::parse_http_date(text).map_or(IfRange::Never, IfRange::Date),
    }
}

fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>, Problem> {
    let lines: Result<Vec<_>, ToStrError> = headers.get_all(name).iter().map(HeaderValue::to_str).collect();
    match lines {
        Ok(lines) if lines.is_empty() => Ok(None),
        Ok(lines) => tag_list(&lines.join(",")).map(Some).ok_or(()),
        Err(_) => Err(()),
    }
    .map_err(|()| Problem::invalid(name.as_str(), "is * or a list of tags in quotation marks"))
}

/// `*`, or a comma-separated list of `"tag"` and `W/"tag"`. Tags may hold commas, so that it is scanned.
fn tag_list(text: &str) -> Option<Tags> {
    if text.trim() == "*" {
        return Some(Tags::Any);
    }
    // Elements of a list may be empty (RFC 9110, section 5.6.1.2).
    let mut rest = text.trim_end().trim_start_matches([',', ' ', '\t']);
    let mut tags = Vec::new();
    while !rest.is_empty() {
        let (weak, quoted) = match rest.strip_prefix("W/") {
            Some(quoted) => (true, quoted),
            None => (false, rest),
        };
        let (tag, after) = quoted.strip_prefix('"')?.split_once('"')?;
        tags.push((tag.to_owned(), weak));
        rest = after.trim_start();
        if !rest.is_empty() {
            rest = rest.strip_prefix(',')?.trim_start_matches([',', ' ', '\t']);
        }
    }
    (!tags.is_empty()).then_some(Tags::These(tags))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::model::tests::file_info;
    use proptest::prelude::*;
    use std::time::Duration;

    fn conditions(headers: &[(&HeaderName, &str)]) -> Conditions {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).expect("a header value"));
        }
        Conditions::from_headers(&map).expect("well-formed")
    }

    #[test]
    fn tags_are_compared_strongly_for_if_match_and_weakly_for_if_none_match() {
        let info = file_info();
        let tag = etag(&info);
        let weak = format!("W/{tag}");
        assert!(conditions(&[(&IF_MATCH, &tag)]).check_read(&info).is_ok());
        assert!(conditions(&[(&IF_MATCH, "*")]).check_write(&info).is_ok());
        assert!(conditions(&[(&IF_MATCH, &format!("\"x,y\", {tag}"))]).check_read(&info).is_ok());
        let problem = conditions(&[(&IF_MATCH, &weak)]).check_read(&info).expect_err("weak");
        assert_eq!(problem.code(), Code::PreconditionFailed);
        for known in [tag.as_str(), weak.as_str(), "*"] {
            let verdict = conditions(&[(&IF_NONE_MATCH, known)]).check_read(&info).expect("no state");
            assert_eq!(verdict, Verdict::NotModified);
            assert!(conditions(&[(&IF_NONE_MATCH, known)]).check_write(&info).is_err());
        }
        let verdict = conditions(&[(&IF_NONE_MATCH, "\"other\"")]).check_read(&info).expect("no state");
        assert_eq!(verdict, Verdict::Proceed);
    }

    #[test]
    fn several_lines_of_one_header_are_one_list() {
        let info = file_info();
        let tag = etag(&info);
        assert!(conditions(&[(&IF_MATCH, "\"a\""), (&IF_MATCH, &tag)]).check_read(&info).is_ok());
    }

    #[test]
    fn dates_count_in_whole_seconds_and_only_where_no_tag_is_given() {
        let mut info = file_info();
        info.updated_at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_000_500);
        let same = "Thu, 01 Jan 1970 00:16:40 GMT";
        let earlier = "Thu, 01 Jan 1970 00:16:39 GMT";
        let read = |headers: &[(&HeaderName, &str)]| conditions(headers).check_read(&info);
        assert_eq!(read(&[(&IF_MODIFIED_SINCE, same)]).expect("ok"), Verdict::NotModified);
        assert_eq!(read(&[(&IF_MODIFIED_SINCE, earlier)]).expect("ok"), Verdict::Proceed);
        assert_eq!(read(&[(&IF_MODIFIED_SINCE, "yesterday")]).expect("ok"), Verdict::Proceed);
        assert!(read(&[(&IF_UNMODIFIED_SINCE, same)]).is_ok());
        assert!(read(&[(&IF_UNMODIFIED_SINCE, earlier)]).is_err());
        let tag = etag(&info);
        assert!(read(&[(&IF_UNMODIFIED_SINCE, earlier), (&IF_MATCH, &tag)]).is_ok());
        let both = read(&[(&IF_MODIFIED_SINCE, same), (&IF_NONE_MATCH, "\"other\"")]);
        assert_eq!(both.expect("ok"), Verdict::Proceed);
    }

    #[test]
    fn a_range_counts_only_for_the_very_content_that_if_range_names() {
        let info = file_info();
        let counts = |value: &str| conditions(&[(&IF_RANGE, value)]).range_counts(&info);
        assert!(counts(&etag(&info)));
        assert!(counts(&last_modified(&info)));
        let later = FileInfo { version_number: 2, ..info.clone() };
        let date = last_modified(&later);
        assert!(!conditions(&[(&IF_RANGE, &date)]).range_counts(&later), "the one before may be as old");
        for other in ["\"other\"", &format!("W/{}", etag(&info)), "nonsense", "Thu, 01 Jan 1970 00:16:39 GMT"]
        {
            assert!(!counts(other), "{other}");
        }
        assert!(Conditions::default().range_counts(&info));
    }

    #[test]
    fn empty_elements_of_a_list_are_passed_over() {
        let info = file_info();
        for list in [format!(", {}", etag(&info)), format!("\"x\",, {},", etag(&info))] {
            assert!(conditions(&[(&IF_MATCH, &list)]).check_write(&info).is_ok(), "{list}");
        }
        assert!(conditions(&[(&IF_MATCH, ""), (&IF_MATCH, &etag(&info))]).check_write(&info).is_ok());
    }

    #[test]
    fn a_write_with_any_condition_on_the_content_depends_on_what_it_replaces() {
        for name in [&IF_MATCH, &IF_NONE_MATCH] {
            assert!(conditions(&[(name, "\"x\"")]).names_state(), "{name}");
        }
        assert!(!conditions(&[(&IF_RANGE, "\"x\"")]).names_state());
    }

    #[test]
    fn nothing_was_modified_after_it_is_answered() {
        let day = Duration::from_secs(24 * 3_600);
        let info = FileInfo { updated_at: SystemTime::now() + day, ..file_info() };
        let told = httpdate::parse_http_date(&last_modified(&info)).expect("a date");
        assert!(told <= SystemTime::now());
    }

    #[test]
    fn a_malformed_tag_is_refused_and_not_taken_for_no_condition() {
        for text in ["", ",", "abc", "\"abc", "\"a\" \"b\"", "\"a\";", "*, \"a\""] {
            let mut headers = HeaderMap::new();
            headers.insert(IF_MATCH, HeaderValue::from_str(text).expect("a header value"));
            let problem = Conditions::from_headers(&headers).expect_err(text);
            assert_eq!(problem.code(), Code::InvalidRequest);
        }
    }

    proptest! {
        #[test]
        fn every_list_of_tags_is_read_back(
            tags in proptest::collection::vec(("[!#-~]{0,12}", any::<bool>()), 1..5),
        ) {
            let written: Vec<_> = tags
                .iter()
                .map(|(tag, weak)| format!("{}\"{tag}\"", if *weak { "W/" } else { "" }))
                .collect();
            prop_assert_eq!(tag_list(&written.join(", ")), Some(Tags::These(tags.clone())));
            prop_assert_eq!(tag_list(&written.join(",")), Some(Tags::These(tags)));
        }

        #[test]
        fn no_text_is_too_much(text in "[ -~]{0,64}") {
            let _ = tag_list(&text);
        }
    }
}
