//! Just enough of Rust's lexer to tell code from comments and strings.
//!
//! A full parser would be a heavy dependency of the crate that is compiled first.

use std::ops::RangeInclusive;

/// A piece of code: a word, a number or one mark of punctuation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    /// Counted from one.
    pub(crate) line: usize,
}

/// Stands for each character of a literal, so that its lines still count as code.
const LITERAL: u8 = b'"';

/// The same text, byte for byte as long, in which comments are spaces and the insides of literals are
/// quotation marks.
pub(crate) fn mask(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut masked = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let (end, filler) = match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => (find(bytes, at, b"\n"), b' '),
            b'/' if bytes.get(at + 1) == Some(&b'*') => (block_comment_end(bytes, at), b' '),
            b'"' => (string_end(bytes, at), LITERAL),
            b'r' | b'b' | b'c' if !is_word_before(bytes, at) => match raw_string_end(bytes, at) {
                Some(end) => (end, LITERAL),
                None => (at + 1, bytes[at]),
            },
            b'\'' => match char_end(text, at) {
                Some(end) => (end, LITERAL),
                None => (at + 1, b'\''), // A lifetime.
            },
            other => (at + 1, other),
        };
        if end > at + 1 {
            for byte in &mut masked[at..end] {
                if *byte != b'\n' {
                    *byte = filler;
                }
            }
        }
        at = end;
    }
    // Only whole literals and comments were overwritten, each by ASCII.
    String::from_utf8_lossy(&masked).into_owned()
}

fn find(bytes: &[u8], from: usize, wanted: &[u8]) -> usize {
    bytes[from..]
        .windows(wanted.len())
        .position(|window| window == wanted)
        .map_or(bytes.len(), |at| from + at)
}

fn block_comment_end(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The end of `r"…"`, `r#"…"#`, `br"…"` or `cr"…"` that starts here; none when it is no raw string.
fn raw_string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let prefix = bytes[start..].iter().take_while(|byte| matches!(byte, b'r' | b'b' | b'c')).count();
    if prefix > 2 || bytes[start + prefix - 1] != b'r' {
        return None;
    }
    let hashes = bytes[start + prefix..].iter().take_while(|byte| **byte == b'#').count();
    let opening = start + prefix + hashes;
    if bytes.get(opening) != Some(&b'"') {
        return None;
    }
    let mut closing = vec![b'"'];
    closing.resize(1 + hashes, b'#');
    Some((find(bytes, opening + 1, &closing) + closing.len()).min(bytes.len()))
}

/// The end of a character literal that starts here; none when it is a lifetime.
fn char_end(text: &str, start: usize) -> Option<usize> {
    let mut chars = text[start + 1..].char_indices();
    let (_, first) = chars.next()?;
    if first == '\\' {
        chars.next()?; // The escaped character may be a quotation mark.
        return text.get(start + 3..)?.find('\'').map(|at| start + 3 + at + 1);
    }
    chars.next().filter(|(_, c)| *c == '\'').map(|(at, _)| start + 1 + at + 1)
}

fn is_word_before(bytes: &[u8], at: usize) -> bool {
    at > 0 && is_word(bytes[at - 1])
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

/// The tokens of masked code.
pub(crate) fn tokens(masked: &str) -> Vec<Token<'_>> {
    let bytes = masked.as_bytes();
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        at += 1;
        match bytes[start] {
            b'\n' => line += 1,
            byte if byte.is_ascii_whitespace() || byte == LITERAL => {}
            byte => {
                while is_word(byte) && at < bytes.len() && is_word(bytes[at]) {
                    at += 1;
                }
                tokens.push(Token { text: &masked[start..at], line });
            }
        }
    }
    tokens
}

/// The lines of each item that is compiled for tests only, attributes included, ends inclusive.
pub(crate) fn test_only_lines(tokens: &[Token<'_>]) -> Vec<RangeInclusive<usize>> {
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let end_of_attribute = closing(tokens, at + 1);
        if !is_cfg_test(tokens, at, end_of_attribute) {
            at += 1;
            continue;
        }
        let end = item_end(tokens, end_of_attribute + 1);
        let last_line = tokens.get(end).or(tokens.last()).map_or(tokens[at].line, |token| token.line);
        ranges.push(tokens[at].line..=last_line);
        at = end + 1;
    }
    ranges
}

fn is_cfg_test(tokens: &[Token<'_>], at: usize, end: usize) -> bool {
    reads(tokens, at, &["#", "[", "cfg", "("])
        && tokens[at..end].iter().any(|token| token.text == "test")
        && tokens[at..end].iter().all(|token| token.text != "not")
}

/// The index of the last token of the item that starts at `at`: a semicolon or a closing brace.
fn item_end(tokens: &[Token<'_>], at: usize) -> usize {
    let mut index = at;
    while index < tokens.len() {
        match tokens[index].text {
            ";" => return index,
            "{" => return closing(tokens, index),
            "(" | "[" => index = closing(tokens, index),
            _ => {}
        }
        index += 1;
    }
    tokens.len()
}

/// Whether the tokens from `at` on read like `pattern`.
pub(crate) fn reads(tokens: &[Token<'_>], at: usize, pattern: &[&str]) -> bool {
    tokens
        .get(at..at + pattern.len())
        .is_some_and(|window| window.iter().zip(pattern).all(|(token, text)| token.text == *text))
}

/// The index of the bracket that closes the one at `open`; the end when none does.
pub(crate) fn closing(tokens: &[Token<'_>], open: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        match token.text {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return index;
                }
            }
            _ => {}
        }
    }
    tokens.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        tokens(&mask(text)).into_iter().map(|token| token.text.to_owned()).collect()
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        assert_eq!(words("a // b\nc /* d /* e */ f */ g"), ["a", "c", "g"]);
        assert_eq!(words(r#"a("b \" c"); d"#), ["a", "(", ")", ";", "d"]);
        assert_eq!(words("a(r#\"b \" c\"#, br\"d\\\", b\"e\")"), ["a", "(", ",", ",", "b", ")"]);
        assert_eq!(words("a('b', '\\'', '\"', '\\u{41}', 'é') // '"), ["a", "(", ",", ",", ",", ",", ")"]);
    }

    #[test]
    fn lifetimes_and_raw_names_are_code() {
        assert_eq!(words("fn a<'b>(c: &'b str)").join(" "), "fn a < ' b > ( c : & ' b str )");
        assert_eq!(words("r#type + rate"), ["r", "#", "type", "+", "rate"]);
    }

    #[test]
    fn masking_keeps_length_and_lines() {
        let text = "a /* é\n */ \"ü\nb\" 'c'\n";
        let masked = mask(text);
        assert_eq!(masked.len(), text.len());
        assert_eq!(masked.matches('\n').count(), 3);
        let last = tokens("a\n\"\"\nb").pop().expect("two words");
        assert_eq!(last, Token { text: "b", line: 3 });
    }

    #[test]
    fn an_unfinished_literal_ends_with_the_file() {
        assert_eq!(words("a \"b"), ["a"]);
        assert_eq!(words("a r#\"b"), ["a"]);
        assert_eq!(words("a /* b"), ["a"]);
        assert_eq!(words("a \"b\\"), ["a"]);
    }

    #[test]
    fn items_for_tests_are_known_by_their_lines() {
        let masked = mask(
            "use a;\n#[cfg(test)]\nuse b::{c, d};\nfn e() {}\n#[cfg(all(test, unix))]\n#[allow(f)]\nmod g {\n}\n#[cfg(not(test))]\nfn h() {}\n",
        );
        // The braces of the import end it for this purpose: both stand on one line.
        assert_eq!(test_only_lines(&tokens(&masked)), [2..=3, 5..=8]);
    }

    #[test]
    fn brackets_are_matched() {
        let masked = mask("a { b ( c ) [ d ] { e } } f");
        let tokens = tokens(&masked);
        assert_eq!(tokens[closing(&tokens, 1)].text, "}");
        assert_eq!(tokens[closing(&tokens, 1) + 1].text, "f");
        assert!(reads(&tokens, 2, &["b", "(", "c"]));
        assert!(!reads(&tokens, tokens.len() - 1, &["f", "g"]));
    }
}
