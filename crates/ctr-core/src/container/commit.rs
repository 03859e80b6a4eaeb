//! A container's changes become an image: the layers below stay, one is added (semantics.md M25).

use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Duration;

use ctr_image::config::{History, ImageConfig, RootfsIds, host_architecture};
use ctr_image::reference::ImageReference;
use ctr_monitor::client::MonitorClient;
use ctr_monitor::protocol::Request;
use ctr_state::record::OpKind;
use ctr_state::{Grade, Op, PhaseName};
use ctr_storage::archive::{ExportOptions, Form, export, piped};
use ctr_types::config::{MountKind, Rootfs};
use ctr_types::{ContainerConfig, Digest, Timestamp};

use super::{Container, LockedContainer};
use crate::image::Staged;
use crate::{Engine, EngineError};

/// How long the runtime has to freeze a container.
const PATIENCE: Duration = Duration::from_secs(35);

/// How a container becomes an image.
#[derive(Clone, Debug, Default)]
pub struct CommitRequest {
    /// The name it gets.
    pub name: Option<ImageReference>,
    /// Changes in a Containerfile's words.
    pub changes: Vec<String>,
    /// Who has made it.
    pub author: String,
    /// A note for the history.
    pub message: String,
    /// The container is frozen while it is read.
    pub pause: bool,
    /// All layers become one.
    pub squash: bool,
    /// The container's volumes become the image's.
    pub include_volumes: bool,
}

impl Container<'_> {
    /// Makes an image of the container; gives its id. Nothing is kept of a commit that fails or dies, and a container that was
    /// frozen for it goes on: its monitor sees to that when this command is gone.
    ///
    /// # Errors
    /// When the container has no image, a change is not understood, or something cannot be read or written.
    pub fn commit(&self, request: &CommitRequest) -> Result<Digest, EngineError> {
        let locked = self.lock()?;
        locked.admit(Op::Commit)?;
        let config = locked.config().clone();
        let Rootfs::Image {
            id: base, layers, ..
        } = &config.rootfs
        else {
            return Err(EngineError::Invalid(format!(
                "container {} has no image: make one of {} with import",
                config.name,
                config.rootfs.shown()
            )));
        };
        let mut image = ImageConfig::parse(&self.engine.blobs()?.read_small(base)?)?;
        describe(&mut image, &config, request)?;
        let frozen = if request.pause {
            locked.freeze()?
        } else {
            None
        };
        let names: Vec<String> = request
            .name
            .iter()
            .map(|name| name.clone().normalized().to_string())
            .collect();
        let upper = self.engine.container_fs(&self.id).upper();
        let committed = locked.read(Op::Commit)?.with(|merged| {
            let (root, form) = if request.squash {
                (merged.as_path(), Form::Plain)
            } else {
                (upper.as_path(), Form::Overlay)
            };
            let below = if request.squash { &[][..] } else { layers };
            self.engine.bring_in(OpKind::Import, "commit", |staging| {
                stage(staging, image, root, form, below, names)
            })
        });
        drop(frozen);
        let id = committed?.into_iter().next().map(|(id, _)| id);
        self.engine.transact(Grade::Volatile, |txn| {
            txn.add_event(&Engine::container_event(&config, "commit"))
        })?;
        id.ok_or_else(|| EngineError::Invalid("nothing was committed".into()))
    }
}

impl LockedContainer<'_> {
    /// Has the monitor freeze the container for as long as the connection lasts.
    fn freeze(&self) -> Result<Option<MonitorClient>, EngineError> {
        if self.phase.name() != PhaseName::Running {
            return Ok(None);
        }
        let mut monitor = self
            .handle()
            .monitor()
            .map_err(|error| self.monitor_error(error))?;
        monitor
            .call(&Request::Freeze, PATIENCE)
            .map_err(|error| self.monitor_error(error))?;
        Ok(Some(monitor))
    }
}

/// Puts the layer and the configuration into the staging directory.
fn stage(
    staging: &Path,
    mut image: ImageConfig,
    root: &Path,
    form: Form,
    below: &[Digest],
    names: Vec<String>,
) -> Result<Staged, EngineError> {
    let root = ctr_sys::fs::open_directory(root)?;
    let options = ExportOptions {
        form,
        ..ExportOptions::default()
    };
    let mut staged = Staged::default();
    let diff_id = piped(
        |out| export(root.as_fd(), out, &options).map(drop),
        |input| {
            let layer = staged.unpack(staging, input, "the container's layer")?;
            Ok::<_, EngineError>(layer.record.diff_id.clone())
        },
    )?;
    let mut diff_ids = below.to_vec();
    diff_ids.push(diff_id);
    image.rootfs = RootfsIds {
        kind: "layers".to_owned(),
        diff_ids,
    };
    let json = image.to_json()?;
    staged.add_image(staging, image, &json, names)?;
    Ok(staged)
}

/// What containers of the new image start with: what this one was told, and the changes.
fn describe(
    image: &mut ImageConfig,
    config: &ContainerConfig,
    request: &CommitRequest,
) -> Result<(), EngineError> {
    let now = Timestamp::now();
    image.created = Some(now);
    if image.architecture.is_empty() {
        host_architecture().clone_into(&mut image.architecture);
    }
    let (run, process) = (&mut image.config, &config.process);
    run.entrypoint.clone_from(&process.entrypoint);
    run.cmd.clone_from(&process.command);
    run.env.clone_from(&process.env);
    run.user.clone_from(&process.user);
    run.working_dir.clone_from(&process.workdir);
    run.labels.clone_from(&config.labels);
    run.stop_signal = config.stop_signal.to_string();
    for port in &config.ports {
        let name = format!("{}/{}", port.container_port, port.protocol);
        run.exposed_ports.insert(name, serde_json::json!({}));
    }
    if request.include_volumes {
        for mount in &config.mounts {
            if matches!(mount.kind, MountKind::Anonymous { .. }) {
                run.volumes
                    .insert(mount.destination.clone(), serde_json::json!({}));
            }
        }
    }
    for change in &request.changes {
        image.apply(change)?;
    }
    if request.squash {
        image.history.clear();
    }
    image.history.push(History {
        created: Some(now),
        created_by: process.args().join(" "),
        author: request.author.clone(),
        comment: request.message.clone(),
        ..History::default()
    });
    if !request.author.is_empty() {
        image.author.clone_from(&request.author);
    }
    Ok(())
}
