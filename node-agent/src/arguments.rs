//! The kernel arguments that bootsrv wrote for this node.
//!
//! Pure: a text in, checked values out. Knows nothing of `/proc` and of the network.

use anyhow::{Context as _, Result, bail};
use protocol::boot::{ARG_ADDRESS, ARG_ARTIFACTS, ARG_GATEWAY, ARG_MAC, ARG_NODE, ARG_SERVER};
use protocol::names::{MacAddress, NodeName};
use std::net::{IpAddr, SocketAddr};

/// What the kernel's command line says about this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KernelArguments {
    /// The node's name.
    pub(crate) node: NodeName,
    /// The address of the card.
    pub(crate) address: IpAddr,
    /// How many leading bits of the address are the network's.
    pub(crate) prefix_bits: u8,
    /// Where packets to other networks go.
    pub(crate) gateway: Option<IpAddr>,
    /// Which card.
    pub(crate) mac: MacAddress,
    /// Base URL of bootsrv, without a slash at the end.
    pub(crate) server: String,
    /// Base URL for artifacts, without a slash at the end; the server's if there is none.
    pub(crate) artifacts: String,
}

impl KernelArguments {
    /// Reads the command line; of an argument given twice the last counts, as in the kernel.
    pub(crate) fn parse(command_line: &str) -> Result<Self> {
        let find = |name: &str| {
            command_line
                .split_ascii_whitespace()
                .filter_map(|word| word.split_once('='))
                .filter_map(|(key, value)| (key == name && !value.is_empty()).then_some(value))
                .next_back()
        };
        let need = |name| find(name).with_context(|| format!("kernel argument {name} is missing"));
        let invalid = |name| move || format!("kernel argument {name} is not valid");

        let (address, prefix_bits) =
            address_with_prefix(need(ARG_ADDRESS)?).with_context(invalid(ARG_ADDRESS))?;
        let gateway =
            find(ARG_GATEWAY).map(str::parse).transpose().with_context(invalid(ARG_GATEWAY))?;
        let server = need(ARG_SERVER)?.trim_end_matches('/').to_owned();
        socket_address(&server).with_context(invalid(ARG_SERVER))?;
        if !server.starts_with("https://") {
            bail!("kernel argument {ARG_SERVER} is not an https URL");
        }
        let artifacts =
            find(ARG_ARTIFACTS).map_or(server.as_str(), |url| url.trim_end_matches('/')).to_owned();
        socket_address(&artifacts).with_context(invalid(ARG_ARTIFACTS))?;
        Ok(Self {
            node: need(ARG_NODE)?.parse().with_context(invalid(ARG_NODE))?,
            address,
            prefix_bits,
            gateway,
            mac: need(ARG_MAC)?.parse().with_context(invalid(ARG_MAC))?,
            server,
            artifacts,
        })
    }
}

fn address_with_prefix(text: &str) -> Result<(IpAddr, u8)> {
    let (address, prefix) = text.split_once('/').context("it has no prefix length")?;
    let address: IpAddr = address.parse()?;
    let prefix_bits: u8 = prefix.parse()?;
    if prefix_bits > if address.is_ipv4() { 32 } else { 128 } {
        bail!("a prefix length of {prefix_bits} is too long");
    }
    Ok((address, prefix_bits))
}

/// Address and port of a base URL; the host must be an address, because the agent has no name
/// service.
fn socket_address(url: &str) -> Result<SocketAddr> {
    let (authority, default_port) =
        match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(authority), _) => (authority, 443),
            (_, Some(authority)) => (authority, 80),
            (None, None) => bail!("it begins with neither https:// nor http://"),
        };
    if let Ok(address) = authority.parse::<SocketAddr>() {
        return Ok(address);
    }
    let host: IpAddr = authority
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .context("its host is not an address")?;
    Ok(SocketAddr::new(host, default_port))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "BOOT_IMAGE=vmlinuz console=ttyS0 bmc.node=n1 bmc.address=10.77.0.11/24 \
        bmc.mac=52:54:00:77:00:01 bmc.server=https://10.77.0.1:8443/ quiet\n";

    #[test]
    fn reads_the_arguments_of_a_boot_script() {
        let arguments = KernelArguments::parse(GOOD).unwrap();
        assert_eq!(arguments.node.as_str(), "n1");
        assert_eq!(arguments.address.to_string(), "10.77.0.11");
        assert_eq!(arguments.prefix_bits, 24);
        assert_eq!(arguments.gateway, None);
        assert_eq!(arguments.mac.to_string(), "52:54:00:77:00:01");
        assert_eq!(arguments.server, "https://10.77.0.1:8443");
    }

    #[test]
    fn the_last_of_two_counts() {
        let text = format!("bmc.node=n0 bmc.gateway=10.77.0.1 {GOOD} bmc.node=n9 bmc.gateway=");
        let arguments = KernelArguments::parse(&text).unwrap();
        assert_eq!(arguments.node.as_str(), "n9");
        assert_eq!(arguments.gateway, Some("10.77.0.1".parse().unwrap()));
    }

    #[test]
    fn refuses_what_it_cannot_use() {
        for (from, to) in [
            ("bmc.node=n1", ""),
            ("bmc.node=n1", "bmc.node=-x"),
            ("10.77.0.11/24", "10.77.0.11"),
            ("10.77.0.11/24", "10.77.0.11/33"),
            ("10.77.0.11/24", "n1/24"),
            ("52:54:00:77:00:01", "52:54:00:77:00"),
            ("https://", "http://"),
            ("https://10.77.0.1:8443", "https://head:8443"),
        ] {
            assert!(KernelArguments::parse(&GOOD.replace(from, to)).is_err(), "{from} -> {to}");
        }
    }

    #[test]
    fn artifacts_may_come_from_elsewhere() {
        let arguments = KernelArguments::parse(GOOD).unwrap();
        assert_eq!(arguments.artifacts, "https://10.77.0.1:8443");
        let text = format!("{GOOD} bmc.artifacts=http://10.77.0.2/");
        assert_eq!(KernelArguments::parse(&text).unwrap().artifacts, "http://10.77.0.2");
        let text = format!("{GOOD} bmc.artifacts=ftp://10.77.0.2/");
        assert!(KernelArguments::parse(&text).is_err());
    }

    #[test]
    fn knows_the_usual_ports() {
        for (url, address) in [
            ("http://10.77.0.1", "10.77.0.1:80"),
            ("https://10.77.0.1", "10.77.0.1:443"),
            ("https://[fd77::1]:8443", "[fd77::1]:8443"),
            ("https://[fd77::1]", "[fd77::1]:443"),
        ] {
            assert_eq!(socket_address(url).unwrap(), address.parse().unwrap());
        }
    }
}
