//! The service's XML as a small tree. Its documents are pages of a listing at most.
//!
//! The SDK's own reading trims the spaces of names, and with them keys that end in one.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use storage_core::Result;

use crate::error;

/// An element: its text where it has no children, else them.
#[derive(Debug, Default)]
pub(crate) struct Element {
    pub(crate) name: String,
    text: String,
    children: Vec<Element>,
    /// Whether the text is percent-encoded, since XML has no such character.
    encoded: bool,
}

impl Element {
    /// Reads a document and gives its root.
    ///
    /// # Errors
    ///
    /// `Unavailable` for a text that is no XML.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
        let mut open = vec![Element::default()];
        let broken = |_| error::malformed("XML");
        loop {
            match reader.read_event().map_err(broken)? {
                Event::Start(start) => open.push(begin(&start)),
                Event::Empty(start) => close(&mut open, begin(&start)),
                Event::End(_) => {
                    // The reader has seen that the names match.
                    if let Some(done) = open.pop() {
                        close(&mut open, done);
                    }
                }
                Event::Text(piece) => {
                    let piece = piece.unescape().map_err(broken)?;
                    if let Some(element) = open.last_mut() {
                        element.text.push_str(&piece);
                    }
                }
                Event::CData(piece) => {
                    let piece = String::from_utf8_lossy(&piece.into_inner()).into_owned();
                    if let Some(element) = open.last_mut() {
                        element.text.push_str(&piece);
                    }
                }
                Event::Eof => break,
                _ => {}
            }
        }
        let root = (open.len() == 1).then(|| open.remove(0).children.into_iter().next()).flatten();
        root.ok_or_else(|| error::malformed("XML"))
    }

    /// The first child of this name.
    pub(crate) fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    /// All children, in their order.
    pub(crate) fn children(&self) -> impl Iterator<Item = &Element> {
        self.children.iter()
    }

    /// Gives the first child of this name away.
    pub(crate) fn into_child(self, name: &str) -> Option<Element> {
        self.children.into_iter().find(|child| child.name == name)
    }

    /// Gives all children away.
    pub(crate) fn into_children(self) -> impl Iterator<Item = Element> {
        self.children.into_iter()
    }

    /// The text of the first child of this name, if there is any.
    pub(crate) fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.as_str()).filter(|text| !text.is_empty())
    }

    /// The text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The text as a name, which may have been encoded.
    pub(crate) fn name_text(&self) -> String {
        if self.encoded {
            percent_encoding::percent_decode_str(&self.text).decode_utf8_lossy().into_owned()
        } else {
            self.text.clone()
        }
    }
}

fn begin(start: &BytesStart<'_>) -> Element {
    let encoded = start.attributes().flatten().any(|attribute| {
        attribute.key.as_ref() == b"Encoded" && attribute.value.eq_ignore_ascii_case(b"true")
    });
    let name = String::from_utf8_lossy(start.name().as_ref()).into_owned();
    Element { name, encoded, ..Element::default() }
}

fn close(open: &mut [Element], done: Element) {
    if let Some(parent) = open.last_mut() {
        parent.children.push(done);
    }
}

/// A text as the content of an element.
pub(crate) fn escape(text: &str) -> String {
    quick_xml::escape::escape(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_spaces_and_encoded_ones_are_decoded() {
        let root = Element::parse(
            "\u{feff}<?xml version=\"1.0\"?><Blobs><Blob><Name> a&amp;b </Name><Metadata /></Blob><Blob>\
             <Name Encoded=\"true\">a%EF%BF%BE</Name></Blob></Blobs>",
        )
        .expect("XML");
        let names: Vec<_> =
            root.children().filter_map(|blob| Some(blob.child("Name")?.name_text())).collect();
        assert_eq!(names, [" a&b ", "a\u{FFFE}"]);
        assert_eq!(root.children().next().expect("a blob").text_of("Metadata"), None);
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for text in ["", "text", "<a>", "<a></b>"] {
            assert!(Element::parse(text).is_err(), "{text}");
        }
    }
}
