//! One spelling for one registry: what a site says of a host (rules, settings, logins) must count
//! however a user writes it.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Where a reference without a registry is.
pub const DEFAULT_REGISTRY: &str = "docker.io";
/// Longest name of a host, in bytes (RFC 1035, 2.3.4, as text).
const HOST_BYTES_MAX: usize = 253;
/// Longest part of it between dots, in bytes (the same).
const LABEL_BYTES_MAX: usize = 63;
/// HTTPS.
const DEFAULT_PORT: u16 = 443;

/// A registry's `host[:port]` as references have it: the host in lower case without the dot at its
/// end, an address in its shortest form, the port without zeros before it and only where it is not
/// 443, Docker's own registry as [`DEFAULT_REGISTRY`]. A host that would not be known as one without
/// its port keeps it. `None`: it is no `host[:port]`.
#[must_use]
pub fn canonical_registry(text: &str) -> Option<String> {
    let (host, port) = split_port(text)?;
    let host = canonical_host(host)?;
    let port = port.unwrap_or(DEFAULT_PORT);
    if port != DEFAULT_PORT {
        return Some(format!("{host}:{port}"));
    }
    Some(match &*host {
        "index.docker.io" | "registry-1.docker.io" => DEFAULT_REGISTRY.to_owned(),
        _ if is_registry(&host) => host,
        // Without its port it would be the first part of a repository at the default registry.
        _ => format!("{host}:{port}"),
    })
}

/// Whether the first part of a reference names a registry, as Docker tells it from a repository's.
pub(crate) fn is_registry(part: &str) -> bool {
    part.contains(['.', ':']) || part == "localhost"
}

fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    // The colons in brackets are an address's.
    let end = text.find(']').unwrap_or(0);
    let Some(at) = text.get(end..)?.find(':').and_then(|at| at.checked_add(end)) else {
        return Some((text, None));
    };
    let (host, port) = (text.get(..at)?, text.get(at..)?.strip_prefix(':')?);
    // A number of the standard library may begin with a sign.
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port: u16 = digits.then(|| port.parse().ok())??;
    (port > 0).then_some((host, Some(port)))
}

fn canonical_host(host: &str) -> Option<String> {
    if let Some(address) = host.strip_prefix('[') {
        let address: Ipv6Addr = address.strip_suffix(']')?.parse().ok()?;
        return Some(match address.to_ipv4_mapped() {
            Some(address) => address.to_string(),
            None => format!("[{address}]"),
        });
    }
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let labels = host.split('.').all(|label| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    });
    if host.len() > HOST_BYTES_MAX || !labels {
        return None;
    }
    // Whatever ends in a number is read as an address by who connects: 0x7f.1, 2130706433.
    let last = host.rsplit('.').next()?;
    let hexadecimal = last
        .strip_prefix("0x")
        .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if hexadecimal || last.bytes().all(|byte| byte.is_ascii_digit()) {
        return host.parse::<Ipv4Addr>().ok().map(|address| address.to_string());
    }
    Some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_registry_has_one_spelling() {
        for (text, expected) in [
            ("r.io", "r.io"),
            ("R.Io.", "r.io"),
            ("r.io:443", "r.io"),
            ("r.io:00443", "r.io"),
            ("r.io:005000", "r.io:5000"),
            ("R.IO.:5000", "r.io:5000"),
            ("localhost:443", "localhost"),
            ("registry:5000", "registry:5000"),
            ("registry:0443", "registry:443"),
            ("registry.", "registry:443"),
            ("docker.io:443", "docker.io"),
            ("Index.Docker.io", "docker.io"),
            ("registry-1.docker.io.:443", "docker.io"),
            ("10.0.0.1:5000", "10.0.0.1:5000"),
            ("[::1]:5000", "[::1]:5000"),
            ("[0:0::0001]", "[::1]"),
            ("[FD00::A]:443", "[fd00::a]"),
            ("[::ffff:10.0.0.1]:5000", "10.0.0.1:5000"),
        ] {
            let found = canonical_registry(text);
            assert_eq!(found.as_deref(), Some(expected), "{text}");
            assert_eq!(canonical_registry(expected).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_host_or_port_is_refused() {
        let label = "a".repeat(64);
        let long = format!("{}io", "abcdefghi.".repeat(26));
        for bad in [
            "",
            ".",
            "r.io:",
            "r.io:0",
            "r.io:65536",
            "r.io:+1",
            "r.io:1:2",
            "r.io:x",
            "r..io",
            "-r.io",
            "r-.io",
            "r_x.io",
            "r.io..",
            "r.io/x",
            "::1",
            "[::1",
            "[::1]x",
            "[::1]:",
            "[r.io]",
            "010.0.0.1",
            "0x7f.1",
            "0x7f.0.0.0x1",
            "127.1",
            "2130706433:5000",
            "1.2.3.256",
            "r.1",
            &label,
            &long,
        ] {
            assert_eq!(canonical_registry(bad), None, "{bad}");
        }
    }
}
