//! A service's address, as people write it, as a URL; and the paths on it that the service names.

use crate::{Error, ErrorKind};
use reqwest::Url;
use std::net::Ipv6Addr;

/// Longest path that a service may name, in bytes.
const PATH_BYTES_MAX: usize = 1024;

/// The service's origin: scheme, host and port.
pub(crate) fn origin(text: &str) -> Result<Url, Error> {
    let wrong = |why: &str| Error::new(text, "its address", ErrorKind::Misconfigured, why);
    let full = match text.parse::<Ipv6Addr>() {
        Ok(ip) => format!("https://[{ip}]"),
        Err(_) if text.contains("://") => text.to_owned(),
        Err(_) => format!("https://{text}"),
    };
    // The text is not shown if it might hold a password.
    let hidden = || Error::new("?", "its address", ErrorKind::Misconfigured, "holds a user");
    let url = Url::parse(&full).map_err(|error| wrong(&format!("is no URL: {error}")))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(hidden());
    }
    if !matches!(url.scheme(), "https" | "http") {
        return Err(wrong("is neither https:// nor http://"));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(wrong("has no host"));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("has more than a host and a port: the rest is found by itself"));
    }
    Ok(url)
}

/// `host[:port]`, for messages.
pub(crate) fn shown(origin: &Url) -> String {
    let host = origin.host_str().unwrap_or_default();
    origin.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The URL of a path that the service named; always on the service itself. `None`: it is no path.
pub(crate) fn at(origin: &Url, path: &str) -> Option<Url> {
    if !path.starts_with('/') || path.len() > PATH_BYTES_MAX || path.contains(char::is_control) {
        return None;
    }
    // What follows `#` points into the document.
    let path = path.split_once('#').map_or(path, |(document, _)| document);
    let (path, query) = match path.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path, None),
    };
    let mut url = origin.clone();
    url.set_path(path);
    url.set_query(query);
    Some(url)
}

/// The path, with its query, in what may be a whole URL, as in a `Location` header. Its host is not looked
/// at: behind address translation it is another one, and we ask only the one we know.
pub(crate) fn location(text: &str) -> Option<String> {
    let path = match Url::parse(text) {
        Ok(url) => match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        },
        Err(_) => text.to_owned(),
    };
    (path.starts_with('/') && path.len() <= PATH_BYTES_MAX).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_url_or_a_host() {
        for (text, wanted) in [
            ("c1", "https://c1/"),
            ("c1:8443", "https://c1:8443/"),
            ("10.1.2.3", "https://10.1.2.3/"),
            ("fd77::5", "https://[fd77::5]/"),
            ("[fd77::5]:9", "https://[fd77::5]:9/"),
            ("https://c1", "https://c1/"),
            ("http://c1:8000/", "http://c1:8000/"),
        ] {
            assert_eq!(origin(text).unwrap().as_str(), wanted, "{text}");
        }
        assert_eq!(shown(&origin("http://c1:8000").unwrap()), "c1:8000");
        assert_eq!(shown(&origin("[fd77::5]").unwrap()), "[fd77::5]");
    }

    #[test]
    fn anything_else_is_refused_and_no_password_is_shown() {
        for text in ["", "ftp://c1", "https://c1/redfish/v1", "https://c1?x", "https://", "a b"] {
            let error = origin(text).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Misconfigured, "{text}");
        }
        let error = origin("https://admin:hush@c1").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hush"));
    }

    #[test]
    fn a_path_never_leaves_the_service() {
        let origin = origin("https://c1").unwrap();
        for (path, wanted) in [
            (
                "/redfish/v1/Chassis/1/Power#/PowerControl/0",
                "https://c1/redfish/v1/Chassis/1/Power",
            ),
            ("/redfish/v1/Entries?$skip=2", "https://c1/redfish/v1/Entries?$skip=2"),
            ("//evil/x", "https://c1//evil/x"),
            ("/\\evil/x", "https://c1//evil/x"),
            ("/../x", "https://c1/x"),
        ] {
            assert_eq!(at(&origin, path).unwrap().as_str(), wanted);
        }
        for path in ["", "redfish", "https://evil/", "/a\nb", &"/a".repeat(513)] {
            assert!(at(&origin, path).is_none(), "{path}");
        }
        assert_eq!(location("https://10.0.0.1/a/b").as_deref(), Some("/a/b"));
        assert_eq!(location("https://c1/a?b=1&c=%20#d").as_deref(), Some("/a?b=1&c=%20"));
        assert_eq!(location("/a?b=1").as_deref(), Some("/a?b=1"));
        assert_eq!(location("/a/b").as_deref(), Some("/a/b"));
        assert_eq!(location("a/b"), None);
    }
}
