//! Ports, name servers and names of hosts.

use std::net::IpAddr;

use anyhow::bail;
use clap::Args;
use ctr_core::CreateRequest;
use ctr_core::types::config::{Dns, HostEntry, PortMapping, Protocol};

/// Options about what the network is told.
#[derive(Debug, Args)]
pub(crate) struct NetworkOptions {
    /// Publish a port
    #[arg(short, long, value_name = "[[IP:]HOST:]CONTAINER[/PROTOCOL]", value_parser = port)]
    publish: Vec<PortMapping>,
    /// Name servers; none leaves resolv.conf to the image
    #[arg(long, value_name = "ADDRESS")]
    dns: Vec<String>,
    /// Domains to search; . for none
    #[arg(long, value_name = "DOMAIN")]
    dns_search: Vec<String>,
    /// Options of resolv.conf
    #[arg(long, visible_alias = "dns-opt", value_name = "OPTION")]
    dns_option: Vec<String>,
    /// Add a line to /etc/hosts
    #[arg(long, value_name = "NAME:ADDRESS")]
    add_host: Vec<HostEntry>,
    /// Leave /etc/hosts to the image
    #[arg(long)]
    no_hosts: bool,
}

/// `8080`, or `8080-8090`, as first port and number.
fn range(text: &str) -> Result<(u16, u16), String> {
    let number = |text: &str| {
        text.parse::<u16>()
            .map_err(|_no_port| format!("port {text:?} must be a number up to 65535"))
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    let count = last.checked_sub(first).and_then(|more| more.checked_add(1));
    let count = count.ok_or_else(|| format!("port range {text:?} ends before it begins"))?;
    Ok((first, count))
}

/// `[[ip:]host:]container[/protocol]`, an IPv6 address in brackets.
fn port(text: &str) -> Result<PortMapping, String> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol: Protocol = protocol
        .parse()
        .map_err(|()| format!("protocol {protocol:?} must be tcp, udp or sctp"))?;
    let (rest, container) = match ports.rsplit_once(':') {
        Some((rest, container)) => (Some(rest), container),
        None => (None, ports),
    };
    let (container_port, count) = range(container)?;
    let (address, host) = match rest {
        None => (None, ""),
        Some(rest) => match rest.rsplit_once(':') {
            Some((address, host)) => (Some(address), host),
            None => (None, rest),
        },
    };
    let host_ip = match address.filter(|address| !address.is_empty()) {
        None => None,
        Some(text) => {
            let bare = text.trim_start_matches('[').trim_end_matches(']');
            let ip: IpAddr = bare
                .parse()
                .map_err(|_no_address| format!("address {text:?} is none"))?;
            Some(ip)
        }
    };
    let (host_port, host_count) = if host.is_empty() {
        (0, count)
    } else {
        range(host)?
    };
    if host_count != count {
        return Err("host and container must have ranges of the same length".into());
    }
    Ok(PortMapping {
        host_ip,
        host_port,
        container_port,
        range: count,
        protocol,
    })
}

impl NetworkOptions {
    /// Puts what they ask for into the request.
    pub(super) fn apply(self, request: &mut CreateRequest) -> anyhow::Result<()> {
        let mut dns = Dns {
            search: self.dns_search,
            options: self.dns_option,
            ..Dns::default()
        };
        for server in &self.dns {
            if server == "none" {
                dns.unmanaged = true;
                continue;
            }
            match server.parse() {
                Ok(address) => dns.servers.push(address),
                Err(_) => bail!("invalid --dns {server:?}: use an address, or none"),
            }
        }
        request.ports = self.publish;
        request.dns = dns;
        request.hosts = self.add_host;
        request.no_hosts = self.no_hosts;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t12_ports_are_read_in_all_their_forms() {
        let simple = port("80").unwrap();
        assert_eq!(
            (simple.host_port, simple.container_port, simple.range),
            (0, 80, 1)
        );
        let full = port("127.0.0.1:8080-8081:80-81/udp").unwrap();
        assert_eq!(full.host_ip, Some("127.0.0.1".parse().unwrap()));
        assert_eq!(
            (full.host_port, full.container_port, full.range),
            (8080, 80, 2)
        );
        assert_eq!(full.protocol, Protocol::Udp);
        assert_eq!(
            port("[::1]:1:2").unwrap().host_ip,
            Some("::1".parse().unwrap())
        );
        assert_eq!(port("127.0.0.1::2").unwrap().host_port, 0);
        for bad in ["", "a", "80/icmp", "1-2:3", "2-1", "70000", "x:1:2"] {
            assert!(port(bad).is_err(), "{bad}");
        }
    }
}
