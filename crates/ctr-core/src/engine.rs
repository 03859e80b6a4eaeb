//! The engine: an open store, its locks, and what it knows of this host.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use ctr_oci::host::HostFacts;
use ctr_oci::runtime::Runtime;
use ctr_state::record::{EventRecord, OpKind, OpRecord};
use ctr_state::store::Expect;
use ctr_state::{Grade, Locks, OpLock, Store, StoreError, Txn};
use ctr_storage::layer::LayerStore;
use ctr_storage::overlay::ContainerFs;
use ctr_sys::fs::Durability;
use ctr_sys::lock::FileLock;
use ctr_types::{ContainerConfig, ContainerId, OpId, Roots, Timestamp};
use serde::{Deserialize, Serialize};

use crate::EngineError;
use crate::steps::StepHooks;

/// How long a command waits for another one that is changing the same container.
pub(crate) const LOCK_PATIENCE: Duration = Duration::from_mins(1);

/// How long one waits for another that brings images in: the whole time a slow disk may need for a large one.
const IMAGES_PATIENCE: Duration = Duration::from_mins(10);

/// Where an engine works and what it calls.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// The durable root, absolute.
    pub root: PathBuf,
    /// The run root, absolute.
    pub runroot: PathBuf,
    /// The monitor's program.
    pub monitor: PathBuf,
    /// The program and first arguments that run `container cleanup ID`, for monitors whose engine is gone.
    pub cleanup: Vec<PathBuf>,
    /// The runtime for containers that name none; none means the host is probed.
    pub runtime: Option<String>,
    /// What happens at the steps besides the steps.
    pub hooks: StepHooks,
}

/// The marker of a store, `store.json`: without it nothing is ever removed wholesale.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Marker {
    pub(crate) version: u32,
    pub(crate) id: String,
}

pub(crate) const MARKER: &str = "store.json";

/// An engine. Cheap to open; every method may be called from several processes at once.
#[derive(Debug)]
pub struct Engine {
    pub(crate) options: EngineOptions,
    pub(crate) roots: Roots,
    pub(crate) locks: Locks,
    store: Mutex<Store>,
    host: OnceLock<HostFacts>,
}

/// An operation that has begun: its owner's lock and its row in the journal.
#[derive(Debug)]
#[must_use = "an operation is finished or recovered"]
pub(crate) struct Operation {
    pub(crate) record: OpRecord,
    pub(crate) lock: OpLock,
}

impl Engine {
    /// Opens the engine, making its directories when they are not there, and finishes or undoes what dead commands have left.
    ///
    /// # Errors
    /// When the roots cannot be used, or the store is damaged.
    pub fn open(options: EngineOptions) -> Result<Self, EngineError> {
        let engine = Self::open_without_recovery(options)?;
        engine.recover()?;
        Ok(engine)
    }

    /// Opens the engine as it is: for looking at damage.
    pub fn open_without_recovery(options: EngineOptions) -> Result<Self, EngineError> {
        for (name, path) in [("root", &options.root), ("runroot", &options.runroot)] {
            if !path.is_absolute() {
                let shown = path.display();
                return Err(EngineError::Invalid(format!(
                    "--{name} {shown} must be an absolute path"
                )));
            }
        }
        let boot = ctr_sys::process::boot_id()?;
        let boot = boot
            .parse()
            .map_err(|error: ctr_types::BootIdError| EngineError::Invalid(error.to_string()))?;
        let roots = Roots::new(&options.root, &options.runroot, boot);
        let expect = prepare_root(&roots)?;
        ctr_sys::fs::ensure_directory(&roots.boot().join("containers"), 0o711)?;
        let locks = Locks::new(roots.boot())?;
        let store = Store::open(&roots.database(), expect)?;
        Ok(Self {
            options,
            roots,
            locks,
            store: Mutex::new(store),
            host: OnceLock::new(),
        })
    }

    /// Looks into the store, for no longer than `look` takes.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Store) -> T) -> T {
        look(&self.lock_store())
    }

    /// The store. A panic elsewhere does not make it unusable: every change of it is a transaction.
    fn lock_store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One transaction.
    pub(crate) fn transact<T>(
        &self,
        grade: Grade,
        work: impl FnOnce(&Txn<'_>) -> Result<T, StoreError>,
    ) -> Result<T, EngineError> {
        Ok(self.lock_store().transact(grade, work)?)
    }

    /// Facts of the host, looked up once.
    pub(crate) fn host(&self) -> Result<&HostFacts, EngineError> {
        if let Some(facts) = self.host.get() {
            return Ok(facts);
        }
        let facts = HostFacts::detect()?;
        Ok(self.host.get_or_init(|| facts))
    }

    /// The runtime of a container, with its state in the container's own directory of this boot.
    pub(crate) fn runtime(&self, config: &ContainerConfig) -> Result<Runtime, EngineError> {
        let root = self.roots.container_run(&config.id).join("runtime");
        let asked = config.runtime.as_ref().or(self.options.runtime.as_ref());
        Ok(match asked {
            Some(name) => Runtime::named(name, &root)?,
            None => Runtime::probe(self.host()?.cgroup, &root)?,
        })
    }

    /// The directories the engine works in.
    pub fn roots(&self) -> &Roots {
        &self.roots
    }

    pub(crate) fn layers(&self) -> Result<LayerStore, EngineError> {
        Ok(LayerStore::open(&self.roots.layers())?)
    }

    pub(crate) fn container_fs(&self, id: &ContainerId) -> ContainerFs {
        ContainerFs::new(&self.roots.container(id), &self.roots.container_run(id))
    }

    /// Prepares an operation: takes its lock. The caller writes [`Operation::record`] down in its first transaction.
    pub(crate) fn begin(
        &self,
        kind: OpKind,
        container: Option<&ContainerId>,
    ) -> Result<Operation, EngineError> {
        loop {
            let id = OpId::random()?;
            let Some(lock) = self.locks.own_op(&id)? else {
                continue;
            };
            let record = OpRecord {
                id,
                kind,
                container: container.cloned(),
                boot: self.roots.boot_id().clone(),
                started: Timestamp::now(),
                step: String::new(),
            };
            return Ok(Operation { record, lock });
        }
    }

    /// The lock that whoever publishes or removes layers and blobs holds.
    pub(crate) fn lock_images(&self) -> Result<FileLock, EngineError> {
        Ok(FileLock::acquire(
            &self.roots.boot().join("images.lock"),
            IMAGES_PATIENCE,
        )?)
    }

    /// The images' lock, if nobody has it.
    pub(crate) fn try_lock_images(&self) -> Result<Option<FileLock>, EngineError> {
        Ok(FileLock::try_acquire(
            &self.roots.boot().join("images.lock"),
        )?)
    }

    /// An event of a container, with its image and labels, as `events` shows and filters them.
    pub(crate) fn container_event(config: &ContainerConfig, action: &str) -> EventRecord {
        let mut event = Self::event(
            "container",
            action,
            config.id.as_str(),
            config.name.as_str(),
        );
        event.attributes.extend(config.labels.clone());
        event
            .attributes
            .insert("image".into(), config.rootfs.shown());
        event
    }

    /// A recorded event.
    pub(crate) fn event(object: &str, action: &str, id: &str, name: &str) -> EventRecord {
        EventRecord {
            time: Timestamp::now(),
            object: object.to_owned(),
            action: action.to_owned(),
            id: id.to_owned(),
            name: name.to_owned(),
            attributes: std::collections::BTreeMap::new(),
        }
    }
}

/// Makes the durable root if need be, with its marker. A root with a marker has had a database.
fn prepare_root(roots: &Roots) -> Result<Expect, EngineError> {
    let marker = roots.root().join(MARKER);
    if marker.exists() {
        return Ok(Expect::Existing);
    }
    ctr_sys::fs::ensure_directory(roots.root(), 0o700)?;
    for name in ["containers", "layers", "images", "staging"] {
        ctr_sys::fs::ensure_directory(&roots.root().join(name), 0o700)?;
    }
    // The database comes first: a marker says that there is one.
    drop(Store::open(&roots.database(), Expect::Any)?);
    let content = Marker {
        version: 1,
        id: OpId::random()?.to_string(),
    };
    let json = serde_json::to_vec(&content).unwrap_or_default();
    ctr_sys::fs::write_atomic(&marker, &json, 0o600, Durability::PowerLoss)?;
    Ok(Expect::Existing)
}

/// The environment given to the monitor, the runtime and the clean-up.
pub(crate) fn child_environment() -> Vec<std::ffi::OsString> {
    ctr_oci::runtime::ENVIRONMENT
        .iter()
        .map(|(name, value)| format!("{name}={value}").into())
        .collect()
}

/// A path with a suffix behind its last component.
pub(crate) fn trash_path(roots: &Roots, op: &OpId, what: &str) -> PathBuf {
    trash_directory(roots, op).join(what)
}

/// Where an operation puts what it removes.
pub(crate) fn trash_directory(roots: &Roots, op: &OpId) -> PathBuf {
    Path::new(roots.root())
        .join("staging")
        .join(format!("trash-{op}"))
}
