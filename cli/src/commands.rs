//! A file for each verb.

pub(crate) mod attach;
pub(crate) mod commit;
pub(crate) mod cp;
pub(crate) mod create;
pub(crate) mod diff;
pub(crate) mod events;
pub(crate) mod exec;
pub(crate) mod exists;
pub(crate) mod export;
pub(crate) mod healthcheck;
pub(crate) mod images;
pub(crate) mod import;
pub(crate) mod info;
pub(crate) mod init;
pub(crate) mod inspect;
pub(crate) mod kill;
pub(crate) mod load;
pub(crate) mod logs;
pub(crate) mod mount;
pub(crate) mod pause;
pub(crate) mod port;
pub(crate) mod prune;
pub(crate) mod ps;
pub(crate) mod rename;
pub(crate) mod restart;
pub(crate) mod rm;
pub(crate) mod rmi;
pub(crate) mod run;
pub(crate) mod select;
pub(crate) mod start;
pub(crate) mod stats;
pub(crate) mod stop;
pub(crate) mod system;
pub(crate) mod tag;
pub(crate) mod top;
pub(crate) mod update;
pub(crate) mod version;
pub(crate) mod wait;

use std::process::ExitCode;

use crate::args::{
    Cli, Command, ContainerNoun, ContainerVerb, Globals, HealthcheckVerb, ImageNoun, ImageVerb,
    SystemVerb,
};

/// Does what the command line says.
pub(crate) fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let globals = &cli.globals;
    match cli.command {
        Command::Container(verb) | Command::ContainerNoun(ContainerNoun::Verb(verb)) => {
            container(globals, verb)
        }
        Command::Image(verb) | Command::ImageNoun(ImageNoun::Verb(verb)) => image(globals, verb),
        Command::Inspect(args) => inspect::run(globals, &args, inspect::Kind::Any),
        Command::ContainerNoun(ContainerNoun::Inspect(args)) => {
            inspect::run(globals, &args, inspect::Kind::Container)
        }
        Command::ImageNoun(ImageNoun::Inspect(args)) => {
            inspect::run(globals, &args, inspect::Kind::Image)
        }
        Command::Rmi(args) | Command::ImageNoun(ImageNoun::Rm(args)) => rmi::run(globals, &args),
        Command::Images(args) | Command::ImageNoun(ImageNoun::List(args)) => {
            images::run(globals, &args)
        }
        Command::Ps(args) | Command::ContainerNoun(ContainerNoun::List(args)) => {
            ps::run(globals, &args)
        }
        Command::ContainerNoun(ContainerNoun::Cleanup(args)) => rm::cleanup(globals, &args),
        Command::Info(args) | Command::System(SystemVerb::Info(args)) => info::run(globals, &args),
        Command::ContainerNoun(ContainerNoun::Prune(args)) => prune::run(globals, &args),
        Command::ContainerNoun(ContainerNoun::Exists(args)) => exists::run(globals, &args),
        Command::Events(args) | Command::System(SystemVerb::Events(args)) => {
            events::run(globals, args)
        }
        Command::Version(args) => version::run(&args),
        Command::Healthcheck(HealthcheckVerb::Run(args)) => healthcheck::run(globals, &args),
        Command::ImageNoun(ImageNoun::Prune(args)) => prune::images(globals, &args),
        Command::System(SystemVerb::Boot) => system::boot(globals),
        Command::System(SystemVerb::Check(args)) => system::check(globals, &args),
        Command::System(SystemVerb::Reset(args)) => system::reset(globals, &args),
    }
}

fn container(globals: &Globals, verb: ContainerVerb) -> anyhow::Result<ExitCode> {
    match verb {
        ContainerVerb::Run(args) => run::run(globals, *args),
        ContainerVerb::Create(args) => create::run(globals, *args),
        ContainerVerb::Init(args) => init::run(globals, &args),
        ContainerVerb::Start(args) => start::run(globals, &args),
        ContainerVerb::Stop(args) => stop::run(globals, &args),
        ContainerVerb::Kill(args) => kill::run(globals, &args),
        ContainerVerb::Restart(args) => restart::run(globals, &args),
        ContainerVerb::Pause(args) => pause::pause(globals, &args),
        ContainerVerb::Unpause(args) => pause::unpause(globals, &args),
        ContainerVerb::Logs(args) => logs::run(globals, &args),
        ContainerVerb::Wait(args) => wait::run(globals, &args),
        ContainerVerb::Exec(args) => exec::run(globals, args),
        ContainerVerb::Attach(args) => attach::run(globals, args),
        ContainerVerb::Rm(args) => rm::run(globals, &args),
        ContainerVerb::Rename(args) => rename::run(globals, &args),
        ContainerVerb::Update(args) => update::run(globals, *args),
        ContainerVerb::Export(args) => export::run(globals, &args),
        ContainerVerb::Commit(args) => commit::run(globals, *args),
        ContainerVerb::Diff(args) => diff::run(globals, &args),
        ContainerVerb::Cp(args) => cp::run(globals, &args),
        ContainerVerb::Top(args) => top::run(globals, &args),
        ContainerVerb::Stats(args) => stats::run(globals, &args),
        ContainerVerb::Port(args) => port::run(globals, &args),
        ContainerVerb::Mount(args) => mount::mount(globals, &args),
        ContainerVerb::Umount(args) => mount::unmount(globals, &args),
    }
}

fn image(globals: &Globals, verb: ImageVerb) -> anyhow::Result<ExitCode> {
    match verb {
        ImageVerb::Import(args) => import::run(globals, args),
        ImageVerb::Load(args) => load::run(globals, args),
        ImageVerb::Tag(args) => tag::run(globals, &args),
    }
}
