//! Who is named as the speaker, who may name them, and whether their words may be kept.

use std::collections::HashMap;

use meetmind_core::{
    Actor, Code, ConsentPolicy, Ctx, Error, Meeting, MeetingAction, ParticipantId, Result,
    meeting_may,
};
use meetmind_store::Conn;

use crate::Access;
use crate::meetings::{ConsentKind, consent_permits};

/// The most participants that names are matched against.
const MAX_NAMES: i64 = 10_000;

/// A speaker, and the participants it may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Speaker {
    /// The one participant with that name.
    pub(super) participant_id: Option<ParticipantId>,
    /// The name as it stands in the transcript.
    pub(super) name: String,
    /// Everybody who has that name: each must consent.
    candidates: Vec<ParticipantId>,
}

/// The names of one meeting and the consent of those asked for, read once per call.
#[derive(Debug, Default)]
pub(super) struct Speakers {
    /// Lower-case name to those who have it.
    names: Option<HashMap<String, Vec<(ParticipantId, String)>>>,
    permits: HashMap<ParticipantId, bool>,
}

impl Speakers {
    /// The speaker of a new segment: the caller, unless another is named by who may do so.
    pub(super) async fn of_caller(
        &mut self,
        conn: &mut Conn,
        ctx: &Ctx,
        access: &Access,
        named: Option<&str>,
    ) -> Result<Speaker> {
        match named {
            Some(name) if !same_name(name, &access.name) => {
                meeting_may(
                    &ctx.actor,
                    Some(access.role),
                    access.meeting.id,
                    MeetingAction::Attribute,
                )?;
                self.named(conn, &access.meeting, name).await
            }
            _ => Ok(Speaker {
                participant_id: access.participant_id,
                name: access.name.clone(),
                candidates: access.participant_id.into_iter().collect(),
            }),
        }
    }

    /// The speaker behind a name, whatever the case of its letters.
    pub(super) async fn named(
        &mut self,
        conn: &mut Conn,
        meeting: &Meeting,
        name: &str,
    ) -> Result<Speaker> {
        let names = match self.names.take() {
            Some(names) => names,
            None => {
                let mut names: HashMap<String, Vec<(ParticipantId, String)>> = HashMap::new();
                for (id, name) in conn.segment_speakers(meeting.id, MAX_NAMES).await? {
                    names
                        .entry(name.to_lowercase())
                        .or_default()
                        .push((id, name));
                }
                names
            }
        };
        let found = names
            .get(&name.to_lowercase())
            .map_or(&[][..], Vec::as_slice);
        let speaker = match found {
            [(id, own)] => Speaker {
                participant_id: Some(*id),
                name: own.clone(),
                candidates: vec![*id],
            },
            // A name that several have says nothing about which of them spoke.
            several => Speaker {
                participant_id: None,
                name: name.to_owned(),
                candidates: several.iter().map(|(id, _)| *id).collect(),
            },
        };
        self.names = Some(names);
        Ok(speaker)
    }

    /// Whether the speaker's words may be kept. A name that no participant has is permitted on
    /// the word of the person who enters it, never on an agent's under a policy of asking.
    pub(super) async fn permits(
        &mut self,
        conn: &mut Conn,
        actor: &Actor,
        meeting: &Meeting,
        speaker: &Speaker,
    ) -> Result<bool> {
        if speaker.candidates.is_empty() {
            let agent = matches!(actor, Actor::Agent { .. });
            return Ok(match meeting.consent_policy {
                ConsentPolicy::Off => false,
                ConsentPolicy::Ask => !agent,
                ConsentPolicy::Implied => true,
            });
        }
        for id in &speaker.candidates {
            let permitted = match self.permits.get(id) {
                Some(permitted) => *permitted,
                None => {
                    let permitted =
                        consent_permits(conn, meeting, Some(*id), ConsentKind::Transcript).await?;
                    self.permits.insert(*id, permitted);
                    permitted
                }
            };
            if !permitted {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Whether two names are the same but for the case of letters.
pub(super) fn same_name(a: &str, b: &str) -> bool {
    a == b || a.to_lowercase() == b.to_lowercase()
}

/// The refusal of words that may not be kept; `index` is the segment's place in the call.
pub(super) fn consent_denied(index: usize, speaker: &Speaker) -> Error {
    Error::new(
        Code::ConsentDenied,
        "the speaker did not consent to being transcribed: nothing was kept",
    )
    .with_details(serde_json::json!({ "index": index, "speaker": speaker.name }))
}
