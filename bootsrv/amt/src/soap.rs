//! WS-Management messages (DMTF DSP0226 on SOAP 1.2): writes questions, reads answers and faults.
//! Knows nothing of HTTP.

use crate::error::{Cause, Kind};
use crate::xml::{self, Element, escape};
use std::fmt::Write as _;

pub(crate) const SOAP: &str = "http://www.w3.org/2003/05/soap-envelope";
pub(crate) const ADDRESSING: &str = "http://schemas.xmlsoap.org/ws/2004/08/addressing";
pub(crate) const ANONYMOUS: &str =
    "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous";
pub(crate) const WSMAN: &str = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd";
pub(crate) const TRANSFER: &str = "http://schemas.xmlsoap.org/ws/2004/09/transfer";
pub(crate) const ENUMERATION: &str = "http://schemas.xmlsoap.org/ws/2004/09/enumeration";
pub(crate) const IDENTITY: &str = "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd";
const CIM: &str = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/";
const AMT: &str = "http://intel.com/wbem/wscim/1/amt-schema/1/";

/// Longest part of a fault that is kept, in characters.
const WORDS_MAX: usize = 200;

/// A WS-Management fault.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
#[error("it answers with the fault {subcode}: {reason}{}{detail}", if .detail.is_empty() { "" } else { " / " })]
pub struct Fault {
    /// Its subcode without prefix (its code, where it has no subcode), e.g. `AccessDenied`.
    pub subcode: String,
    /// The controller's words.
    pub reason: String,
    /// The controller's details, all text of them.
    pub detail: String,
}

impl Fault {
    /// What follows from it; names: DSP0226 annex "Faults", and WS-Addressing's own.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.subcode.as_str() {
            "TimedOut" | "Concurrency" | "QuotaLimit" | "EndpointUnavailable" => Kind::Busy,
            "AccessDenied" => Kind::Refused,
            // Firmware answers the second one for a class it does not have.
            "ActionNotSupported"
            | "DestinationUnreachable"
            | "InvalidSelectors"
            | "UnsupportedFeature" => Kind::Unsupported,
            _ => Kind::Malformed,
        }
    }
}

/// A question to one class.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    action: String,
    resource: String,
    /// Which instance; none: the only one.
    selectors: &'static [(&'static str, &'static str)],
    body: String,
}

/// Full name of a class.
pub(crate) fn resource(class: &str) -> String {
    let schema = if class.starts_with("AMT_") { AMT } else { CIM };
    format!("{schema}{class}")
}

impl Question {
    pub(crate) fn get(class: &str) -> Self {
        Self::of(format!("{TRANSFER}/Get"), class, String::new())
    }

    /// `properties` are elements with the prefix `h`.
    pub(crate) fn put(class: &str, properties: &str) -> Self {
        let uri = resource(class);
        let body = format!("<h:{class} xmlns:h=\"{uri}\">{properties}</h:{class}>");
        Self::of(format!("{TRANSFER}/Put"), class, body)
    }

    /// `parameters` are elements with the prefix `h`.
    pub(crate) fn invoke(
        class: &str,
        method: &str,
        selectors: &'static [(&'static str, &'static str)],
        parameters: &str,
    ) -> Self {
        let uri = resource(class);
        let body = format!("<h:{method}_INPUT xmlns:h=\"{uri}\">{parameters}</h:{method}_INPUT>");
        Self { selectors, ..Self::of(format!("{uri}/{method}"), class, body) }
    }

    pub(crate) fn enumerate(class: &str) -> Self {
        let body = format!("<n:Enumerate xmlns:n=\"{ENUMERATION}\"/>");
        Self::of(format!("{ENUMERATION}/Enumerate"), class, body)
    }

    pub(crate) fn pull(class: &str, context: &str) -> Self {
        let body = format!(
            "<n:Pull xmlns:n=\"{ENUMERATION}\"><n:EnumerationContext>{}</n:EnumerationContext>\
             <n:MaxElements>100</n:MaxElements></n:Pull>",
            escape(context)
        );
        Self::of(format!("{ENUMERATION}/Pull"), class, body)
    }

    fn of(action: String, class: &str, body: String) -> Self {
        Self { action, resource: resource(class), selectors: &[], body }
    }

    /// The message; `number` tells one question of a connection from another.
    pub(crate) fn envelope(&self, number: u64) -> String {
        let Self { action, resource, selectors, body } = self;
        format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\
             <s:Envelope xmlns:s=\"{SOAP}\" xmlns:a=\"{ADDRESSING}\" xmlns:w=\"{WSMAN}\">\
             <s:Header><a:Action>{action}</a:Action><a:To>/wsman</a:To>\
             <w:ResourceURI>{resource}</w:ResourceURI><a:MessageID>{number}</a:MessageID>\
             <a:ReplyTo><a:Address>{ANONYMOUS}</a:Address></a:ReplyTo>\
             <w:OperationTimeout>PT60S</w:OperationTimeout>{}</s:Header>\
             <s:Body>{body}</s:Body></s:Envelope>",
            selector_set(selectors)
        )
    }
}

/// The question who it is (DSP0226 section "Identify"); it has no header.
pub(crate) fn identify() -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><s:Envelope xmlns:s=\"{SOAP}\" \
         xmlns:i=\"{IDENTITY}\"><s:Header/><s:Body><i:Identify/></s:Body></s:Envelope>"
    )
}

/// A reference to one instance, as it stands in a parameter.
pub(crate) fn reference(class: &str, selectors: &[(&str, &str)]) -> String {
    format!(
        "<a:Address>{ANONYMOUS}</a:Address><a:ReferenceParameters>\
         <w:ResourceURI>{}</w:ResourceURI>{}</a:ReferenceParameters>",
        resource(class),
        selector_set(selectors)
    )
}

fn selector_set(selectors: &[(&str, &str)]) -> String {
    if selectors.is_empty() {
        return String::new();
    }
    let mut text = String::from("<w:SelectorSet>");
    for (name, value) in selectors {
        // Writing to a string cannot fail.
        write!(text, "<w:Selector Name=\"{name}\">{}</w:Selector>", escape(value)).ok();
    }
    text + "</w:SelectorSet>"
}

/// Reads an answer's body.
pub(crate) fn read(bytes: &[u8]) -> Result<Element, Cause> {
    let mut root = xml::parse(bytes).map_err(Cause::Xml)?;
    if root.name != "Envelope" || root.namespace != SOAP {
        return Err(Cause::Lacks("a SOAP envelope"));
    }
    let at = root.children.iter().position(|child| child.name == "Body");
    let body = root.children.swap_remove(at.ok_or(Cause::Lacks("a SOAP body"))?);
    match body.child("Fault") {
        Some(fault) => Err(Cause::Fault(read_fault(fault))),
        None => Ok(body),
    }
}

fn read_fault(fault: &Element) -> Fault {
    let code = fault.text_at(&["Code", "Subcode", "Value"]);
    let code = code.or_else(|| fault.text_at(&["Code", "Value"])).unwrap_or("without a code");
    let subcode = code.rsplit_once(':').map_or(code, |(_prefix, name)| name);
    Fault {
        subcode: one_line(subcode),
        reason: one_line(fault.text_at(&["Reason", "Text"]).unwrap_or("no reason given")),
        detail: one_line(&fault.child("Detail").map(Element::whole_text).unwrap_or_default()),
    }
}

/// ReturnValue of a method's answer.
pub(crate) fn return_value(body: &Element, method: &str) -> Result<u32, Cause> {
    let output =
        body.children.iter().find(|child| child.name.strip_suffix("_OUTPUT") == Some(method));
    let value = output.and_then(|output| output.text_at(&["ReturnValue"]));
    value.and_then(|text| text.parse().ok()).ok_or(Cause::Lacks("a ReturnValue"))
}

/// Foreign text in one line: no control characters, not too long.
fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split(|c: char| c.is_whitespace() || c.is_control()).collect();
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    words.join(" ").chars().take(WORDS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_write_can_be_read() {
        let question = Question::invoke("CIM_X", "Do", &[("Name", "a<b")], "<h:P>1</h:P>");
        let root = xml::parse(question.envelope(7).as_bytes()).unwrap();
        assert_eq!(root.text_at(&["Header", "Action"]), Some(&*format!("{CIM}CIM_X/Do")));
        assert_eq!(root.text_at(&["Header", "MessageID"]), Some("7"));
        assert_eq!(root.text_at(&["Header", "SelectorSet", "Selector"]), Some("a<b"));
        assert_eq!(root.text_at(&["Body", "Do_INPUT", "P"]), Some("1"));
        xml::parse(identify().as_bytes()).unwrap();
        xml::parse(Question::pull("AMT_X", "<&").envelope(1).as_bytes()).unwrap();
    }

    #[test]
    fn a_fault_is_told_in_its_own_words() {
        let text = format!(
            "<a:Envelope xmlns:a=\"{SOAP}\"><a:Body><a:Fault><a:Code><a:Value>a:Sender</a:Value>\
             <a:Subcode><a:Value>e:AccessDenied</a:Value></a:Subcode></a:Code><a:Reason>\
             <a:Text>Not\n for\u{9}you</a:Text></a:Reason><a:Detail><f>1</f><f>2</f></a:Detail>\
             </a:Fault></a:Body></a:Envelope>"
        );
        let Err(Cause::Fault(fault)) = read(text.as_bytes()) else { panic!("no fault") };
        assert_eq!(fault.to_string(), "it answers with the fault AccessDenied: Not for you / 1 2");
        assert_eq!(fault.kind(), Kind::Refused);
        for (subcode, kind) in [
            ("ActionNotSupported", Kind::Unsupported),
            ("DestinationUnreachable", Kind::Unsupported),
            ("TimedOut", Kind::Busy),
            ("SchemaValidationError", Kind::Malformed),
        ] {
            assert_eq!(Fault { subcode: subcode.into(), ..Fault::default() }.kind(), kind);
        }
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for text in ["<html/>", "<Envelope/>", &format!("<Envelope xmlns=\"{SOAP}\"/>")] {
            assert!(matches!(read(text.as_bytes()), Err(Cause::Lacks(_))), "{text}");
        }
        let body = xml::parse(b"<Body><Do_OUTPUT><ReturnValue>x</ReturnValue></Do_OUTPUT></Body>");
        assert!(return_value(&body.unwrap(), "Do").is_err());
        assert_eq!(one_line(&"x".repeat(1000)).len(), WORDS_MAX);
    }
}
