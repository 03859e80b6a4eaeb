//! `ps`.

use std::process::ExitCode;
use std::str::FromStr;

use clap::Args;
use ctr_core::types::Timestamp;
use ctr_core::{ContainerSummary, Ended, Engine, Sizes, human_duration};
use serde_json::{Value, json};

use crate::args::Globals;
use crate::output::inspect::state;
use crate::output::{self, ListFormat, Table};
use crate::{context, failure};

/// `ps`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct PsArgs {
    /// Show those that do not run too
    #[arg(short, long)]
    all: bool,
    /// Show ids only
    #[arg(short, long)]
    quiet: bool,
    /// Show the one created last
    #[arg(short, long, conflicts_with = "last")]
    latest: bool,
    /// Show so many created last
    #[arg(short = 'n', long, value_name = "NUMBER")]
    last: Option<usize>,
    /// Show those that fit: id, name, label, status, ancestor or exited
    #[arg(short, long, value_name = "NAME=VALUE")]
    filter: Vec<Filter>,
    /// json, table or a template such as {{.Names}}
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: ListFormat,
    /// Show what their files take
    #[arg(short, long)]
    size: bool,
    /// Show ids and commands in full
    #[arg(long)]
    no_trunc: bool,
    /// Show no heading
    #[arg(long)]
    noheading: bool,
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Filter {
    Id(String),
    Name(String),
    Label(String, Option<String>),
    Status(String),
    Ancestor(String),
    Exited(i32),
}

impl FromStr for Filter {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').ok_or("use NAME=VALUE")?;
        let owned = value.to_owned();
        Ok(match name {
            "id" => Self::Id(owned),
            "name" => Self::Name(owned),
            "label" => match value.split_once('=') {
                Some((name, value)) => Self::Label(name.to_owned(), Some(value.to_owned())),
                None => Self::Label(owned, None),
            },
            "status" => match value {
                "created" | "initialized" | "running" | "paused" | "stopping" | "stopped" | "exited" | "removing" => {
                    Self::Status(owned)
                }
                _ => return Err("use created, initialized, running, paused, stopping, stopped, exited or removing".into()),
            },
            "ancestor" => Self::Ancestor(owned),
            "exited" => Self::Exited(value.parse().map_err(|_no_number| "exited takes a number".to_owned())?),
            _ => return Err("use id, name, label, status, ancestor or exited".into()),
        })
    }
}

impl Filter {
    /// Which of several filters are alternatives: those of one kind.
    fn kind(&self) -> u8 {
        match self {
            Self::Id(_) => 0,
            Self::Name(_) => 1,
            Self::Label(..) => 2,
            Self::Status(_) => 3,
            Self::Ancestor(_) => 4,
            Self::Exited(_) => 5,
        }
    }

    fn fits(&self, container: &ContainerSummary) -> bool {
        match self {
            Self::Id(id) => container.id.as_str().starts_with(id.as_str()),
            Self::Name(name) => container.name.as_str().contains(name.as_str()),
            Self::Label(name, value) => container
                .labels
                .get(name)
                .is_some_and(|found| value.as_ref().is_none_or(|value| value == found)),
            Self::Status(status) => state(&container.phase) == status,
            Self::Ancestor(image) => {
                let name = &container.image_name;
                let short = name.rsplit('/').next().unwrap_or(name);
                let untagged = short.split(':').next().unwrap_or(short);
                name == image
                    || short == image
                    || untagged == image
                    || container
                        .image
                        .as_ref()
                        .is_some_and(|id| id.hex().starts_with(image.trim_start_matches("sha256:")))
            }
            Self::Exited(code) => container
                .phase
                .ended()
                .is_some_and(|ended| ended.exit_code == *code),
        }
    }
}

/// Labels must all fit; of the other kinds, any one of each.
fn fits(filters: &[Filter], container: &ContainerSummary) -> bool {
    (0..=5).all(|kind| {
        let mut of_kind = filters
            .iter()
            .filter(|filter| filter.kind() == kind)
            .peekable();
        of_kind.peek().is_none()
            || if kind == 2 {
                of_kind.all(|filter| filter.fits(container))
            } else {
                of_kind.any(|filter| filter.fits(container))
            }
    })
}

pub(crate) fn run(globals: &Globals, args: &PsArgs) -> anyhow::Result<ExitCode> {
    let engine = context::open(globals)?;
    let (mut containers, damaged) = engine.containers()?;
    // As podman: asking for a status or for the last ones is asking for all.
    let asks_for_all = args
        .filter
        .iter()
        .any(|filter| matches!(filter, Filter::Status(_) | Filter::Exited(_)));
    let last = args.last.or(args.latest.then_some(1));
    if !args.all && !asks_for_all && last.is_none() {
        containers.retain(ContainerSummary::is_up);
    }
    containers.retain(|container| fits(&args.filter, container));
    // Newest first.
    containers.reverse();
    containers.truncate(last.unwrap_or(usize::MAX));
    show(&engine, args, &containers)?;
    for error in damaged {
        failure::tell(&error.into());
    }
    Ok(ExitCode::SUCCESS)
}

fn show(engine: &Engine, args: &PsArgs, containers: &[ContainerSummary]) -> anyhow::Result<()> {
    let now = Timestamp::now();
    let id = |container: &ContainerSummary| {
        if args.no_trunc {
            container.id.to_string()
        } else {
            container.id.short().to_owned()
        }
    };
    if args.quiet {
        return containers
            .iter()
            .try_for_each(|container| output::line(&id(container)));
    }
    match &args.format {
        ListFormat::Json => output::json(
            &containers
                .iter()
                .map(|c| as_json(engine, c, now, args.size))
                .collect(),
        ),
        ListFormat::Template(template) => containers.iter().try_for_each(|container| {
            let mut fields = as_json(engine, container, now, args.size);
            if let Some(fields) = fields.as_object_mut() {
                if args.size {
                    fields.insert("Size".into(), size(engine, container).into());
                }
                fields.insert("ID".into(), id(container).into());
                fields.insert("Names".into(), container.name.as_str().into());
                fields.insert("Command".into(), command(container, args.no_trunc).into());
                fields.insert("RunningFor".into(), created(container, now).into());
            }
            output::line(&template.render(&fields)?)
        }),
        ListFormat::Table => {
            let mut heading = vec![
                "CONTAINER ID",
                "IMAGE",
                "COMMAND",
                "CREATED",
                "STATUS",
                "PORTS",
                "NAMES",
            ];
            heading.extend(args.size.then_some("SIZE"));
            let mut table = Table::new(&heading, !args.noheading);
            for container in containers {
                let mut cells = vec![
                    id(container),
                    container.image_name.clone(),
                    command(container, args.no_trunc),
                    created(container, now),
                    container.status(now),
                    String::new(),
                    container.name.to_string(),
                ];
                cells.extend(args.size.then(|| size(engine, container)));
                table.row(cells);
            }
            output::line(&table.render())
        }
    }
}

/// What a container's files take; nothing of one that has gone meanwhile, or is damaged.
fn sizes(engine: &Engine, container: &ContainerSummary) -> Option<Sizes> {
    let container = engine.container(container.id.as_str()).ok()?;
    container.sizes().ok()
}

fn size(engine: &Engine, container: &ContainerSummary) -> String {
    let Sizes { written, total } = sizes(engine, container).unwrap_or_default();
    format!(
        "{} (virtual {})",
        output::bytes(written),
        output::bytes(total)
    )
}

fn created(container: &ContainerSummary, now: Timestamp) -> String {
    format!(
        "{} ago",
        human_duration(now.as_second() - container.created.as_second())
    )
}

fn command(container: &ContainerSummary, is_full: bool) -> String {
    let text = container.command.join(" ");
    if is_full || text.chars().count() <= 20 {
        return text;
    }
    text.chars().take(17).chain("...".chars()).collect()
}

fn as_json(
    engine: &Engine,
    container: &ContainerSummary,
    now: Timestamp,
    with_size: bool,
) -> Value {
    // Not in the rows that a list is made of; one that is removed meanwhile has none.
    let mounts: Vec<String> = engine
        .container(container.id.as_str())
        .and_then(|container| container.peek())
        .map_or_else(
            |_gone| Vec::new(),
            |now| {
                now.config
                    .mounts
                    .into_iter()
                    .map(|mount| mount.destination)
                    .collect()
            },
        );
    let sizes = if with_size {
        sizes(engine, container)
    } else {
        None
    };
    let live = container.phase.live();
    let ended: Option<&Ended> = container.phase.ended();
    let seconds = |time: Option<Timestamp>| time.map_or(0, Timestamp::as_second);
    let started = live
        .and_then(|live| live.started_at)
        .or_else(|| ended.and_then(|ended| ended.started_at));
    json!({
        "AutoRemove": container.auto_remove,
        "Command": container.command,
        "Created": container.created.as_second(),
        "CreatedAt": created(container, now),
        "ExitCode": ended.map_or(0, |ended| ended.exit_code),
        "Exited": ended.is_some(),
        "ExitedAt": seconds(ended.and_then(|ended| ended.finished_at)),
        "Id": container.id,
        "Image": container.image_name,
        "ImageID": container.image.as_ref().map_or("", |id| id.hex()),
        "IsInfra": false,
        "Labels": container.labels,
        "Mounts": mounts,
        "Names": [container.name],
        "Networks": [],
        "Size": sizes.map(|sizes| json!({ "rootFsSize": sizes.total, "rwSize": sizes.written })),
        "Pid": live.map_or(0, |live| live.pid),
        "Pod": "",
        "PodName": "",
        "Ports": Value::Null,
        "Restarts": 0,
        "StartedAt": seconds(started),
        "State": state(&container.phase),
        "Status": container.status(now),
    })
}
