//! `events`.

use std::process::ExitCode;

use clap::Args;
use ctr_core::types::Timestamp;
use ctr_core::{EngineError, EventFilter, EventOptions, EventRecord};
use serde_json::{Value, json};

use crate::args::Globals;
use crate::options::value;
use crate::output::ListFormat;
use crate::{context, output};

/// `events`' arguments.
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Only events since a time, or within a span such as 10m
    #[arg(long, value_name = "TIME", value_parser = value::moment)]
    since: Option<Timestamp>,
    /// Only events until a time
    #[arg(long, value_name = "TIME", value_parser = value::moment_ahead)]
    until: Option<Timestamp>,
    /// Only events that fit, such as type=container or event=start
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = filter)]
    filter: Vec<EventFilter>,
    /// json, or a template such as {{.Status}}
    #[arg(long, value_name = "FORMAT", default_value = "")]
    format: ListFormat,
    /// Go on with what happens from now on; with --until it ends by itself
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set)]
    stream: bool,
    /// Accepted for scripts: ids are shown whole anyway
    #[arg(long, hide = true)]
    no_trunc: bool,
}

fn filter(text: &str) -> Result<EventFilter, String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} is no filter: use NAME=VALUE"))?;
    let owned = value.to_owned();
    Ok(match name {
        "type" => EventFilter::Type(owned),
        "event" | "action" => EventFilter::Action(owned),
        "container" => EventFilter::Container(owned),
        "image" => EventFilter::Image(owned),
        "label" => match value.split_once('=') {
            Some((label, value)) => EventFilter::Label(label.to_owned(), Some(value.to_owned())),
            None => EventFilter::Label(owned, None),
        },
        _ => {
            return Err(format!(
                "filter {name:?} is unknown: use type, event, container, image or label"
            ));
        }
    })
}

/// An event in podman's words.
fn fields(event: &EventRecord) -> Value {
    let mut attributes = event.attributes.clone();
    let image = attributes.remove("image").unwrap_or_default();
    let code = attributes.remove("exitCode");
    let mut fields = json!({
        "ID": event.id,
        "Image": image,
        "Name": event.name,
        "Status": event.action,
        "Time": event.time,
        "Type": event.object,
        "Attributes": attributes,
    });
    if let (Some(object), Some(code)) = (fields.as_object_mut(), code) {
        let code: i64 = code.parse().unwrap_or(-1);
        object.insert("ContainerExitCode".into(), code.into());
    }
    fields
}

fn human(event: &EventRecord) -> String {
    let time = event.time.strftime("%Y-%m-%d %H:%M:%S.%N +0000 UTC");
    let head = format!("{time} {} {} {}", event.object, event.action, event.id);
    if event.object != "container" {
        return format!("{head} {}", event.name);
    }
    let mut attributes = event.attributes.clone();
    let image = attributes.remove("image").unwrap_or_default();
    let mut shown = vec![format!("image={image}"), format!("name={}", event.name)];
    shown.extend(
        attributes
            .iter()
            .map(|(name, value)| format!("{name}={value}")),
    );
    format!("{head} ({})", shown.join(", "))
}

pub(crate) fn run(globals: &Globals, args: EventsArgs) -> anyhow::Result<ExitCode> {
    let engine = context::open(globals)?;
    let options = EventOptions {
        since: args.since,
        until: args.until,
        follow: args.stream,
        filters: args.filter,
    };
    let mut failed = None;
    engine.events(&options, |event| -> Result<bool, EngineError> {
        let shown = match &args.format {
            ListFormat::Json => output::line(&fields(event).to_string()),
            ListFormat::Table => output::line(&human(event)),
            ListFormat::Template(template) => {
                let mut fields = fields(event);
                if let Some(object) = fields.as_object_mut() {
                    // docker's name for it.
                    object.insert("Action".into(), event.action.clone().into());
                    object
                        .entry("ContainerExitCode")
                        .or_insert_with(|| 0.into());
                }
                template
                    .render(&fields)
                    .and_then(|text| output::line(&text))
            }
        };
        failed = shown.err();
        Ok(failed.is_none())
    })?;
    failed.map_or(Ok(ExitCode::SUCCESS), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_as_podmans() {
        assert_eq!(
            filter("event=start"),
            Ok(EventFilter::Action("start".into()))
        );
        assert_eq!(
            filter("label=a=b"),
            Ok(EventFilter::Label("a".into(), Some("b".into())))
        );
        assert!(filter("start").is_err() && filter("x=y").is_err());
    }
}
