//! `inspect`.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use ctr_core::{Engine, ErrorKind, Sizes};
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
    /// Show what containers' files take
    #[arg(short, long)]
    size: bool,
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
            found.push(look_up(&engine, object, kind, args.size)?);
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

/// Go's numbers have a sign.
fn signed(sizes: Sizes) -> (i64, i64) {
    let number = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
    (number(sizes.written), number(sizes.total))
}

fn look_up(engine: &Engine, text: &str, kind: Kind, with_size: bool) -> anyhow::Result<Value> {
    if kind != Kind::Image {
        match engine.container(text) {
            Ok(container) => {
                let mut shown = output::inspect::container(&container.inspect()?);
                if let Some(object) = shown.as_object_mut().filter(|_| with_size) {
                    // Damaged storage must not keep anybody from looking (semantics.md M24).
                    let sizes = container.sizes().ok();
                    let (written, total) = sizes.map_or((-1, -1), signed);
                    object.insert("SizeRw".into(), written.into());
                    object.insert("SizeRootFs".into(), total.into());
                }
                return Ok(shown);
            }
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
