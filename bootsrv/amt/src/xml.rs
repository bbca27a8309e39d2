//! XML as a small tree. The text comes from the network: size, depth and counts are bounded, a
//! document type is refused, and no entity but XML's own five is known.

use quick_xml::NsReader;
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::ResolveResult;

/// Deepest nesting; the deepest answer of a controller has ten levels.
const DEPTH_MAX: usize = 32;
/// Most elements of a document; the longest list that is asked for has about a hundred.
const ELEMENTS_MAX: usize = 4096;
/// Most attributes of one element, declarations of namespaces among them.
const ATTRIBUTES_MAX: usize = 32;

/// An element; comments and processing instructions are gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Element {
    /// Name of its namespace; empty: none.
    pub(crate) namespace: String,
    /// Name without prefix.
    pub(crate) name: String,
    /// Names without prefix, declarations of namespaces left out.
    pub(crate) attributes: Vec<(String, String)>,
    /// All its text, without what its children hold.
    pub(crate) text: String,
    pub(crate) children: Vec<Element>,
}

/// Why a text is no such tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// Not text at all.
    #[error("it is not UTF-8")]
    Encoding,
    /// The rules of XML are broken.
    #[error("it is not XML: {0}")]
    Syntax(String),
    /// It declares a document type, which may define entities.
    #[error("it has a document type")]
    DocumentType,
    /// An entity that XML itself does not define.
    #[error("it uses an entity of its own")]
    Entity,
    /// Nested too deeply, or too many elements or attributes.
    #[error("it has too many {0}")]
    TooMuch(&'static str),
    /// No element, or more than one at the top.
    #[error("it is cut off")]
    CutOff,
}

impl Element {
    /// The first child of that name, in whatever namespace.
    pub(crate) fn child(&self, name: &str) -> Option<&Self> {
        self.children(name).next()
    }

    /// All children of that name.
    pub(crate) fn children<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// Goes down by names; each time the first child.
    pub(crate) fn find(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |element, name| element.child(name))
    }

    /// The text at the end of a path, without the space around it.
    pub(crate) fn text_at(&self, path: &[&str]) -> Option<&str> {
        self.find(path).map(|element| element.text.trim())
    }

    /// The text of all of it, the children's too, in document order where no text is mixed in.
    pub(crate) fn whole_text(&self) -> String {
        let mut words: Vec<String> = vec![self.text.trim().to_owned()];
        words.extend(self.children.iter().map(Self::whole_text));
        words.retain(|text| !text.is_empty());
        words.join(" ")
    }
}

/// Reads a document.
pub(crate) fn parse(bytes: &[u8]) -> Result<Element, XmlError> {
    let text = std::str::from_utf8(bytes).map_err(|_| XmlError::Encoding)?;
    let mut reader = NsReader::from_str(text.trim_start_matches('\u{FEFF}'));
    // Elements whose end is still to come; the first holds what stands at the top.
    let mut open = vec![Element::default()];
    let mut elements = 0;
    loop {
        let (namespace, event) = reader.read_resolved_event().map_err(|error| syntax(&error))?;
        match event {
            Event::Start(start) => {
                elements += 1;
                if elements > ELEMENTS_MAX || open.len() > DEPTH_MAX {
                    return Err(XmlError::TooMuch("elements"));
                }
                open.push(element(&namespace, &start)?);
            }
            Event::Empty(start) => {
                elements += 1;
                if elements > ELEMENTS_MAX {
                    return Err(XmlError::TooMuch("elements"));
                }
                let element = element(&namespace, &start)?;
                top(&mut open)?.children.push(element);
            }
            Event::End(_) => {
                let element = open.pop().ok_or(XmlError::CutOff)?;
                top(&mut open)?.children.push(element);
            }
            Event::Text(text) => top(&mut open)?.text.push_str(&text.xml10_content()),
            Event::CData(text) => top(&mut open)?.text.push_str(&text.xml10_content()),
            Event::GeneralRef(reference) => {
                let text = resolve(&reference)?;
                top(&mut open)?.text.push_str(&text);
            }
            Event::DocType(_) => return Err(XmlError::DocumentType),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            Event::Eof => break,
        }
    }
    let document = open.pop().filter(|_| open.is_empty()).ok_or(XmlError::CutOff)?;
    let mut roots = document.children.into_iter();
    match (roots.next(), roots.next()) {
        (Some(root), None) if document.text.trim().is_empty() => Ok(root),
        _ => Err(XmlError::CutOff),
    }
}

/// Makes text fit to stand in an element or an attribute.
pub(crate) fn escape(text: &str) -> std::borrow::Cow<'_, str> {
    quick_xml::escape::escape(text)
}

fn top(open: &mut [Element]) -> Result<&mut Element, XmlError> {
    open.last_mut().ok_or(XmlError::CutOff)
}

fn syntax(error: &dyn std::fmt::Display) -> XmlError {
    XmlError::Syntax(error.to_string())
}

fn element(namespace: &ResolveResult<'_>, start: &BytesStart<'_>) -> Result<Element, XmlError> {
    let namespace = match namespace {
        ResolveResult::Bound(namespace) => namespace.into_inner().to_owned(),
        ResolveResult::Unbound => String::new(),
        ResolveResult::Unknown(prefix) => {
            return Err(XmlError::Syntax(format!("nothing is declared for the prefix {prefix:?}")));
        }
    };
    let mut attributes = Vec::new();
    // Duplicates do not matter here, and looking for them takes time that grows with the square.
    for attribute in start.attributes().with_checks(false) {
        let attribute = attribute.map_err(|error| syntax(&error))?;
        if attributes.len() >= ATTRIBUTES_MAX {
            return Err(XmlError::TooMuch("attributes"));
        }
        if attribute.key.as_namespace_binding().is_some() {
            continue;
        }
        let value = attribute.normalized_value(XmlVersion::Explicit1_0);
        let value = value.map_err(|error| syntax(&error))?.into_owned();
        attributes.push((attribute.key.local_name().into_inner().to_owned(), value));
    }
    let name = start.local_name().into_inner().to_owned();
    Ok(Element { namespace, name, attributes, ..Element::default() })
}

fn resolve(reference: &BytesRef<'_>) -> Result<String, XmlError> {
    if let Some(character) = reference.resolve_char_ref().map_err(|error| syntax(&error))? {
        return Ok(character.to_string());
    }
    let known = resolve_predefined_entity(&reference.xml10_content());
    known.map(str::to_owned).ok_or(XmlError::Entity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_prefix_and_text_its_escapes() {
        let root = parse(
            b"\xEF\xBB\xBF<?xml version=\"1.0\" encoding=\"UTF-8\"?><!-- x --><a:r xmlns:a=\"urn:a\">\
              <a:t a:Name=\"N&amp;1\"> 1 &lt;&#65;<![CDATA[&]]></a:t><a:t/><u xmlns=\"urn:u\">2</u></a:r>",
        )
        .unwrap();
        assert_eq!((root.namespace.as_str(), root.name.as_str()), ("urn:a", "r"));
        assert_eq!(root.text_at(&["t"]), Some("1 <A&"));
        assert_eq!(root.child("t").unwrap().attributes, [("Name".into(), "N&1".into())]);
        assert_eq!(root.children("t").count(), 2);
        assert_eq!(root.child("u").unwrap().namespace, "urn:u");
        assert_eq!(root.whole_text(), "1 <A& 2");
    }

    #[test]
    fn what_is_hostile_is_refused() {
        let deep = "<a>".repeat(100_000);
        let many = format!("<a>{}</a>", "<b/>".repeat(ELEMENTS_MAX));
        let wide = format!("<a {}/>", "b='1' ".repeat(50_000));
        let bombs = "<!DOCTYPE a [<!ENTITY b \"x\">]><a>&b;</a>";
        for (text, refused) in [
            (deep.as_str(), XmlError::TooMuch("elements")),
            (&many, XmlError::TooMuch("elements")),
            (&wide, XmlError::TooMuch("attributes")),
            (bombs, XmlError::DocumentType),
            ("<a>&b;</a>", XmlError::Entity),
            ("", XmlError::CutOff),
            ("<a/><b/>", XmlError::CutOff),
            ("x<a/>", XmlError::CutOff),
            ("<a>", XmlError::CutOff),
        ] {
            assert_eq!(parse(text.as_bytes()), Err(refused), "{}", &text[..text.len().min(40)]);
        }
        for text in
            ["<a></b>", "<a b/>", "<a", "</a>", "<a>&#x110000;</a>", "<p:a/>", "<a b='&x;'/>"]
        {
            assert!(matches!(parse(text.as_bytes()), Err(XmlError::Syntax(_))), "{text}");
        }
        assert_eq!(parse(b"<a>\xFF</a>"), Err(XmlError::Encoding));
    }

    /// No cut and no changed byte makes the reader panic.
    #[test]
    fn damaged_documents_never_panic() {
        let text = "<a:e xmlns:a=\"urn:a\" n='1'><!-- c --><a:b>&amp;&#65;</a:b><![CDATA[x]]><?p i?></a:e>";
        for end in 0..text.len() {
            parse(&text.as_bytes()[..end]).unwrap_err();
            for byte in 0..=255 {
                let mut damaged = text.as_bytes().to_vec();
                damaged[end] = byte;
                parse(&damaged).ok();
            }
        }
    }
}
