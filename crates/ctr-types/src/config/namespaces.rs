//! Namespaces: own ones, the host's, another container's (semantics.md T11).

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::ContainerId;

/// A namespace of the container: an own one, the host's, another container's or one at a path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Namespace {
    /// An own, new namespace.
    #[default]
    Private,
    /// The host's.
    Host,
    /// Another container's, which becomes a dependency.
    Container(ContainerId),
    /// The one at this path.
    Path(PathBuf),
}

/// How the container is connected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// An own network namespace with nothing but loopback, made by the runtime.
    None,
    /// The host's network namespace.
    Host,
    /// An own network namespace held by the engine under the run root.
    #[default]
    Private,
    /// Another container's, which becomes a dependency.
    Container(ContainerId),
    /// The one at this path.
    Path(PathBuf),
}

/// The namespaces of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Namespaces {
    /// Network.
    pub network: Network,
    /// Process ids.
    pub pid: Namespace,
    /// System V IPC, POSIX message queues and /dev/shm.
    pub ipc: Namespace,
    /// Host name.
    pub uts: Namespace,
    /// View of the cgroup tree.
    pub cgroup: Namespace,
    /// User and group ids; the host's unless it is another container's or one at a path.
    pub user: Namespace,
    /// The file systems it sees; its own root file system is mounted in a new one.
    pub mount: Namespace,
}

impl Default for Namespaces {
    fn default() -> Self {
        Self {
            network: Network::default(),
            pid: Namespace::Private,
            ipc: Namespace::Private,
            uts: Namespace::Private,
            cgroup: Namespace::Private,
            user: Namespace::Host,
            mount: Namespace::Private,
        }
    }
}

impl Namespaces {
    /// Every namespace but that of the network, with the option that sets it.
    pub fn named(&self) -> [(&'static str, &Namespace); 6] {
        [
            ("--pid", &self.pid),
            ("--ipc", &self.ipc),
            ("--uts", &self.uts),
            ("--cgroupns", &self.cgroup),
            ("--userns", &self.user),
            ("--mountns", &self.mount),
        ]
    }

    /// The containers whose namespaces are shared: they must run for this one to be brought up, and stay as long as it does.
    pub fn dependencies(&self) -> BTreeSet<ContainerId> {
        let of_network = match &self.network {
            Network::Container(id) => Some(id),
            Network::None | Network::Host | Network::Private | Network::Path(_) => None,
        };
        let others = self.named();
        let of_others = others.iter().filter_map(|(_, namespace)| match namespace {
            Namespace::Container(id) => Some(id),
            Namespace::Private | Namespace::Host | Namespace::Path(_) => None,
        });
        of_network.into_iter().chain(of_others).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t11_every_shared_namespace_is_a_dependency_once() {
        let one: ContainerId = "1".repeat(64).parse().unwrap();
        let two: ContainerId = "2".repeat(64).parse().unwrap();
        let shared = Namespaces {
            network: Network::Container(one.clone()),
            pid: Namespace::Container(one.clone()),
            ipc: Namespace::Container(two.clone()),
            uts: Namespace::Container(two.clone()),
            cgroup: Namespace::Container(two.clone()),
            user: Namespace::Container(two.clone()),
            mount: Namespace::Container(two.clone()),
        };
        assert_eq!(shared.dependencies(), BTreeSet::from([one, two]));
        assert!(Namespaces::default().dependencies().is_empty());
        let old: Namespaces = serde_json::from_str(r#"{"pid":"host"}"#).unwrap();
        assert_eq!(
            old.user,
            Namespace::Host,
            "what an older version has written"
        );
    }
}
