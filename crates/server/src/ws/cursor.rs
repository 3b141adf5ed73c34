//! Where one listener stands in one topic. The same for sockets and for SSE.

use meetmind_app::{TopicAccess, event_touches_listener};
use meetmind_core::{Event, EventKind};

/// Events read from the store at once.
pub(crate) const PAGE: i64 = 500;

/// Where one listener stands in one topic.
#[derive(Debug, Clone)]
pub(crate) struct Cursor {
    /// The number of the last event that went out.
    pub(crate) last: i64,
    /// Whether the store has to be read before the bus counts again.
    pub(crate) behind: bool,
    /// What the listener may do here.
    pub(crate) access: TopicAccess,
}

/// What becomes of an event from the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the next one.
    Deliver,
    /// It went out already.
    Old,
    /// Others come before it: read the store.
    Behind,
}

impl Cursor {
    /// A listener that has had everything up to `after`, in a topic that goes up to `last`.
    pub(crate) fn new(access: TopicAccess, after: i64, last: i64) -> Self {
        Self {
            last: after,
            behind: after < last,
            access,
        }
    }

    /// Takes the number of an event from the bus.
    pub(crate) fn meet(&mut self, seq: i64) -> Verdict {
        if seq <= self.last {
            Verdict::Old
        } else if seq == self.last + 1 && !self.behind {
            self.last = seq;
            Verdict::Deliver
        } else {
            self.behind = true;
            Verdict::Behind
        }
    }

    /// Takes a page from the store. `false` when what should come next is no longer there.
    pub(crate) fn take_page(&mut self, access: TopicAccess, events: &[Event]) -> bool {
        self.access = access;
        let Some((first, last)) = events.first().zip(events.last()) else {
            self.behind = false;
            return true;
        };
        if first.seq != self.last + 1 {
            return false;
        }
        self.last = last.seq;
        self.behind = i64::try_from(events.len()).unwrap_or(PAGE) >= PAGE;
        true
    }

    /// Whether the listener's authority has to be looked at before this event goes out.
    pub(crate) fn is_touched_by(&self, event: &Event) -> bool {
        event_touches_listener(event, self.access)
    }
}

/// Whether the topic ends with this event for all: it still goes out, and is the last.
pub(crate) fn ends_topic(event: &Event) -> bool {
    matches!(
        event.kind,
        EventKind::MeetingArchived | EventKind::MeetingErased
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use meetmind_core::{EventVersion, Timestamp};

    const ACCESS: TopicAccess = TopicAccess {
        participant_id: None,
        may_signal: false,
    };

    fn event(seq: i64) -> Event {
        Event {
            v: EventVersion::default(),
            topic: "user:x".to_owned(),
            seq,
            at: Timestamp::from_micros(0),
            kind: EventKind::MessagePosted,
            data: serde_json::Value::Null,
        }
    }

    #[test]
    fn every_number_goes_out_once_and_in_order() {
        let mut cursor = Cursor::new(ACCESS, 3, 3);
        assert_eq!(cursor.meet(3), Verdict::Old);
        assert_eq!(cursor.meet(4), Verdict::Deliver);
        assert_eq!(cursor.meet(4), Verdict::Old);
        assert_eq!(cursor.meet(6), Verdict::Behind);
        // While it is behind, even the next number waits for the store.
        assert_eq!(cursor.meet(5), Verdict::Behind);
        assert!(cursor.take_page(ACCESS, &[event(5), event(6)]));
        assert!(!cursor.behind);
        assert_eq!(cursor.meet(6), Verdict::Old);
        assert_eq!(cursor.meet(7), Verdict::Deliver);
    }

    #[test]
    fn a_full_page_is_not_the_last_and_a_hole_is_noticed() {
        let mut cursor = Cursor::new(ACCESS, 0, 2000);
        let page: Vec<Event> = (1..=PAGE).map(event).collect();
        assert!(cursor.take_page(ACCESS, &page) && cursor.behind);
        assert!(!cursor.take_page(ACCESS, &[event(PAGE + 2)]));
        assert!(cursor.take_page(ACCESS, &[]) && !cursor.behind);
    }
}
