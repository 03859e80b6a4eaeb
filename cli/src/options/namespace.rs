//! Namespaces and networks, with other containers by the names people give them.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use ctr_core::Engine;
use ctr_core::types::ContainerId;
use ctr_core::types::config::{Namespace, Namespaces, Network};

/// A namespace as asked for: another container is a name still.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Private,
    Host,
    /// As little as there is: a network with loopback alone.
    None,
    Container(String),
    Path(PathBuf),
}

/// Options of namespaces.
#[derive(Debug, Args)]
pub(crate) struct NamespaceOptions {
    /// How it is connected: none, host, private, container:NAME or ns:PATH
    #[arg(long, visible_alias = "net", value_name = "MODE", value_parser = network)]
    network: Option<Asked>,
    /// Process ids: private, host, container:NAME or ns:PATH
    #[arg(long, value_name = "MODE", value_parser = namespace)]
    pid: Option<Asked>,
    /// IPC and /dev/shm: private, shareable, host, container:NAME or ns:PATH
    #[arg(long, value_name = "MODE", value_parser = ipc)]
    ipc: Option<Asked>,
    /// Host name: private, host, container:NAME or ns:PATH
    #[arg(long, value_name = "MODE", value_parser = namespace)]
    uts: Option<Asked>,
    /// View of the cgroup tree: private, host, container:NAME or ns:PATH
    #[arg(long, value_name = "MODE", value_parser = namespace)]
    cgroupns: Option<Asked>,
    /// User ids: host, container:NAME or ns:PATH
    #[arg(long, value_name = "MODE", value_parser = userns)]
    userns: Option<Asked>,
}

fn namespace(text: &str) -> Result<Asked, String> {
    let wrong = || "use private, host, container:NAME or ns:PATH".to_owned();
    match text {
        "private" => Ok(Asked::Private),
        "host" => Ok(Asked::Host),
        text => match text.split_once(':') {
            Some(("container", name)) if !name.is_empty() => Ok(Asked::Container(name.to_owned())),
            Some(("ns", path)) if path.starts_with('/') => Ok(Asked::Path(path.into())),
            Some(_) | None => Err(wrong()),
        },
    }
}

fn network(text: &str) -> Result<Asked, String> {
    if text == "none" {
        return Ok(Asked::None);
    }
    namespace(text).map_err(|_named| {
        "use none, host, private, container:NAME or ns:PATH; this version has no other networks"
            .into()
    })
}

fn ipc(text: &str) -> Result<Asked, String> {
    match text {
        // Any container's may be shared.
        "shareable" => Ok(Asked::Private),
        text => namespace(text),
    }
}

fn userns(text: &str) -> Result<Asked, String> {
    match namespace(text)? {
        Asked::Private => {
            Err("use host, container:NAME or ns:PATH; this version maps no user ids".into())
        }
        other @ (Asked::Host | Asked::None | Asked::Container(_) | Asked::Path(_)) => Ok(other),
    }
}

fn id(engine: &Engine, name: &str) -> anyhow::Result<ContainerId> {
    Ok(engine.container(name)?.id().clone())
}

fn resolve(engine: &Engine, asked: Option<Asked>, default: Namespace) -> anyhow::Result<Namespace> {
    Ok(match asked {
        None => default,
        Some(Asked::Private) => Namespace::Private,
        Some(Asked::Host) => Namespace::Host,
        Some(Asked::Container(name)) => Namespace::Container(id(engine, &name)?),
        Some(Asked::Path(path)) => Namespace::Path(path),
        Some(Asked::None) => bail!("none is for networks only"),
    })
}

impl NamespaceOptions {
    /// What they ask for, with the containers that they name.
    pub(super) fn resolve(self, engine: &Engine) -> anyhow::Result<Namespaces> {
        let default = Namespaces::default();
        let network = match self.network {
            None => default.network,
            Some(Asked::None) => Network::None,
            Some(Asked::Private) => Network::Private,
            Some(Asked::Host) => Network::Host,
            Some(Asked::Container(name)) => Network::Container(id(engine, &name)?),
            Some(Asked::Path(path)) => Network::Path(path),
        };
        Ok(Namespaces {
            network,
            pid: resolve(engine, self.pid, default.pid)?,
            ipc: resolve(engine, self.ipc, default.ipc)?,
            uts: resolve(engine, self.uts, default.uts)?,
            cgroup: resolve(engine, self.cgroupns, default.cgroup)?,
            user: resolve(engine, self.userns, default.user)?,
            mount: default.mount,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t11_modes_are_read_as_podmans() {
        assert_eq!(
            namespace("container:web"),
            Ok(Asked::Container("web".into()))
        );
        assert_eq!(namespace("ns:/run/ns"), Ok(Asked::Path("/run/ns".into())));
        assert_eq!(ipc("shareable"), Ok(Asked::Private));
        assert_eq!(network("none"), Ok(Asked::None));
        for bad in ["", "none", "container:", "ns:x", "shareable", "other"] {
            assert!(namespace(bad).is_err(), "{bad}");
        }
        assert!(userns("private").is_err());
    }
}
