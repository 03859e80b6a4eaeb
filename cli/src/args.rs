//! The command line, as clap sees it. Each verb's arguments stand beside its code.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::{
    attach, commit, cp, create, diff, events, exec, exists, export, healthcheck, images, import,
    info, init, inspect, kill, load, logs, mount, pause, port, prune, ps, rename, restart, rm, rmi,
    run, start, stats, stop, system, tag, top, update, version, wait,
};

/// A container engine without a daemon
#[derive(Debug, Parser)]
#[command(
    name = "ctrs",
    version,
    disable_help_subcommand = true,
    args_override_self = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that stand before the verb.
#[derive(Debug, Args)]
pub(crate) struct Globals {
    /// Directory that keeps images and containers
    #[arg(
        long,
        value_name = "DIR",
        default_value = "/var/lib/ctrs",
        global = false
    )]
    pub(crate) root: PathBuf,
    /// Directory for what a reboot may take away
    #[arg(long, value_name = "DIR", default_value = "/run/ctrs")]
    pub(crate) runroot: PathBuf,
    /// How much is told on standard error
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    pub(crate) log_level: LogLevel,
    /// OCI runtime, by name or path, for containers that name none
    #[arg(long, value_name = "RUNTIME")]
    pub(crate) runtime: Option<String>,
}

/// How much is told on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum LogLevel {
    /// Every step of every operation, with the time it took
    #[value(alias = "trace")]
    Debug,
    Info,
    #[value(alias = "warning")]
    Warn,
    #[value(aliases = ["fatal", "panic"])]
    Error,
}

/// A verb, with or without the noun before it.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Container(ContainerVerb),
    #[command(flatten)]
    Image(ImageVerb),
    /// Shows containers or images as JSON
    Inspect(inspect::InspectArgs),
    /// Removes images
    Rmi(rmi::RmiArgs),
    /// Lists images
    Images(images::ImagesArgs),
    /// Lists containers
    Ps(ps::PsArgs),
    /// Shows the engine and its host
    Info(info::InfoArgs),
    /// Shows what happens
    Events(events::EventsArgs),
    /// Shows the version
    Version(version::VersionArgs),
    /// Manages containers
    #[command(name = "container", subcommand)]
    ContainerNoun(ContainerNoun),
    /// Checks the health of containers
    #[command(subcommand)]
    Healthcheck(HealthcheckVerb),
    /// Manages images
    #[command(name = "image", subcommand)]
    ImageNoun(ImageNoun),
    /// Manages the engine
    #[command(subcommand)]
    System(SystemVerb),
}

/// Verbs for containers.
#[derive(Debug, Subcommand)]
pub(crate) enum ContainerVerb {
    /// Creates a container and starts it
    Run(Box<run::RunArgs>),
    /// Creates a container
    Create(Box<create::CreateArgs>),
    /// Has the runtime make a container, without starting its program
    Init(init::InitArgs),
    /// Starts containers
    Start(start::StartArgs),
    /// Stops containers
    Stop(stop::StopArgs),
    /// Sends a signal to containers
    Kill(kill::KillArgs),
    /// Stops containers and starts them again
    Restart(restart::RestartArgs),
    /// Freezes containers
    Pause(pause::PauseArgs),
    /// Lets frozen containers go on
    Unpause(pause::PauseArgs),
    /// Shows what a container has written
    Logs(logs::LogsArgs),
    /// Waits until containers have ended, and shows their exit codes
    Wait(wait::WaitArgs),
    /// Runs one more process in a container
    Exec(exec::ExecArgs),
    /// Attaches to a running container
    Attach(attach::AttachArgs),
    /// Removes containers
    Rm(rm::RmArgs),
    /// Gives a container another name
    Rename(rename::RenameArgs),
    /// Changes a container's limits
    Update(Box<update::UpdateArgs>),
    /// Writes a container's file system as a tar
    Export(export::ExportArgs),
    /// Makes an image of a container
    Commit(Box<commit::CommitArgs>),
    /// Shows what a container has changed
    Diff(diff::DiffArgs),
    /// Copies files between containers and the host
    Cp(cp::CpArgs),
    /// Shows the processes of a container
    Top(top::TopArgs),
    /// Shows what containers use
    Stats(stats::StatsArgs),
    /// Shows the published ports of a container
    Port(port::PortArgs),
    /// Mounts containers' file systems
    Mount(mount::MountArgs),
    /// Lets mounts of containers' file systems go
    #[command(visible_alias = "unmount")]
    Umount(mount::UnmountArgs),
}

/// `container VERB`.
#[derive(Debug, Subcommand)]
pub(crate) enum ContainerNoun {
    #[command(flatten)]
    Verb(ContainerVerb),
    /// Lists containers
    #[command(visible_aliases = ["ls", "ps"])]
    List(ps::PsArgs),
    /// Shows containers as JSON
    Inspect(inspect::InspectArgs),
    /// Removes containers that do not run
    Prune(prune::PruneArgs),
    /// Says by its exit code whether a container is there
    Exists(exists::ExistsArgs),
    /// Gives back what a container that has ended still holds
    Cleanup(rm::CleanupArgs),
}

/// Verbs for images.
#[derive(Debug, Subcommand)]
pub(crate) enum ImageVerb {
    /// Makes an image of a root file system
    Import(import::ImportArgs),
    /// Loads images from an archive
    Load(load::LoadArgs),
    /// Gives an image one more name
    Tag(tag::TagArgs),
}

/// `image VERB`.
#[derive(Debug, Subcommand)]
pub(crate) enum ImageNoun {
    #[command(flatten)]
    Verb(ImageVerb),
    /// Lists images
    #[command(visible_alias = "ls")]
    List(images::ImagesArgs),
    /// Removes images
    Rm(rmi::RmiArgs),
    /// Removes images that no name leads to
    Prune(prune::ImagePruneArgs),
    /// Shows images as JSON
    Inspect(inspect::InspectArgs),
}

/// `healthcheck VERB`.
#[derive(Debug, Subcommand)]
pub(crate) enum HealthcheckVerb {
    /// Runs a container's health check now
    Run(healthcheck::HealthcheckArgs),
}

/// `system VERB`.
#[derive(Debug, Subcommand)]
pub(crate) enum SystemVerb {
    /// Starts the containers that should be up after a boot
    Boot,
    /// Compares the database, the journal, the kernel and the disk
    Check(system::CheckArgs),
    /// Removes every container and image, and the store
    Reset(system::ResetArgs),
    /// Shows the engine and its host
    Info(info::InfoArgs),
    /// Shows what happens
    Events(events::EventsArgs),
}
