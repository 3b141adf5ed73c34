//! The media sections on which a connection may send, and what each carries.
//!
//! In single mode the client offers receiving sections and the server fills them; in dual mode the server
//! offers its own. Either way a section outlives the track it carried: the next track takes the first free
//! one of its kind, so that a description does not grow with every camera switched off and on.

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
}

/// All sending sections of one connection, in the order of the description.
#[derive(Debug, Default)]
pub(crate) struct SendSections(Vec<SendSection>);

impl SendSections {
    /// Learns of a section that may send; one that is known stays as it is.
    pub(crate) fn offer(&mut self, mid: Mid, kind: MediaKind) {
        if !self.0.iter().any(|section| section.mid == mid) {
            self.0.push(SendSection {
                mid,
                kind,
                track: None,
                used: false,
            });
        }
    }

    /// Forgets a section that the client withdrew; answers what it carried.
    pub(crate) fn withdraw(&mut self, mid: Mid) -> Option<TrackKey> {
        let position = self.0.iter().position(|section| section.mid == mid)?;
        self.0.remove(position).track
    }

    /// Puts a track on the first free section of its kind. Answers the section as it was before.
    pub(crate) fn assign(&mut self, track: TrackKey, kind: MediaKind) -> Option<SendSection> {
        let section = self
            .0
            .iter_mut()
            .find(|section| section.kind == kind && section.track.is_none())?;
        let before = *section;
        section.track = Some(track);
        section.used = true;
        Some(before)
    }

    /// Frees the section of a track.
    pub(crate) fn release(&mut self, track: TrackKey) -> Option<Mid> {
        let section = self
            .0
            .iter_mut()
            .find(|section| section.track == Some(track))?;
        section.track = None;
        Some(section.mid)
    }

    /// How many sections of a kind are free.
    pub(crate) fn free(&self, kind: MediaKind) -> usize {
        self.0
            .iter()
            .filter(|section| section.kind == kind && section.track.is_none())
            .count()
    }

    /// What each busy section carries.
    pub(crate) fn assigned(&self) -> impl Iterator<Item = (Mid, TrackKey)> + '_ {
        self.0
            .iter()
            .filter_map(|section| Some((section.mid, section.track?)))
    }

    /// The track of a section.
    pub(crate) fn track(&self, mid: Mid) -> Option<TrackKey> {
        self.0.iter().find(|section| section.mid == mid)?.track
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_section_is_taken_again_and_says_that_it_was_used() {
        let mut sections = SendSections::default();
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
}
