//! dnsmasq.conf: fixed addresses for the nodes, and the way from their firmware to bootsrv.

use super::header;
use crate::site::{self, Site};
use std::fmt::Write as _;

/// Nobody gets an address from it: it is there so that a router advertisement can be sent.
const ADVERTISED: &str = "fd77::";

/// dnsmasq's part of the site.
pub(super) fn dnsmasq(site: &Site) -> String {
    let mut text = header(site, "dnsmasq on the provisioning network: DHCP only, no DNS.");
    let network = site.network.provisioning;
    let gateway = site.network.gateway.map_or(String::new(), |gateway| format!(",{gateway}"));
    let address = site.server.address;
    // Writing to a String cannot fail.
    write!(
        text,
        "port=0\n\
         interface={}\n\
         bind-dynamic\n\
         except-interface=lo\n\
         dhcp-authoritative\n\
         dhcp-no-override\n\
         dhcp-range={},static,{},1h\n\
         # Empty: no router at all, instead of this machine.\n\
         dhcp-option=option:router{gateway}\n\
         # iPXE says so with option 175: it gets the boot script of its hardware address.\n\
         dhcp-match=set:ipxe,175\n\
         dhcp-boot=tag:ipxe,http://{address}:{}/boot/${{net0/mac:hexhyp}}\n\
         # iPXE does not wait for a ProxyDHCP answer (175.176: no-pxedhcp) ...\n\
         dhcp-option=encap:175,176,1b\n\
         # ... nor for a router advertisement: one is sent at once. The interface needs an address\n\
         # in {ADVERTISED}/64 for it. Together the two saved 16 s of a boot.\n\
         enable-ra\n\
         dhcp-range={ADVERTISED},ra-only,64,1h\n",
        site.network.interface,
        network.address(),
        network.mask(),
        site.server.http_port,
    )
    .ok();
    if let Some(root) = &site.network.tftp_root {
        write!(
            text,
            "# Firmware that is not iPXE loads it first.\n\
             enable-tftp\n\
             tftp-root={}\n\
             dhcp-match=set:efi,option:client-arch,7\n\
             dhcp-match=set:efi,option:client-arch,9\n\
             dhcp-match=set:bios,option:client-arch,0\n\
             dhcp-boot=tag:efi,tag:!ipxe,ipxe.efi\n\
             dhcp-boot=tag:bios,tag:!ipxe,undionly.kpxe\n",
            root.display()
        )
        .ok();
    }
    for node in site::nodes(site) {
        writeln!(text, "dhcp-host={},{},{},infinite", node.mac, node.address, node.name).ok();
    }
    text
}
