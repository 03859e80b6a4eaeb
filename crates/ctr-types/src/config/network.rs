//! What a container's network is told: ports, name servers, names of hosts (semantics.md T12).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A transport protocol.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "each is the protocol of that name")]
pub enum Protocol {
    #[default]
    Tcp,
    Udp,
    Sctp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

impl FromStr for Protocol {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            "sctp" => Ok(Self::Sctp),
            _ => Err(()),
        }
    }
}

/// Ports of the host that lead into the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMapping {
    /// The host's address; none means all.
    pub host_ip: Option<IpAddr>,
    /// The first port of the host; 0 lets the kernel choose.
    pub host_port: u16,
    /// The first port in the container.
    pub container_port: u16,
    /// How many ports in a row.
    pub range: u16,
    /// The protocol.
    pub protocol: Protocol,
}

/// What `/etc/resolv.conf` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dns {
    /// Name servers, in place of the host's.
    pub servers: Vec<IpAddr>,
    /// Domains to search, in place of the host's; `.` alone means none.
    pub search: Vec<String>,
    /// Options, in place of the host's.
    pub options: Vec<String>,
    /// The image's own file is left as it is (`--dns none`).
    pub unmanaged: bool,
}

impl Dns {
    /// Whether anything differs from the host's.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What an added name leads to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostAddress {
    /// An address.
    Ip(IpAddr),
    /// The address by which the container reaches its host.
    HostGateway,
}

/// A line added to `/etc/hosts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostEntry {
    /// The name.
    pub name: String,
    /// Where it leads.
    pub address: HostAddress,
}

impl FromStr for HostEntry {
    type Err = String;

    /// Reads `NAME:ADDRESS`, as `--add-host` has it; an IPv6 address may stand in brackets.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("invalid host {text:?}: {why}");
        let (name, address) = text
            .split_once(':')
            .ok_or_else(|| wrong("use NAME:ADDRESS"))?;
        if name.is_empty() {
            return Err(wrong("it has no name"));
        }
        let bare = address
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(address);
        let address = if address == "host-gateway" {
            HostAddress::HostGateway
        } else {
            let ip = bare
                .parse()
                .map_err(|_no_address| wrong("its address is none"))?;
            HostAddress::Ip(ip)
        };
        Ok(Self {
            name: name.to_owned(),
            address,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t12_added_hosts_are_read_as_add_host_has_them() {
        let entry: HostEntry = "db:10.0.0.1".parse().unwrap();
        assert_eq!(entry.address, HostAddress::Ip("10.0.0.1".parse().unwrap()));
        for v6 in ["db:[fd00::1]", "db:fd00::1"] {
            let entry: HostEntry = v6.parse().unwrap();
            assert_eq!(entry.address, HostAddress::Ip("fd00::1".parse().unwrap()));
        }
        let gateway: HostEntry = "up:host-gateway".parse().unwrap();
        assert_eq!(gateway.address, HostAddress::HostGateway);
        for bad in ["db", ":10.0.0.1", "db:", "db:ten"] {
            assert!(bad.parse::<HostEntry>().is_err(), "{bad}");
        }
    }
}
