//! Which addresses are asked. Users name hosts as they like, and services on bootsrv's own machine or
//! link may trust whoever can reach them: only a registry that the site has settings for is there.

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

/// What names the proxies of a program (curl(1), "Environment").
const PROXY_VARIABLES: [&str; 6] =
    ["https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];

/// A host that is not asked.
#[derive(Debug, thiserror::Error)]
#[error("{0} is bootsrv's own machine or link")]
pub(super) struct Local(String);

/// Whether an address stays on this machine or its link, or belongs to no single machine.
fn is_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let this_network = v4.octets().first() == Some(&0);
            this_network
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
        }
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unicast_link_local()
                || v6.is_multicast()
        }
    }
}

/// Refuses what a URL alone tells; the addresses of names are [`Outside`]'s.
pub(super) fn check(url: &Url) -> Result<(), Local> {
    // The brackets of an IPv6 address are the URL's.
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).trim_end_matches('.');
    let by_name = host == "localhost" || host.ends_with(".localhost");
    match by_name || host.parse().is_ok_and(is_local) {
        true => Err(Local(host.to_owned())),
        false => Ok(()),
    }
}

/// Resolves names, but not to addresses of this machine or its link.
#[derive(Debug)]
pub(super) struct Outside {
    /// The site's own choice, wherever they are.
    proxies: BTreeSet<String>,
}

impl Outside {
    /// The proxies are those of the environment.
    pub(super) fn new() -> Self {
        let urls = PROXY_VARIABLES.iter().filter_map(|name| std::env::var(name).ok());
        Self { proxies: urls.filter_map(|url| host(&url)).collect() }
    }
}

/// Of a proxy, which may be written without a scheme.
fn host(proxy: &str) -> Option<String> {
    let url = match proxy.contains("://") {
        true => Url::parse(proxy),
        false => Url::parse(&format!("http://{proxy}")),
    };
    url.ok()?.host_str().map(str::to_owned)
}

impl Resolve for Outside {
    fn resolve(&self, name: Name) -> Resolving {
        let name = name.as_str().to_owned();
        let anywhere = self.proxies.contains(&name);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let outside: Vec<SocketAddr> =
                found.filter(|address| anywhere || !is_local(address.ip())).collect();
            match outside.is_empty() {
                true => Err(Local(name).into()),
                false => Ok(Box::new(outside.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_and_its_link_are_refused_however_they_are_written() {
        for (host, is_refused) in [
            ("127.0.0.1", true),
            ("127.1", true),
            ("2130706433", true),
            ("0x7f.0.0.1", true),
            ("0.0.0.0", true),
            ("169.254.169.254", true),
            ("224.0.0.1", true),
            ("[::1]", true),
            ("[::]", true),
            ("[::ffff:127.0.0.1]", true),
            ("[fe80::1]", true),
            ("localhost", true),
            ("LOCALHOST.", true),
            ("a.localhost", true),
            ("10.77.0.1", false),
            ("192.168.1.1", false),
            ("[2001:db8::1]", false),
            ("r.example.org", false),
        ] {
            let url = Url::parse(&format!("https://{host}:5000/v2/")).unwrap();
            assert_eq!(check(&url).is_err(), is_refused, "{host}");
        }
    }

    #[tokio::test]
    async fn names_are_judged_by_their_addresses_but_for_proxies() {
        let resolve = async |proxies: &[&str]| {
            let proxies = proxies.iter().map(|proxy| host(proxy).unwrap()).collect();
            let name = "localhost".parse().unwrap();
            Outside { proxies }.resolve(name).await.map(|found| found.count())
        };
        let refused = resolve(&["http://other:3128"]).await.unwrap_err();
        assert!(refused.downcast::<Local>().is_ok());
        assert!(resolve(&["localhost:3128"]).await.unwrap() > 0);
        assert!(resolve(&["http://u:p@localhost:3128/"]).await.unwrap() > 0);
    }
}
