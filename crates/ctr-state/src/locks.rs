//! Who may write: one lock file per container and per operation, freed by the kernel when the holder dies.
//!
//! Order, in which every process takes them: pod, container (several: by id), volume. [`Locks::containers`] takes many
//! containers in that order; nobody takes a lock upwards.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ctr_sys::SysError;
use ctr_sys::error::Context as _;
use ctr_sys::lock::{FileLock, LockError};
use ctr_types::{ContainerId, OpId};

/// The locks of one engine in this boot, below a directory of its run root.
#[derive(Clone, Debug)]
pub struct Locks {
    containers: PathBuf,
    ops: PathBuf,
}

/// The right to write one container. It carries the id, so nothing can be written to the wrong one.
#[derive(Debug)]
#[must_use = "the container is unlocked when this is dropped"]
pub struct ContainerLock {
    id: ContainerId,
    lock: FileLock,
}

/// The sign of life of an operation's owner.
#[derive(Debug)]
#[must_use = "the operation counts as dead when this is dropped"]
pub struct OpLock(FileLock);

impl Locks {
    /// Locks below `boot`, a directory of this boot; the directories are made.
    pub fn new(boot: &Path) -> Result<Self, SysError> {
        let locks = Self {
            containers: boot.join("locks"),
            ops: boot.join("op"),
        };
        ctr_sys::fs::ensure_directory(&locks.containers, 0o700)?;
        ctr_sys::fs::ensure_directory(&locks.ops, 0o700)?;
        Ok(locks)
    }

    fn container_path(&self, id: &ContainerId) -> PathBuf {
        self.containers.join(id.as_str())
    }

    /// Takes a container's lock, waiting at most `patience` for its holder.
    pub fn container(
        &self,
        id: &ContainerId,
        patience: Duration,
    ) -> Result<ContainerLock, LockError> {
        let lock = FileLock::acquire(&self.container_path(id), patience)?;
        Ok(ContainerLock {
            id: id.clone(),
            lock,
        })
    }

    /// Takes a container's lock if nobody has it.
    pub fn try_container(&self, id: &ContainerId) -> Result<Option<ContainerLock>, SysError> {
        let lock = FileLock::try_acquire(&self.container_path(id))?;
        Ok(lock.map(|lock| ContainerLock {
            id: id.clone(),
            lock,
        }))
    }

    /// Takes the locks of several containers, in the order of their ids whatever the order given.
    pub fn containers(
        &self,
        ids: &[ContainerId],
        patience: Duration,
    ) -> Result<Vec<ContainerLock>, LockError> {
        let mut sorted: Vec<&ContainerId> = ids.iter().collect();
        sorted.sort();
        sorted.dedup();
        sorted
            .into_iter()
            .map(|id| self.container(id, patience))
            .collect()
    }

    /// Shows that the owner of an operation lives, until dropped. Taken before the operation is written down.
    pub fn own_op(&self, id: &OpId) -> Result<Option<OpLock>, SysError> {
        Ok(FileLock::try_acquire(&self.ops.join(id.as_str()))?.map(OpLock))
    }

    /// The operations that have a lock file: those that live, and those whose owner died before or after writing them down.
    pub fn op_ids(&self) -> Result<Vec<OpId>, SysError> {
        let shown = || self.ops.display().to_string();
        let mut ids = Vec::new();
        for entry in std::fs::read_dir(&self.ops).context("read directory", shown)? {
            let name = entry.context("read directory", shown)?.file_name();
            ids.extend(name.to_string_lossy().parse::<OpId>());
        }
        Ok(ids)
    }

    /// Whether the owner of an operation lives. An operation of an earlier boot has none.
    pub fn op_is_owned(&self, id: &OpId) -> Result<bool, SysError> {
        FileLock::is_held(&self.ops.join(id.as_str()))
    }
}

impl ContainerLock {
    /// The container that may be written.
    pub fn id(&self) -> &ContainerId {
        &self.id
    }

    /// Removes the lock's file with the container; who waits for it finds out that the container is gone.
    pub fn remove(self) -> Result<(), SysError> {
        self.lock.remove()
    }
}

impl OpLock {
    /// Removes the lock's file when the operation is over.
    pub fn remove(self) -> Result<(), SysError> {
        self.0.remove()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b28_locks_have_no_pool_and_b33_no_file_stays() {
        let dir = tempfile::tempdir().unwrap();
        let locks = Locks::new(dir.path()).unwrap();
        let ids: Vec<ContainerId> = (0..50).map(|_| ContainerId::random().unwrap()).collect();
        let held = locks.containers(&ids, Duration::from_secs(5)).unwrap();
        assert_eq!(held.len(), 50);
        assert!(
            held.windows(2).all(|pair| pair[0].id() < pair[1].id()),
            "one global order"
        );
        assert!(locks.try_container(&ids[3]).unwrap().is_none());
        for lock in held {
            lock.remove().unwrap();
        }
        assert_eq!(
            std::fs::read_dir(dir.path().join("locks")).unwrap().count(),
            0
        );
    }

    #[test]
    fn an_operation_is_owned_while_its_lock_is_held() {
        let dir = tempfile::tempdir().unwrap();
        let locks = Locks::new(dir.path()).unwrap();
        let op = OpId::random().unwrap();
        assert!(!locks.op_is_owned(&op).unwrap());
        let owner = locks.own_op(&op).unwrap().unwrap();
        assert!(locks.op_is_owned(&op).unwrap());
        assert!(locks.own_op(&op).unwrap().is_none());
        owner.remove().unwrap();
        assert!(!locks.op_is_owned(&op).unwrap());
    }
}
