//! `system reset`: everything goes, but only from a root that carries the marker of a store.

use ctr_state::Store;
use ctr_state::store::Expect;
use ctr_types::{ContainerId, Roots};

use crate::engine::MARKER;
use crate::{Engine, EngineError, EngineOptions};

impl Engine {
    /// Removes every container and image, and all files of the store. A damaged database does not hinder it.
    ///
    /// # Errors
    /// When the root holds no store, or a container cannot be ended; the files stay then.
    pub fn reset(options: EngineOptions) -> Result<(), EngineError> {
        let marker = options.root.join(MARKER);
        if !marker.is_file() {
            let root = options.root.display();
            return Err(EngineError::Invalid(format!(
                "{root} is no store of ctrs (it has no {MARKER}): nothing was removed"
            )));
        }
        let engine = match Self::open_without_recovery(options.clone()) {
            Err(EngineError::Store(error)) if error.is_damage() => {
                set_database_aside(&options)?;
                Self::open_without_recovery(options)?
            }
            other => other?,
        };
        // What cannot be recovered is taken down below.
        let _later = engine.recover();
        engine.end_all()?;
        let roots = engine.roots.clone();
        drop(engine);
        remove_files(&roots)
    }

    fn end_all(&self) -> Result<(), EngineError> {
        let (known, _damaged) = self.containers()?;
        let mut errors = Vec::new();
        for container in known {
            match self
                .container(container.id.as_str())
                .and_then(|container| container.remove(true))
            {
                Err(error) if error.kind() == crate::ErrorKind::NotFound => {}
                other => errors.extend(other.err()),
            }
        }
        // Those that a damaged database does not tell of.
        let entries = std::fs::read_dir(self.roots.boot().join("containers"))
            .into_iter()
            .flatten();
        for entry in entries.flatten() {
            if let Ok(id) = entry.file_name().to_string_lossy().parse::<ContainerId>() {
                let lock = self.locks.container(&id, crate::engine::LOCK_PATIENCE)?;
                errors.extend(self.ensure_down(&lock).err());
            }
        }
        EngineError::collect(errors)
    }
}

/// Replaces a damaged database with an empty one.
fn set_database_aside(options: &EngineOptions) -> Result<(), EngineError> {
    let boot = ctr_sys::process::boot_id()?;
    let boot = boot
        .parse()
        .map_err(|error: ctr_types::BootIdError| EngineError::Invalid(error.to_string()))?;
    let roots = Roots::new(&options.root, &options.runroot, boot);
    remove_database(&roots)?;
    drop(Store::open(&roots.database(), Expect::Any)?);
    Ok(())
}

fn remove_database(roots: &Roots) -> Result<(), EngineError> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut path = roots.database().into_os_string();
        path.push(suffix);
        ctr_sys::fs::ensure_file_absent(path.as_ref())?;
    }
    Ok(())
}

fn remove_files(roots: &Roots) -> Result<(), EngineError> {
    for directory in [roots.runroot(), roots.root()] {
        for mount in ctr_sys::mount::mount_points_below(directory)? {
            ctr_sys::mount::ensure_unmounted(&mount)?;
        }
    }
    ctr_sys::fs::ensure_tree_absent(roots.boot())?;
    for name in ["containers", "layers", "images", "staging"] {
        ctr_sys::fs::ensure_tree_absent(&roots.root().join(name))?;
    }
    remove_database(roots)?;
    // Last: a reset that was broken off can be repeated.
    Ok(ctr_sys::fs::ensure_file_absent(&roots.root().join(MARKER))?)
}
