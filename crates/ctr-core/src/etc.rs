//! The files of `/etc` that the engine gives a container: hosts, hostname, resolv.conf (semantics.md M13, M29).

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use ctr_sys::fs::Durability;
use ctr_types::ContainerConfig;
use ctr_types::config::{Namespace, Network};

use crate::EngineError;

/// Longest file of the host taken over.
const LIMIT: u64 = 1 << 20;
/// Where systemd-resolved keeps the servers it really asks; its stub on 127.0.0.53 is of no use in another namespace.
const RESOLVED: &str = "/run/systemd/resolve/resolv.conf";

/// Writes them into the container's directory of this boot; gives each one's name in `/etc` with its path.
pub(crate) fn write(
    config: &ContainerConfig,
    run: &Path,
) -> Result<Vec<(&'static str, PathBuf)>, EngineError> {
    let name = match (&config.namespaces.uts, &config.hostname) {
        (Namespace::Private, Some(name)) => name.clone(),
        (Namespace::Private, None) => config.id.short().to_owned(),
        (Namespace::Host | Namespace::Container(_) | Namespace::Path(_), _) => {
            rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned()
        }
    };
    let host_network = config.namespaces.network == Network::Host;
    let resolv = if config.namespaces.network == Network::None {
        // Nothing can be asked.
        String::new()
    } else {
        let stub_is_reachable = host_network;
        read(if !stub_is_reachable && Path::new(RESOLVED).exists() {
            RESOLVED
        } else {
            "/etc/resolv.conf"
        })?
    };
    let hosts = if host_network {
        read("/etc/hosts")?
    } else {
        hosts(&name, config.name.as_str())
    };
    let mut written = Vec::new();
    for (file, content) in [
        ("hosts", hosts),
        ("hostname", format!("{name}\n")),
        ("resolv.conf", resolv),
    ] {
        let path = run.join(file);
        ctr_sys::fs::write_atomic(&path, content.as_bytes(), 0o644, Durability::ProcessDeath)?;
        written.push((file, path));
    }
    Ok(written)
}

/// A file of the host; none there is an empty one.
fn read(path: &str) -> Result<String, EngineError> {
    let content = ctr_sys::fs::read_if_present(Path::new(path), LIMIT)?;
    Ok(String::from_utf8_lossy(&content.unwrap_or_default()).into_owned())
}

fn hosts(hostname: &str, name: &str) -> String {
    let mut text =
        String::from("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    // Its own name has to lead somewhere; without an address of its own, to itself.
    // Writing to a String cannot fail.
    let _infallible = writeln!(text, "127.0.0.1\t{hostname} {name}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_containers_own_names_lead_to_itself() {
        assert!(hosts("h", "web").ends_with("127.0.0.1\th web\n"));
    }
}
