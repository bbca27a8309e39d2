//! iPXE scripts: a value becomes a text. Pure.

use crate::config::Urls;
use protocol::api::NodeDefinition;
use protocol::boot::{ARG_ADDRESS, ARG_ARTIFACTS, ARG_GATEWAY, ARG_MAC, ARG_NODE, ARG_SERVER};
use protocol::names::{Digest, MacAddress};

/// What the script of one boot needs.
#[derive(Debug, Clone)]
pub struct BootScript<'a> {
    /// Node, addresses, arguments.
    pub line: CommandLine<'a>,
    /// The kernel.
    pub kernel: Digest,
    /// Its initrd.
    pub initrd: Digest,
}

/// What a kernel's command line is made of.
#[derive(Debug, Clone)]
pub struct CommandLine<'a> {
    /// The node.
    pub node: &'a NodeDefinition,
    /// How it reaches bootsrv.
    pub url: &'a Urls,
    /// The site's and the profile's kernel arguments.
    pub arguments: Vec<&'a str>,
}

/// Seconds between a kernel panic and the reset that shows it to us as a second script request.
const PANIC_SECONDS: u32 = 1;

/// A kernel's command line, without a secret in it: anybody on the node may read it.
#[must_use]
pub fn command_line(of: &CommandLine<'_>) -> String {
    let CommandLine { node, url, arguments } = of;
    let gateway = node.gateway.as_ref().map(|gateway| format!(" {ARG_GATEWAY}={gateway}"));
    let extra: String = arguments.iter().map(|argument| format!(" {argument}")).collect();
    format!(
        "{ARG_NODE}={} {ARG_ADDRESS}={}{} {ARG_MAC}={} {ARG_SERVER}={} {ARG_ARTIFACTS}={} \
         panic={PANIC_SECONDS}{extra}",
        node.name,
        node.address,
        gateway.unwrap_or_default(),
        node.mac,
        url.https,
        url.http,
    )
}

impl BootScript<'_> {
    /// The script. The token travels as an initrd of its own; nothing secret stands in the script or
    /// on the kernel's command line. It is fetched last, because it is served once: a boot that is
    /// interrupted before begins again. Where we are away, the node asks until we are back.
    #[must_use]
    pub fn render(&self) -> String {
        let Self { line, kernel, initrd } = self;
        let (NodeDefinition { name, mac, .. }, http_url) = (line.node, &line.url.http);
        let arguments = command_line(line);
        format!(
            "#!ipxe\n\
             echo node {name}: loading kernel and initrd\n\
             kernel --name kernel {http_url}/artifacts/{kernel} || goto failed\n\
             initrd --name initrd {http_url}/artifacts/{initrd} || goto failed\n\
             initrd --name token {http_url}/boot/{mac}/token || goto failed\n\
             imgargs kernel initrd=initrd initrd=token {arguments}\n\
             boot kernel\n\
             :failed\n\
             echo node {name}: could not load kernel and initrd, asking again\n\
             imgfree\n\
             :again\n\
             sleep 2\n\
             chain --replace --autofree {http_url}/boot/{mac} || goto again\n"
        )
    }
}

/// The script of a node with nothing to do: ask again every second, also while we are away: a
/// firmware that starts then finds nothing to boot, and does not ask a second time.
#[must_use]
pub fn hold(http_url: &str, mac: MacAddress) -> String {
    format!(
        "#!ipxe\n\
         :again\n\
         sleep 1\n\
         chain --replace --autofree {http_url}/boot/{mac} || goto again\n"
    )
}

/// The script of a node that has another address than its definition says.
#[must_use]
pub fn wrong_address(http_url: &str, mac: MacAddress, expected: &str) -> String {
    format!(
        "#!ipxe\n\
         echo {mac} has the address ${{net0/ip}}, not {expected}: make the DHCP server agree with bmc node show\n\
         sleep 10\n\
         chain --replace --autofree {http_url}/boot/{mac} || reboot\n"
    )
}

/// The script of a card nobody defined: say so on the console, slowly.
#[must_use]
pub fn unknown(http_url: &str, mac: &str) -> String {
    format!(
        "#!ipxe\n\
         echo {mac} is not a node of this site: add it with bmc node import\n\
         sleep 30\n\
         chain --replace --autofree {http_url}/boot/{mac} || reboot\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_this_text() {
        let node = NodeDefinition {
            gateway: Some("10.77.0.1".into()),
            ..crate::examples::node("n1", "52:54:00:77:00:01", "10.77.0.11/24")
        };
        let url =
            Urls { http: "http://10.77.0.1:8080".into(), https: "https://10.77.0.1:8443".into() };
        let line =
            CommandLine { node: &node, url: &url, arguments: vec!["console=ttyS0", "nosmt"] };
        let (kernel, initrd) = (Digest([0xaa; 32]), Digest([0xbb; 32]));
        let script = BootScript { line, kernel, initrd };
        let (a, b) = ("aa".repeat(32), "bb".repeat(32));
        let expected = format!(
            "#!ipxe
echo node n1: loading kernel and initrd
kernel --name kernel http://10.77.0.1:8080/artifacts/{a} || goto failed
initrd --name initrd http://10.77.0.1:8080/artifacts/{b} || goto failed
initrd --name token http://10.77.0.1:8080/boot/52:54:00:77:00:01/token || goto failed
imgargs kernel initrd=initrd initrd=token bmc.node=n1 bmc.address=10.77.0.11/24 \
bmc.gateway=10.77.0.1 bmc.mac=52:54:00:77:00:01 bmc.server=https://10.77.0.1:8443 bmc.artifacts=http://10.77.0.1:8080 panic=1 console=ttyS0 nosmt
boot kernel
:failed
echo node n1: could not load kernel and initrd, asking again
imgfree
:again
sleep 2
chain --replace --autofree http://10.77.0.1:8080/boot/52:54:00:77:00:01 || goto again
"
        );
        assert_eq!(script.render(), expected);
    }

    #[test]
    fn a_node_with_nothing_to_do_asks_until_it_is_answered() {
        let script = hold("http://a:8080", "52:54:00:77:00:01".parse().unwrap());
        let expected = "#!ipxe\n:again\nsleep 1\n\
            chain --replace --autofree http://a:8080/boot/52:54:00:77:00:01 || goto again\n";
        assert_eq!(script, expected);
    }
}
