//! The journal of operations.

use rusqlite::params;

use ctr_types::{ContainerId, OpId};

use super::{Attempt as _, Store, StoreError, Txn, from_nanos, from_text, to_nanos};
use crate::record::{OpKind, OpRecord};

impl Store {
    /// The operations that have begun and not been finished: those going on, and those whose owner has died.
    pub fn ops(&self) -> Result<Vec<OpRecord>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT id, kind, container, boot, started, step FROM op ORDER BY started",
            )
            .attempt("read the journal")?;
        let mut rows = statement.query([]).attempt("read the journal")?;
        let mut ops = Vec::new();
        while let Some(row) = rows.next().attempt("read the journal")? {
            let text = |index| row.get::<_, String>(index).attempt("read the journal");
            let id = text(0)?;
            let object = format!("operation {id}");
            let kind: OpKind = text(1)?.parse().map_err(|()| StoreError::DamagedRecord {
                object: object.clone(),
                source: "unknown kind of operation".into(),
            })?;
            let container: Option<String> = row.get(2).attempt("read the journal")?;
            ops.push(OpRecord {
                id: from_text(id, &object)?,
                kind,
                container: container
                    .map(|id| from_text::<ContainerId>(id, &object))
                    .transpose()?,
                boot: from_text(text(3)?, &object)?,
                started: from_nanos(row.get(4).attempt("read the journal")?),
                step: text(5)?,
            });
        }
        Ok(ops)
    }
}

impl Txn<'_> {
    /// Writes down that an operation begins. Its owner must hold the operation's lock already.
    pub fn begin_op(&self, op: &OpRecord) -> Result<(), StoreError> {
        self.0
            .execute(
                "INSERT INTO op VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    op.id.as_str(),
                    op.kind.as_str(),
                    op.container.as_ref().map(ContainerId::as_str),
                    op.boot.as_str(),
                    to_nanos(op.started),
                    op.step
                ],
            )
            .attempt("begin an operation")?;
        Ok(())
    }

    /// Writes down how far an operation is. One that is over stays over.
    pub fn set_op_step(&self, id: &OpId, step: &str) -> Result<(), StoreError> {
        self.0
            .execute("UPDATE op SET step = ?2 WHERE id = ?1", [id.as_str(), step])
            .attempt("record a step")?;
        Ok(())
    }

    /// Writes down that an operation is over, done or undone.
    pub fn finish_op(&self, id: &OpId) -> Result<(), StoreError> {
        self.0
            .execute("DELETE FROM op WHERE id = ?1", [id.as_str()])
            .attempt("finish an operation")?;
        Ok(())
    }
}
