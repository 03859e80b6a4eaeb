//! What has happened, and what happens: the journal of events, read and followed.

use std::collections::BTreeMap;
use std::time::Instant;

use ctr_state::record::EventRecord;
use ctr_types::Timestamp;

use crate::watch::Watch;
use crate::{Engine, EngineError};

/// Which events.
#[derive(Clone, Debug, Default)]
pub struct EventOptions {
    /// Those from this time on; none means all that are kept, or, when following, those from now on.
    pub since: Option<Timestamp>,
    /// Those before this time.
    pub until: Option<Timestamp>,
    /// Goes on with what happens, to `until` or for ever.
    pub follow: bool,
    /// Only those that fit one filter of each kind.
    pub filters: Vec<EventFilter>,
}

/// A filter of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventFilter {
    /// `container`, `image`, `volume` or `system`.
    Type(String),
    /// What has happened.
    Action(String),
    /// A container, by name or beginning of its id.
    Container(String),
    /// An image, by name or beginning of its id.
    Image(String),
    /// A label of the object, perhaps with its value.
    Label(String, Option<String>),
}

impl EventFilter {
    fn kind(&self) -> u8 {
        match self {
            Self::Type(_) => 0,
            Self::Action(_) => 1,
            Self::Container(_) => 2,
            Self::Image(_) => 3,
            Self::Label(..) => 4,
        }
    }

    fn fits(&self, event: &EventRecord) -> bool {
        let is = |object: &str, text: &str| {
            event.object == object && (event.name == text || event.id.starts_with(text))
        };
        match self {
            Self::Type(object) => event.object == *object,
            // docker's words for podman's.
            Self::Action(action) => {
                let action = match action.as_str() {
                    "die" => "died",
                    "destroy" => "remove",
                    other => other,
                };
                event.action == action
            }
            Self::Container(text) => is("container", text),
            Self::Image(text) => is("image", text) || event.attributes.get("image") == Some(text),
            Self::Label(name, value) => event
                .attributes
                .get(name)
                .is_some_and(|found| value.as_ref().is_none_or(|value| value == found)),
        }
    }
}

/// Of the filters of one kind any may fit, of the kinds all must.
fn fits(filters: &[EventFilter], event: &EventRecord) -> bool {
    let kinds: BTreeMap<u8, bool> = filters.iter().fold(BTreeMap::new(), |mut kinds, filter| {
        *kinds.entry(filter.kind()).or_default() |= filter.fits(event);
        kinds
    });
    kinds.values().all(|fits| *fits)
}

impl Engine {
    /// Gives the events to `sink`, oldest first; it ends the reading by returning `false`.
    ///
    /// # Errors
    /// When the store cannot be read, or those of `sink`.
    pub fn events(
        &self,
        options: &EventOptions,
        mut sink: impl FnMut(&EventRecord) -> Result<bool, EngineError>,
    ) -> Result<(), EngineError> {
        let begun = Timestamp::now();
        let since = match options.since {
            Some(since) => since,
            None if options.follow => begun,
            None => Timestamp::UNIX_EPOCH,
        };
        let mut after = 0;
        loop {
            // The monitors' directories are not watched: what they note comes with the next look.
            let watch = Watch::directories([self.roots.root()])?;
            self.gather_tidings()?;
            for (number, event) in self.look(|store| store.events(after))? {
                after = number;
                if options.until.is_some_and(|until| event.time >= until) {
                    return Ok(());
                }
                let is_wanted = event.time >= since && fits(&options.filters, &event);
                if is_wanted && !sink(&event)? {
                    return Ok(());
                }
            }
            if !options.follow {
                return Ok(());
            }
            let deadline = match options.until {
                Some(until) => match std::time::Duration::try_from(until - Timestamp::now()) {
                    Ok(left) if !left.is_zero() => Some(Instant::now() + left),
                    Ok(_) | Err(_) => return Ok(()),
                },
                None => None,
            };
            watch.wait(&[], deadline)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(object: &str, action: &str, name: &str) -> EventRecord {
        EventRecord {
            time: Timestamp::UNIX_EPOCH,
            object: object.into(),
            action: action.into(),
            id: "0123456789ab".into(),
            name: name.into(),
            attributes: BTreeMap::from([("tier".into(), "front".into())]),
        }
    }

    #[test]
    fn any_of_a_kind_and_all_of_the_kinds_must_fit() {
        let start = event("container", "start", "web");
        let kind = |text: &str| EventFilter::Type(text.into());
        let action = |text: &str| EventFilter::Action(text.into());
        assert!(fits(&[], &start));
        assert!(fits(&[kind("image"), kind("container")], &start));
        assert!(!fits(&[kind("container"), action("stop")], &start));
        assert!(fits(
            &[EventFilter::Container("0123".into()), action("start")],
            &start
        ));
        assert!(
            fits(&[action("die")], &event("container", "died", "web")),
            "docker's word"
        );
        assert!(fits(&[EventFilter::Label("tier".into(), None)], &start));
        assert!(!fits(
            &[EventFilter::Label("tier".into(), Some("back".into()))],
            &start
        ));
        assert!(!fits(&[EventFilter::Image("web".into())], &start));
    }
}
