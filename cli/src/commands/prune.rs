//! `container prune` and `image prune`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;
use ctr_core::types::Timestamp;
use ctr_core::{ContainerSummary, ErrorKind, PhaseName};

use super::rm::dependents_first;
use crate::args::Globals;
use crate::options::value;
use crate::{context, failure, output};

/// `container prune`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only containers that fit, such as until=24h or label=a=b
    #[arg(long, value_name = "NAME=VALUE", value_parser = filter)]
    filter: Vec<Filter>,
}

#[derive(Clone, Debug, PartialEq)]
enum Filter {
    Until(Timestamp),
    Label(String, Option<String>),
    NoLabel(String, Option<String>),
}

fn filter(text: &str) -> Result<Filter, String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} is no filter: use NAME=VALUE"))?;
    let (label, of_label) = match value.split_once('=') {
        Some((label, of_label)) => (label.to_owned(), Some(of_label.to_owned())),
        None => (value.to_owned(), None),
    };
    match name {
        "until" => value::moment(value).map(Filter::Until),
        "label" => Ok(Filter::Label(label, of_label)),
        "label!" => Ok(Filter::NoLabel(label, of_label)),
        _ => Err(format!(
            "filter {name:?} is unknown: use until, label or label!"
        )),
    }
}

impl Filter {
    fn fits(&self, container: &ContainerSummary) -> bool {
        let has = |label: &String, value: &Option<String>| {
            container
                .labels
                .get(label)
                .is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
        };
        match self {
            Self::Until(time) => container.created < *time,
            Self::Label(label, value) => has(label, value),
            Self::NoLabel(label, value) => !has(label, value),
        }
    }
}

/// Asks on standard error; anything but yes is no.
pub(crate) fn is_sure(warning: &str) -> anyhow::Result<bool> {
    let mut err = io::stderr().lock();
    write!(
        err,
        "WARNING! {warning}\nAre you sure you want to continue? [y/N] "
    )?;
    err.flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(
        answer.trim().to_ascii_lowercase().as_str(),
        "y" | "yes"
    ))
}

pub(crate) fn run(globals: &Globals, args: &PruneArgs) -> anyhow::Result<ExitCode> {
    let warning = "This will remove all non running containers.";
    if !args.force && !is_sure(warning)? {
        return Ok(ExitCode::SUCCESS);
    }
    let engine = context::open(globals)?;
    let names: Vec<String> = engine
        .containers()?
        .0
        .into_iter()
        .filter(|one| {
            let is_idle = matches!(
                one.phase.name(),
                PhaseName::Configured
                    | PhaseName::Created
                    | PhaseName::Stopped
                    | PhaseName::Exited
                    | PhaseName::Removing
            );
            is_idle && args.filter.iter().all(|filter| filter.fits(one))
        })
        .map(|one| one.id.to_string())
        .collect();
    let remove = |name: String| {
        match engine.container(&name).and_then(|one| one.remove(false)) {
            // Started, or removed, by somebody else meanwhile; or needed by one that runs.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::NotFound | ErrorKind::Denied | ErrorKind::InUse
                ) =>
            {
                return Ok(());
            }
            other => other?,
        }
        output::line(&name)
    };
    let names = dependents_first(&engine, names);
    Ok(failure::for_each(names, remove, failure::code))
}

/// `image prune`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct ImagePruneArgs {
    /// Those with a name too, when no container was made from them
    #[arg(short, long)]
    all: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

pub(crate) fn images(globals: &Globals, args: &ImagePruneArgs) -> anyhow::Result<ExitCode> {
    let which = if args.all {
        "all images without at least one container associated to them"
    } else {
        "all dangling images"
    };
    if !args.force && !is_sure(&format!("This will remove {which}."))? {
        return Ok(ExitCode::SUCCESS);
    }
    let engine = context::open(globals)?;
    let idle: Vec<String> = engine
        .images()?
        .into_iter()
        .filter(|image| image.containers.is_empty() && (args.all || image.record.names.is_empty()))
        .map(|image| image.record.id.to_string())
        .collect();
    let remove = |id: String| {
        match engine.remove_image(&id, true) {
            // Removed by somebody else meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        output::line(id.trim_start_matches("sha256:"))
    };
    Ok(failure::for_each(idle, remove, failure::code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_as_podmans() {
        assert_eq!(
            filter("label!=a=b"),
            Ok(Filter::NoLabel("a".into(), Some("b".into())))
        );
        assert_eq!(filter("label=a"), Ok(Filter::Label("a".into(), None)));
        assert!(matches!(filter("until=1h"), Ok(Filter::Until(_))));
        assert!(filter("x").is_err() && filter("x=y").is_err());
    }
}
