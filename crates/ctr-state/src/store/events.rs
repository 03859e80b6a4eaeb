//! The journal of events, kept to the newest [`KEPT`].

use rusqlite::params;

use super::{Attempt as _, Store, StoreError, Txn, from_json, from_nanos, to_json, to_nanos};
use crate::record::EventRecord;

/// How many events are kept, give or take [`SLACK`].
const KEPT: i64 = 10_000;
/// How often old ones are removed.
const SLACK: i64 = 256;

impl Store {
    /// The events after `seq` (0: all that are kept), oldest first, each with its own number.
    pub fn events(&self, seq: i64) -> Result<Vec<(i64, EventRecord)>, StoreError> {
        self.select_events("seq > ?1", params![seq])
    }

    /// The events of one kind of one object, oldest first, as far as they are kept.
    pub fn events_of(&self, id: &str, action: &str) -> Result<Vec<EventRecord>, StoreError> {
        let found = self.select_events("id = ?1 AND action = ?2", params![id, action])?;
        Ok(found.into_iter().map(|(_, event)| event).collect())
    }

    fn select_events(
        &self,
        which: &str,
        values: impl rusqlite::Params,
    ) -> Result<Vec<(i64, EventRecord)>, StoreError> {
        let query = format!(
            "SELECT seq, time, object, action, id, name, attributes FROM event \
             WHERE {which} ORDER BY seq"
        );
        let mut statement = self
            .connection
            .prepare_cached(&query)
            .attempt("read events")?;
        let mut rows = statement.query(values).attempt("read events")?;
        let mut events = Vec::new();
        while let Some(row) = rows.next().attempt("read events")? {
            let text = |index| row.get::<_, String>(index).attempt("read events");
            let seq: i64 = row.get(0).attempt("read events")?;
            let event = EventRecord {
                time: from_nanos(row.get(1).attempt("read events")?),
                object: text(2)?,
                action: text(3)?,
                id: text(4)?,
                name: text(5)?,
                attributes: from_json(&text(6)?, &format!("event {seq}"))?,
            };
            events.push((seq, event));
        }
        Ok(events)
    }
}

impl Txn<'_> {
    /// Adds an event.
    pub fn add_event(&self, event: &EventRecord) -> Result<(), StoreError> {
        self.0
            .execute(
                "INSERT INTO event (time, object, action, id, name, attributes) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    to_nanos(event.time),
                    event.object,
                    event.action,
                    event.id,
                    event.name,
                    to_json(&event.attributes, "an event")?
                ],
            )
            .attempt("add an event")?;
        let seq = self.0.last_insert_rowid();
        if seq % SLACK == 0 {
            self.0
                .execute("DELETE FROM event WHERE seq <= ?1", [seq - KEPT])
                .attempt("remove old events")?;
        }
        Ok(())
    }
}
