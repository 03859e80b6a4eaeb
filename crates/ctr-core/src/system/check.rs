//! `system check`: the database, the journal, the kernel and the disk say the same, or it is told where they do not.
//!
//! Only what belongs to this store is looked at: another store on the same host has cgroups and processes of its own.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use ctr_state::record::{ContainerRecord, OpKind};
use ctr_state::{ContainerLock, Grade, Phase, PhaseName};
use ctr_sys::error::error_chain;
use ctr_sys::fs::Durability;
use ctr_types::config::Rootfs;
use ctr_types::{ContainerConfig, ContainerId, Digest, Hasher};

use crate::{Engine, EngineError};

/// How thoroughly to look.
#[derive(Clone, Copy, Debug, Default)]
pub struct CheckOptions {
    /// Not the contents of blobs, nor the database's pages.
    pub quick: bool,
    /// Puts right what can be without losing anything.
    pub repair: bool,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub object: String,
    /// What is wrong, and what to do when it has not been repaired.
    pub problem: String,
    /// It has been put right.
    pub repaired: bool,
}

struct Check<'e> {
    engine: &'e Engine,
    options: CheckOptions,
    findings: Vec<Finding>,
}

impl Engine {
    /// Looks whether everything is as it should be. Containers that somebody is changing at this moment are passed over.
    ///
    /// # Errors
    /// When looking itself fails.
    pub fn check(&self, options: CheckOptions) -> Result<Vec<Finding>, EngineError> {
        let mut check = Check {
            engine: self,
            options,
            findings: Vec::new(),
        };
        check.database()?;
        check.journal()?;
        check.containers()?;
        check.leftovers()?;
        check.images()?;
        check.staging()?;
        check.mounts()?;
        Ok(check.findings)
    }
}

/// Names of the entries of a directory; one that is not there has none.
fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

impl Check<'_> {
    /// Takes a finding down; with `--repair`, has it put right first.
    fn found(
        &mut self,
        object: impl Into<String>,
        problem: impl Into<String>,
        repair: impl FnOnce(&Engine) -> Result<(), EngineError>,
    ) {
        let (object, mut problem, mut repaired) = (object.into(), problem.into(), false);
        if self.options.repair {
            match repair(self.engine) {
                Ok(()) => repaired = true,
                Err(error) => {
                    problem = format!("{problem}; repairing it failed: {}", error_chain(&error));
                }
            }
        }
        self.findings.push(Finding {
            object,
            problem,
            repaired,
        });
    }

    /// Something that needs a decision of the user's.
    fn told(&mut self, object: impl Into<String>, problem: impl Into<String>) {
        self.findings.push(Finding {
            object: object.into(),
            problem: problem.into(),
            repaired: false,
        });
    }

    fn database(&mut self) -> Result<(), EngineError> {
        if self.options.quick {
            return Ok(());
        }
        let verified = self.engine.look(ctr_state::Store::verify);
        match verified {
            Err(error) if error.is_damage() => self.told("database", error_chain(&error)),
            other => other?,
        }
        if self.engine.look(ctr_state::Store::log_was_missing) {
            let problem =
                "its write-ahead log was missing: changes of the last seconds may be lost";
            self.told("database", problem);
        }
        Ok(())
    }

    fn journal(&mut self) -> Result<(), EngineError> {
        let ops = self.engine.look(ctr_state::Store::ops)?;
        for op in ops {
            let is_alive =
                op.boot == *self.engine.roots.boot_id() && self.engine.locks.op_is_owned(&op.id)?;
            if !is_alive {
                let object = format!("operation {} ({})", op.id.short(), kind(op.kind));
                self.found(
                    object,
                    "its command is dead and it has not been recovered",
                    |engine| engine.recover_op(&op).map(drop),
                );
            }
        }
        Ok(())
    }

    fn containers(&mut self) -> Result<(), EngineError> {
        let rows = self.engine.look(ctr_state::Store::container_rows)?;
        for row in rows {
            let id = match row {
                Ok(row) => row.id,
                Err(error) => {
                    self.told("database", error_chain(&error));
                    continue;
                }
            };
            // Somebody is changing it: nothing seen now would mean anything.
            let Some(lock) = self.engine.locks.try_container(&id)? else {
                continue;
            };
            let record = self.engine.look(|store| store.container(&id));
            match record {
                Ok(Some(record)) => self.container(&record, &lock)?,
                // Removed meanwhile.
                Ok(None) => lock.remove()?,
                Err(error) => self.told(format!("container {}", id.short()), error_chain(&error)),
            }
        }
        Ok(())
    }

    fn container(
        &mut self,
        record: &ContainerRecord,
        lock: &ContainerLock,
    ) -> Result<(), EngineError> {
        let config = &record.config;
        let id = &config.id;
        let object = format!("container {}", config.name);
        let durable = self.engine.roots.container(id);
        if !durable.is_dir() {
            self.told(
                &object,
                format!("its directory {} is gone: remove it", durable.display()),
            );
            return Ok(());
        }
        let copy = ctr_sys::fs::read_if_present(&durable.join("record.json"), 16 << 20)?;
        let is_same = copy.is_some_and(|copy| {
            serde_json::from_slice::<ContainerConfig>(&copy).is_ok_and(|copy| copy == *config)
        });
        if !is_same {
            self.found(
                &object,
                "the copy of its configuration in record.json is damaged or missing",
                |engine| engine.write_record(config, Durability::PowerLoss),
            );
        }
        let layers = match &config.rootfs {
            Rootfs::Image { layers, .. } => layers.as_slice(),
            Rootfs::Directory { .. } => &[],
        };
        for layer in layers {
            if !self.engine.layers()?.exists(layer)? {
                self.told(
                    &object,
                    format!("layer {layer} of its image is gone: load the image again"),
                );
            }
        }
        self.live(record, lock, &object)
    }

    /// What the kernel has of a container must fit its phase.
    fn live(
        &mut self,
        record: &ContainerRecord,
        lock: &ContainerLock,
        object: &str,
    ) -> Result<(), EngineError> {
        let id = &record.config.id;
        let (phase, _) = self.engine.derive(id, &record.phase)?;
        match &phase {
            Phase::Running(live) | Phase::Paused(live) | Phase::Stopping(live) => {
                if !live.monitored {
                    self.told(object, "it runs without its monitor (killed?): its output and exit code are lost; stop it");
                }
                Ok(())
            }
            Phase::Created(_) => Ok(()),
            Phase::Stopped(_) => {
                self.found(object, "it has ended and not been cleaned up", |engine| {
                    engine.clean_up_if_ended(lock)
                });
                Ok(())
            }
            Phase::Removing => {
                self.found(
                    object,
                    "it is being removed and nobody is at it",
                    |engine| engine.remove_container(lock, None),
                );
                Ok(())
            }
            Phase::Configured | Phase::Exited(_) => self.nothing_live(lock, &phase, object),
        }
    }

    fn nothing_live(
        &mut self,
        lock: &ContainerLock,
        phase: &Phase,
        object: &str,
    ) -> Result<(), EngineError> {
        let (engine, id) = (self.engine, lock.id());
        let run = engine.roots.container_run(id);
        let mut left = Vec::new();
        let cgroup = engine.cgroup(id)?;
        let processes = cgroup.processes()?;
        if !processes.is_empty() {
            left.push(format!("{} processes", processes.len()));
        } else if cgroup.exists()? {
            left.push("a cgroup".to_owned());
        }
        if run.exists() && engine.container_fs(id).holders()?.is_empty() {
            left.push(format!("the directory {}", run.display()));
        }
        if !left.is_empty() {
            let problem = format!(
                "it is {}, and has left {}",
                phase.name(),
                left.join(" and ")
            );
            self.found(object, problem, |engine| engine.ensure_down(lock));
        }
        Ok(())
    }

    /// Directories and locks of containers that the database does not know.
    fn leftovers(&mut self) -> Result<(), EngineError> {
        let roots = &self.engine.roots;
        let places = [
            roots.root().join("containers"),
            roots.boot().join("containers"),
            roots.boot().join("locks"),
        ];
        let mut unknown = HashSet::new();
        for place in &places {
            for name in names(place) {
                let Ok(id) = name.parse::<ContainerId>() else {
                    self.told(
                        place.join(name).display().to_string(),
                        "nothing of ctrs has such a name: look at it",
                    );
                    continue;
                };
                // The row may have come, or the directory gone, while we looked; whoever makes or removes one has the lock.
                let Some(lock) = self.engine.locks.try_container(&id)? else {
                    continue;
                };
                let is_known = !matches!(self.engine.look(|store| store.container(&id)), Ok(None));
                let is_there = place.join(&name).exists();
                if is_known {
                    continue;
                }
                lock.remove()?;
                if is_there && unknown.insert(id.clone()) {
                    let problem = "the database does not know it, and parts of it are left";
                    self.found(format!("container {}", id.short()), problem, |engine| {
                        engine.take_away(&id)
                    });
                }
            }
        }
        Ok(())
    }

    fn images(&mut self) -> Result<(), EngineError> {
        let engine = self.engine;
        let Some(lock) = engine.try_lock_images()? else {
            return Ok(());
        };
        let (layer_store, blobs) = (engine.layers()?, engine.blobs()?);
        let mut expected: Vec<(Digest, Option<u64>, String)> = Vec::new();
        for layer in engine.look(ctr_state::Store::layers)? {
            let object = format!("layer {}", layer.diff_id);
            if !layer_store.exists(&layer.diff_id)? {
                self.told(
                    &object,
                    "its files are gone: remove its images and load them again",
                );
            }
            expected.push((layer.blob, Some(layer.blob_size), object));
        }
        for image in engine.look(ctr_state::Store::images)? {
            let object = format!("image {}", image.id);
            expected.push((image.manifest, Some(image.manifest_size), object.clone()));
            expected.push((image.id, None, object));
        }
        for (digest, size, object) in expected {
            if let Some(problem) = self.blob(&blobs.path(&digest), &digest, size)? {
                self.told(
                    object,
                    format!("its blob {digest} {problem}: remove the image and load it again"),
                );
            }
        }
        let left = engine.unreferenced()?;
        drop(lock);
        let left = left
            .layers
            .iter()
            .map(|id| format!("layer {id}"))
            .chain(left.blobs.iter().map(|digest| format!("blob {digest}")));
        for object in left {
            self.found(object, "no image has it", Engine::sweep_now);
        }
        Ok(())
    }

    fn blob(
        &self,
        path: &Path,
        digest: &Digest,
        size: Option<u64>,
    ) -> Result<Option<&'static str>, EngineError> {
        let failed = |error| ctr_sys::SysError::new("read", path.display().to_string(), error);
        let mut file = match std::fs::File::open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Some("is gone"));
            }
            other => other.map_err(failed)?,
        };
        let length = file.metadata().map_err(failed)?.len();
        if size.is_some_and(|size| size != length) {
            return Ok(Some("has another size than recorded"));
        }
        if self.options.quick {
            return Ok(None);
        }
        let mut hasher = Hasher::default();
        std::io::copy(&mut file, &mut hasher).map_err(failed)?;
        Ok((hasher.finish() != *digest).then_some("is not what its digest says"))
    }

    fn staging(&mut self) -> Result<(), EngineError> {
        let directory = self.engine.roots.root().join("staging");
        for name in names(&directory) {
            // Listed first, asked for afterwards: an operation is in the journal before it makes its directory.
            let is_known = self
                .engine
                .look(ctr_state::Store::ops)?
                .iter()
                .any(|op| name.ends_with(op.id.as_str()));
            let path = directory.join(&name);
            if !is_known && path.exists() {
                self.found(path.display().to_string(), "no operation has it", |_| {
                    Ok(ctr_sys::fs::ensure_tree_absent(&path)?)
                });
            }
        }
        Ok(())
    }

    /// Mounts below the roots belong to containers that are up.
    fn mounts(&mut self) -> Result<(), EngineError> {
        let roots = &self.engine.roots;
        let mut mounts: Vec<PathBuf> = ctr_sys::mount::mount_points_below(roots.runroot())?;
        mounts.extend(ctr_sys::mount::mount_points_below(roots.root())?);
        for mount in mounts {
            let container = mount.components().find_map(|part| {
                part.as_os_str()
                    .to_string_lossy()
                    .parse::<ContainerId>()
                    .ok()
            });
            let Some(id) = container else {
                self.told(
                    mount.display().to_string(),
                    "something is mounted there that is not of ctrs",
                );
                continue;
            };
            let Some(lock) = self.engine.locks.try_container(&id)? else {
                continue;
            };
            let record = self.engine.look(|store| store.container(&id))?;
            let is_up = if let Some(record) = &record {
                let phase = self.engine.derive(&id, &record.phase)?.0;
                phase.live().is_some() || phase.name() == PhaseName::Stopped
            } else {
                lock.remove()?;
                false
            };
            let is_held = !self.engine.container_fs(&id).holders()?.is_empty();
            if !is_up && !is_held && ctr_sys::mount::is_mount_point(&mount)? {
                self.found(
                    mount.display().to_string(),
                    "it is mounted for a container that is not up",
                    |_| Ok(ctr_sys::mount::ensure_unmounted(&mount)?),
                );
            }
        }
        Ok(())
    }
}

impl Engine {
    /// Takes away what is left of a container that the database does not know.
    fn take_away(&self, id: &ContainerId) -> Result<(), EngineError> {
        let operation = self.begin(OpKind::Remove, Some(id))?;
        let lock = self.locks.container(id, crate::engine::LOCK_PATIENCE)?;
        self.transact(Grade::Volatile, |txn| txn.begin_op(&operation.record))?;
        self.remove_now(&lock, &operation.record.id)?;
        self.transact(Grade::Volatile, |txn| txn.finish_op(&operation.record.id))?;
        lock.remove()?;
        Ok(operation.lock.remove()?)
    }
}

fn kind(kind: OpKind) -> &'static str {
    match kind {
        OpKind::Create => "create",
        OpKind::Start => "start",
        OpKind::Stop => "stop",
        OpKind::Cleanup => "clean-up",
        OpKind::Remove => "removal",
        OpKind::Replace => "change",
        OpKind::Read => "reading",
        OpKind::Import => "import",
        OpKind::Load => "load",
        OpKind::RemoveImage => "removal of an image",
    }
}
