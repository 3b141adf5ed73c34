//! The media sections on which a connection may send, and what each carries.
//!
//! In single mode the client offers receiving sections and the server fills them; in dual mode the server
//! offers its own. Either way a section outlives the track it carried: the next track takes the first free
//! one of its kind, so that a description does not grow with every camera switched off and on.
//!
//! Where the server offers, a freed section first has to come to rest: the client must agree to an inactive
//! one before another track is put there, or native clients take the new track for the old one and tell
//! nobody of it. Where the client offers, a freed section can be used at once.

use str0m::media::{MediaKind, Mid};

/// A number for a published track, unique within its room.
pub(crate) type TrackKey = u64;

/// One section that sends to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SendSection {
    pub(crate) mid: Mid,
    pub(crate) kind: MediaKind,
    /// What it carries now.
    pub(crate) track: Option<TrackKey>,
    /// Whether it carried anything before: then the next track needs a fresh SSRC, or the receiver
    /// takes its first packets for a replay of the old ones.
    pub(crate) used: bool,
    rest: Rest,
}

/// How far a section without a track has come to rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// Nobody told the client yet that the section carries nothing.
    Owed,
    /// An offer that says so is out.
    Offered,
    /// The client knows: the section can carry the next track.
    Agreed,
}

impl SendSection {
    fn is_free(&self) -> bool {
        self.track.is_none() && self.rest == Rest::Agreed
    }
}

/// All sending sections of one connection, in the order of the description.
#[derive(Debug)]
pub(crate) struct SendSections {
    sections: Vec<SendSection>,
    /// Whether the server offers them.
    ours: bool,
}

impl SendSections {
    /// No sections yet. `ours` says who offers them: the server (dual mode) or the client (single mode).
    pub(crate) fn new(ours: bool) -> Self {
        Self {
            sections: Vec::new(),
            ours,
        }
    }

    /// Learns of a section that may send; one that is known stays as it is.
    pub(crate) fn offer(&mut self, mid: Mid, kind: MediaKind) {
        if !self.sections.iter().any(|section| section.mid == mid) {
            self.sections.push(SendSection {
                mid,
                kind,
                track: None,
                used: false,
                rest: Rest::Agreed,
            });
        }
    }

    /// Forgets a section that the client withdrew; answers what it carried.
    pub(crate) fn withdraw(&mut self, mid: Mid) -> Option<TrackKey> {
        let position = self
            .sections
            .iter()
            .position(|section| section.mid == mid)?;
        self.sections.remove(position).track
    }

    /// Puts a track on the first free section of its kind. Answers the section as it was before.
    pub(crate) fn assign(&mut self, track: TrackKey, kind: MediaKind) -> Option<SendSection> {
        let section = self
            .sections
            .iter_mut()
            .find(|section| section.kind == kind && section.is_free())?;
        let before = *section;
        section.track = Some(track);
        section.used = true;
        Some(before)
    }

    /// Frees the section of a track.
    pub(crate) fn release(&mut self, track: TrackKey) -> Option<Mid> {
        let section = self
            .sections
            .iter_mut()
            .find(|section| section.track == Some(track))?;
        section.track = None;
        section.rest = if self.ours { Rest::Owed } else { Rest::Agreed };
        Some(section.mid)
    }

    /// Whether an offer has to say of a section that it carries nothing any more.
    pub(crate) fn owes_rest(&self) -> bool {
        self.sections
            .iter()
            .any(|section| section.track.is_none() && section.rest == Rest::Owed)
    }

    /// The sections of which the offer that is being made says that they carry nothing.
    pub(crate) fn offer_rest(&mut self) -> Vec<Mid> {
        let mut mids = Vec::new();
        for section in &mut self.sections {
            if section.track.is_none() && section.rest == Rest::Owed {
                section.rest = Rest::Offered;
                mids.push(section.mid);
            }
        }
        mids
    }

    /// The client accepted the offer.
    pub(crate) fn rest_agreed(&mut self) {
        for section in &mut self.sections {
            if section.rest == Rest::Offered {
                section.rest = Rest::Agreed;
            }
        }
    }

    /// How many sections of a kind will be free when the client has answered.
    pub(crate) fn coming_free(&self, kind: MediaKind) -> usize {
        self.sections
            .iter()
            .filter(|section| section.kind == kind && section.track.is_none())
            .filter(|section| section.rest != Rest::Agreed)
            .count()
    }

    /// How many sections of a kind are free.
    pub(crate) fn free(&self, kind: MediaKind) -> usize {
        self.sections
            .iter()
            .filter(|section| section.kind == kind && section.is_free())
            .count()
    }

    /// What each busy section carries.
    pub(crate) fn assigned(&self) -> impl Iterator<Item = (Mid, TrackKey)> + '_ {
        self.sections
            .iter()
            .filter_map(|section| Some((section.mid, section.track?)))
    }

    /// The track of a section.
    pub(crate) fn track(&self, mid: Mid) -> Option<TrackKey> {
        self.sections
            .iter()
            .find(|section| section.mid == mid)?
            .track
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_section_is_taken_again_and_says_that_it_was_used() {
        let mut sections = SendSections::new(false);
        let (first, second) = (Mid::from("0"), Mid::from("1"));
        sections.offer(first, MediaKind::Audio);
        sections.offer(second, MediaKind::Video);
        sections.offer(first, MediaKind::Audio);
        let before = sections
            .assign(7, MediaKind::Audio)
            .expect("a free section");
        assert_eq!((before.mid, before.used), (first, false));
        assert_eq!(sections.assign(8, MediaKind::Audio), None);
        assert_eq!(sections.release(7), Some(first));
        let again = sections.assign(8, MediaKind::Audio).expect("free again");
        assert_eq!((again.mid, again.used), (first, true));
        assert_eq!(sections.track(first), Some(8));
        assert_eq!(sections.free(MediaKind::Video), 1);
        assert_eq!(sections.withdraw(first), Some(8));
        assert_eq!(sections.assigned().count(), 0);
    }

    #[test]
    fn a_section_of_ours_is_taken_again_only_when_the_client_knows_that_it_fell_free() {
        let mut sections = SendSections::new(true);
        let mid = Mid::from("0");
        sections.offer(mid, MediaKind::Video);
        sections.assign(7, MediaKind::Video).expect("a new one");
        sections.release(7);
        assert_eq!(sections.assign(8, MediaKind::Video), None);
        assert!(sections.owes_rest());
        assert_eq!(sections.coming_free(MediaKind::Video), 1);
        assert_eq!(sections.offer_rest(), [mid]);
        assert!(!sections.owes_rest());
        assert_eq!(sections.assign(8, MediaKind::Video), None);
        sections.rest_agreed();
        assert_eq!(sections.coming_free(MediaKind::Video), 0);
        assert!(sections.assign(8, MediaKind::Video).is_some());
    }
}
