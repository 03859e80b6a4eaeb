//! `images`.

use std::process::ExitCode;

use clap::Args;
use ctr_core::human_duration;
use ctr_core::image::ImageRecord;
use ctr_core::types::Timestamp;
use serde_json::{Value, json};

use crate::args::Globals;
use crate::context;
use crate::output::{self, ListFormat, Table};

/// `images`' arguments.
#[derive(Debug, Args)]
pub(crate) struct ImagesArgs {
    /// Accepted for scripts: there are no intermediate images
    #[arg(short, long, hide = true)]
    all: bool,
    /// Show ids only
    #[arg(short, long)]
    quiet: bool,
    /// Show ids in full
    #[arg(long)]
    no_trunc: bool,
    /// Show no heading
    #[arg(short, long)]
    noheading: bool,
    /// Show manifests' digests
    #[arg(long)]
    digests: bool,
    /// json, table or a template such as {{.Repository}}
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: ListFormat,
    /// Show only images with a name that has this in it
    name: Option<String>,
}

/// One line: an image under one of its names.
struct Line {
    repository: String,
    tag: String,
    id: String,
    created: String,
    size: String,
    digest: String,
}

pub(crate) fn run(globals: &Globals, args: &ImagesArgs) -> anyhow::Result<ExitCode> {
    let mut images: Vec<(ImageRecord, usize)> = context::open(globals)?
        .images()?
        .into_iter()
        .map(|image| (image.record, image.containers.len()))
        .collect();
    if let Some(name) = &args.name {
        images.retain(|(image, _)| {
            image
                .names
                .iter()
                .any(|known| known.contains(name.as_str()))
        });
    }
    if let ListFormat::Json = args.format {
        output::json(
            &images
                .iter()
                .map(|(image, containers)| as_json(image, *containers))
                .collect(),
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.quiet {
        let mut seen = Vec::new();
        for (image, _) in &images {
            let id = id(image, args.no_trunc);
            if !seen.contains(&id) {
                output::line(&id)?;
                seen.push(id);
            }
        }
        return Ok(ExitCode::SUCCESS);
    }
    let lines = images
        .iter()
        .flat_map(|(image, _)| lines(image, args.no_trunc));
    if let ListFormat::Template(template) = &args.format {
        for line in lines {
            let fields = json!({
                "Repository": line.repository, "Tag": line.tag, "ID": line.id, "Digest": line.digest,
                "Created": line.created, "CreatedSince": line.created, "Size": line.size,
            });
            output::line(&template.render(&fields)?)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut heading = vec!["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"];
    if args.digests {
        heading.insert(2, "DIGEST");
    }
    let mut table = Table::new(&heading, !args.noheading);
    for line in lines {
        let mut cells = vec![line.repository, line.tag, line.id, line.created, line.size];
        if args.digests {
            cells.insert(2, line.digest);
        }
        table.row(cells);
    }
    output::line(&table.render())?;
    Ok(ExitCode::SUCCESS)
}

fn id(image: &ImageRecord, is_full: bool) -> String {
    if is_full {
        image.id.to_string()
    } else {
        image.id.hex().chars().take(12).collect()
    }
}

fn lines(image: &ImageRecord, is_full: bool) -> Vec<Line> {
    let created = image.created.unwrap_or(image.imported);
    let ago = human_duration(Timestamp::now().as_second() - created.as_second());
    let line = |repository: &str, tag: &str| Line {
        repository: repository.to_owned(),
        tag: tag.to_owned(),
        id: id(image, is_full),
        created: format!("{ago} ago"),
        size: human_size(image.size),
        digest: image.manifest.to_string(),
    };
    if image.names.is_empty() {
        return vec![line("<none>", "<none>")];
    }
    let split = |name: &String| match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => line(repository, tag),
        _ => line(name, "<none>"),
    };
    image.names.iter().map(split).collect()
}

/// Bytes with four digits and a decimal unit, as docker and podman show sizes.
fn human_size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    // Hundredths of the unit are shown at most: nothing is lost on the way.
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1000.0 && unit + 1 < UNITS.len() {
        size /= 1000.0;
        unit += 1;
    }
    let digits = if unit == 0 || size >= 100.0 {
        0
    } else if size >= 10.0 {
        1
    } else {
        2
    };
    format!(
        "{size:.digits$} {}",
        UNITS.get(unit).copied().unwrap_or_default()
    )
}

fn as_json(image: &ImageRecord, containers: usize) -> Value {
    json!({
        "Id": image.id.hex(),
        "RepoTags": image.names,
        "Names": image.names,
        "Digest": image.manifest,
        "Created": image.created.map_or(0, Timestamp::as_second),
        "CreatedAt": image.created,
        "Size": image.size,
        "VirtualSize": image.size,
        "Labels": image.labels,
        "Containers": containers,
        "Arch": image.architecture,
        "Os": image.os,
        "Dangling": image.names.is_empty(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_as_docker_does() {
        assert_eq!(human_size(999), "999 B");
        assert_eq!(human_size(4_260_000), "4.26 MB");
        assert_eq!(human_size(123_456_789_000), "123 GB");
    }
}
