//! Consent: who agreed to what is kept, the ledger of it, and taking words back.

use meetmind_core::{ConsentPolicy, ConsentState, Meeting, MeetingRole, ParticipantId, Result};
use meetmind_store::Conn;

/// What a participant agrees to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConsentKind {
    /// Keeping what they say as text.
    Transcript,
    /// Keeping what they say as sound or picture.
    Recording,
    /// Remembering it beyond the meeting.
    Memory,
}

/// Whether words of a participant may be kept for this purpose. Agents need no consent. Words
/// without a participant (an imported file, a name nobody here has) are nobody's to refuse here:
/// they are kept unless the meeting captures nothing, and who enters them answers for them.
///
/// # Errors
/// `NOT_FOUND` when the participant is not one of this meeting, or the database cannot be reached.
pub(crate) async fn consent_permits(
    conn: &mut Conn,
    meeting: &Meeting,
    participant_id: Option<ParticipantId>,
    kind: ConsentKind,
) -> Result<bool> {
    if meeting.consent_policy == ConsentPolicy::Off {
        return Ok(false);
    }
    let Some(participant_id) = participant_id else {
        return Ok(true);
    };
    let participant = conn.participant_get(meeting.id, participant_id).await?;
    if participant.role == MeetingRole::Agent {
        return Ok(true);
    }
    let word = conn
        .consent_find(participant_id)
        .await?
        .map(|consent| match kind {
            ConsentKind::Transcript => consent.transcript,
            ConsentKind::Recording => consent.recording,
            ConsentKind::Memory => consent.memory,
        })
        .filter(|word| *word != ConsentState::Pending);
    Ok(meeting.consent_policy.permits(word))
}
