//! `inspect`.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use ctr_core::{Engine, ErrorKind};
use serde_json::Value;

use crate::args::Globals;
use crate::output::{self, ListFormat};
use crate::{context, failure};

/// `inspect`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// json, or a template such as {{.State.Status}}
    #[arg(short, long, value_name = "FORMAT", default_value = "json")]
    format: ListFormat,
    /// What the names mean
    #[arg(short, long = "type", value_name = "KIND", default_value = "all")]
    kind: Kind,
    /// Names or ids
    #[arg(required = true, value_name = "OBJECT")]
    objects: Vec<String>,
}

/// What a name may mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    #[value(name = "all")]
    Any,
    Container,
    Image,
}

pub(crate) fn run(globals: &Globals, args: &InspectArgs, noun: Kind) -> anyhow::Result<ExitCode> {
    let engine = context::open(globals)?;
    let kind = if noun == Kind::Any { args.kind } else { noun };
    let mut found = Vec::new();
    let code = failure::for_each(
        &args.objects,
        |object| {
            found.push(look_up(&engine, object, kind)?);
            Ok(())
        },
        failure::code,
    );
    match &args.format {
        ListFormat::Json | ListFormat::Table => output::json(&Value::Array(found))?,
        ListFormat::Template(template) => {
            for value in &found {
                output::line(&template.render(value)?)?;
            }
        }
    }
    Ok(code)
}

fn look_up(engine: &Engine, text: &str, kind: Kind) -> anyhow::Result<Value> {
    if kind != Kind::Image {
        match engine.container(text) {
            Ok(container) => return Ok(output::inspect::container(&container.inspect()?)),
            Err(error) if kind == Kind::Any && error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    match engine.image(text) {
        Ok((record, config)) => Ok(output::inspect::image(&record, &config)),
        Err(error) if kind == Kind::Any && error.kind() == ErrorKind::NotFound => {
            anyhow::bail!("no such container or image: {text}")
        }
        Err(error) => Err(error.into()),
    }
}
