//! The files that the engine gives a container: hosts, hostname, resolv.conf, .containerenv (semantics.md M13, M29, T12, T15).
//!
//! They are made anew for every run, in the container's directory of this boot, and bound into it.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use ctr_sys::fs::Durability;
use ctr_types::config::{Dns, HostAddress, HostEntry, Namespace, Network};
use ctr_types::{ContainerConfig, Roots};

use crate::EngineError;

/// Longest file of the host taken over.
const LIMIT: u64 = 1 << 20;
/// Where systemd-resolved keeps the servers it really asks; its stub on 127.0.0.53 is of no use in another namespace.
const RESOLVED: &str = "/run/systemd/resolve/resolv.conf";

/// Writes them; gives each one's absolute path in the container with its path on the host.
pub(crate) fn write(
    config: &ContainerConfig,
    roots: &Roots,
) -> Result<Vec<(&'static str, PathBuf)>, EngineError> {
    let run = roots.container_run(&config.id);
    let name = host_name(config);
    let mut files = vec![
        ("/etc/hostname", "hostname", Some(format!("{name}\n"))),
        (
            "/run/.containerenv",
            "containerenv",
            Some(container_env(config)),
        ),
    ];
    let shared = match &config.namespaces.network {
        Network::Container(id) => Some(roots.container_run(id)),
        Network::None | Network::Host | Network::Private | Network::Path(_) => None,
    };
    // One network has one hosts file: that of the container whose network it is.
    let own = |text: Result<String, EngineError>| {
        if shared.is_some() {
            Ok(None)
        } else {
            text.map(Some)
        }
    };
    if !config.no_hosts {
        files.push(("/etc/hosts", "hosts", own(hosts(config, &name))?));
    }
    if !config.dns.unmanaged {
        files.push(("/etc/resolv.conf", "resolv.conf", own(resolv(config))?));
    }
    let mut written = Vec::new();
    for (destination, file, content) in files {
        let path = match (content, &shared) {
            (Some(content), _) => {
                let path = run.join(file);
                ctr_sys::fs::write_atomic(
                    &path,
                    content.as_bytes(),
                    0o644,
                    Durability::ProcessDeath,
                )?;
                path
            }
            (None, Some(theirs)) if theirs.join(file).exists() => theirs.join(file),
            (None, _) => continue,
        };
        written.push((destination, path));
    }
    Ok(written)
}

fn host_name(config: &ContainerConfig) -> String {
    match (&config.namespaces.uts, &config.hostname) {
        (Namespace::Private, Some(name)) => name.clone(),
        (Namespace::Private, None) => config.id.short().to_owned(),
        (Namespace::Host | Namespace::Container(_) | Namespace::Path(_), _) => {
            rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned()
        }
    }
}

/// A file of the host; none there is an empty one.
fn read(path: &str) -> Result<String, EngineError> {
    let content = ctr_sys::fs::read_if_present(Path::new(path), LIMIT)?;
    Ok(String::from_utf8_lossy(&content.unwrap_or_default()).into_owned())
}

fn resolv(config: &ContainerConfig) -> Result<String, EngineError> {
    let stub_is_reachable = config.namespaces.network == Network::Host;
    let from_host = if config.namespaces.network == Network::None {
        // Nothing can be asked.
        String::new()
    } else if !stub_is_reachable && Path::new(RESOLVED).exists() {
        read(RESOLVED)?
    } else {
        read("/etc/resolv.conf")?
    };
    Ok(merge_resolv(&from_host, &config.dns))
}

/// The host's file with what the user says in place of what it says: servers, search domains and options, each on its own.
fn merge_resolv(host: &str, dns: &Dns) -> String {
    if dns.is_default() {
        return host.to_owned();
    }
    let of_host = |keyword: &str| -> Vec<String> {
        host.lines()
            .filter_map(|line| {
                let mut words = line.split_whitespace();
                (words.next() == Some(keyword)).then(|| words.collect::<Vec<_>>().join(" "))
            })
            .collect()
    };
    let mut text = String::new();
    let mut line = |keyword: &str, value: &str| {
        if !value.is_empty() {
            // Writing to a String cannot fail.
            let _infallible = writeln!(text, "{keyword} {value}");
        }
    };
    match dns.search.as_slice() {
        [] => line(
            "search",
            of_host("search").last().map_or("", String::as_str),
        ),
        // As docker and podman: a dot alone means none.
        [dot] if dot == "." => {}
        several => line("search", &several.join(" ")),
    }
    if dns.servers.is_empty() {
        for server in of_host("nameserver") {
            line("nameserver", &server);
        }
    }
    for server in &dns.servers {
        line("nameserver", &server.to_string());
    }
    if dns.options.is_empty() {
        line("options", &of_host("options").join(" "));
    } else {
        line("options", &dns.options.join(" "));
    }
    text
}

fn hosts(config: &ContainerConfig, hostname: &str) -> Result<String, EngineError> {
    let on_host = config.namespaces.network == Network::Host;
    let mut text = if on_host {
        read("/etc/hosts")?
    } else {
        own_hosts(hostname, config.name.as_str())
    };
    // On the host's network the host is the container's own loopback.
    let gateway = on_host.then_some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    add_hosts(&mut text, &config.hosts, gateway)?;
    Ok(text)
}

fn own_hosts(hostname: &str, name: &str) -> String {
    let mut text =
        String::from("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    // Its own name has to lead somewhere; without an address of its own, to itself.
    // Writing to a String cannot fail.
    let _infallible = writeln!(text, "127.0.0.1\t{hostname} {name}");
    text
}

fn add_hosts(
    text: &mut String,
    added: &[HostEntry],
    gateway: Option<IpAddr>,
) -> Result<(), EngineError> {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for HostEntry { name, address } in added {
        let address = match address {
            HostAddress::Ip(address) => *address,
            HostAddress::HostGateway => gateway.ok_or_else(|| {
                EngineError::Invalid(format!(
                    "--add-host {name}:host-gateway: this network has no way to the host, give an address"
                ))
            })?,
        };
        // Writing to a String cannot fail.
        let _infallible = writeln!(text, "{address}\t{name}");
    }
    Ok(())
}

/// What programs look at to see that they are in a container, and in which (podman-run(1), ".containerenv").
fn container_env(config: &ContainerConfig) -> String {
    if !config.process.privileged {
        return String::new();
    }
    let (image_id, image) = config
        .rootfs
        .image()
        .map_or((String::new(), ""), |(id, name)| {
            (id.hex().to_owned(), name)
        });
    format!(
        "engine=\"ctrs-{}\"\nname=\"{}\"\nid=\"{}\"\nimage=\"{image}\"\nimageid=\"{image_id}\"\nrootless=0\n",
        env!("CARGO_PKG_VERSION"),
        config.name,
        config.id,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m13_a_containers_own_names_lead_to_itself() {
        assert!(own_hosts("h", "web").ends_with("127.0.0.1\th web\n"));
    }

    #[test]
    fn t12_what_is_asked_for_takes_the_place_of_the_hosts() {
        let host = "# made by hand\nsearch example.org\nnameserver 10.0.0.1\nnameserver 10.0.0.2\noptions edns0\n";
        assert_eq!(merge_resolv(host, &Dns::default()), host);
        let servers = Dns {
            servers: vec!["1.1.1.1".parse().unwrap()],
            ..Dns::default()
        };
        assert_eq!(
            merge_resolv(host, &servers),
            "search example.org\nnameserver 1.1.1.1\noptions edns0\n"
        );
        let others = Dns {
            search: vec![".".into()],
            options: vec!["ndots:1".into(), "rotate".into()],
            ..Dns::default()
        };
        assert_eq!(
            merge_resolv(host, &others),
            "nameserver 10.0.0.1\nnameserver 10.0.0.2\noptions ndots:1 rotate\n"
        );
    }

    #[test]
    fn t12_added_hosts_come_last_and_a_missing_gateway_is_told() {
        let entry = |text: &str| text.parse::<HostEntry>().unwrap();
        let mut text = String::from("127.0.0.1\tlocalhost");
        let added = [entry("db:10.0.0.1"), entry("up:host-gateway")];
        add_hosts(&mut text, &added, Some("10.0.0.9".parse().unwrap())).unwrap();
        assert_eq!(text, "127.0.0.1\tlocalhost\n10.0.0.1\tdb\n10.0.0.9\tup\n");
        let error = add_hosts(&mut text, &added, None).unwrap_err();
        assert!(error.to_string().contains("up:host-gateway"), "{error}");
    }
}
