//! `port`.

use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use ctr_core::types::config::{PortMapping, Protocol};

use crate::args::Globals;
use crate::{context, output};

/// `port`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct PortArgs {
    /// All containers
    #[arg(short, long, conflicts_with_all = ["container", "port"])]
    all: bool,
    /// The container
    #[arg(required_unless_present = "all")]
    container: Option<String>,
    /// A port of the container
    #[arg(value_name = "PORT[/PROTOCOL]", value_parser = wanted)]
    port: Option<(u16, Protocol)>,
}

fn wanted(text: &str) -> Result<(u16, Protocol), String> {
    let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let port = port
        .parse()
        .map_err(|_no_number| "use a port number, perhaps with /udp".to_owned())?;
    let protocol = protocol
        .parse()
        .map_err(|()| "the protocol must be tcp, udp or sctp".to_owned())?;
    Ok((port, protocol))
}

/// Every port of a mapping: in the container, and where it leads from.
fn pairs(mapping: &PortMapping) -> impl Iterator<Item = (u16, String)> {
    let address = mapping
        .host_ip
        .map_or_else(|| "0.0.0.0".to_owned(), |address| address.to_string());
    let (inside, host) = (mapping.container_port, mapping.host_port);
    (0..mapping.range).map(move |number| {
        let host = host.saturating_add(number);
        (inside.saturating_add(number), format!("{address}:{host}"))
    })
}

pub(crate) fn run(globals: &Globals, args: &PortArgs) -> anyhow::Result<ExitCode> {
    let engine = context::open(globals)?;
    let names: Vec<String> = if let Some(name) = &args.container {
        vec![name.clone()]
    } else {
        let (known, _damaged) = engine.containers()?;
        known.iter().map(|one| one.id.to_string()).collect()
    };
    for name in names {
        let container = engine.container(&name)?;
        let config = container.peek()?.config;
        let all = config
            .ports
            .iter()
            .flat_map(|mapping| pairs(mapping).map(|(port, host)| (port, mapping.protocol, host)));
        if let Some((port, protocol)) = args.port {
            let mut found = all
                .filter(|(number, kind, _)| (*number, *kind) == (port, protocol))
                .peekable();
            if found.peek().is_none() {
                bail!("no public port '{port}/{protocol}' of container {name}");
            }
            for (_, _, host) in found {
                output::line(&host)?;
            }
            continue;
        }
        for (port, protocol, host) in all {
            let line = format!("{port}/{protocol} -> {host}");
            if args.all {
                output::line(&format!("{}\t{line}", container.id().short()))?;
            } else {
                output::line(&line)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
