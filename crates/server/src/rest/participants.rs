//! `/api/meetings/{id}/participants`, their consent, and the consent ledger.

use axum::extract::State;
use meetmind_app::{
    App, ConsentChange, ConsentOutcome, ErasureReceipt, ParticipantNew, ParticipantPatch, Who,
};
use meetmind_core::{
    Consent, ConsentState, Error, MeetingId, MeetingRole, Page, Participant, ParticipantId, UserId,
};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Caller, Json, PageParams, Path, Query};
use crate::reply::{Envelope, Outcome, Reply};

pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, add))
        .routes(routes!(get, update, remove))
        .routes(routes!(consent_get, consent_set))
        .routes(routes!(consent_ledger))
        .routes(routes!(words_erase))
}

/// A role that can be given to who is put on the list.
#[derive(Debug, Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum InvitedRole {
    /// Runs the meeting with the host.
    Cohost,
    /// Takes part.
    Participant,
    /// Looks on.
    Viewer,
}

/// A role that can be given to who is on the list.
#[derive(Debug, Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum GivenRole {
    /// Owns the meeting; the host until now becomes a cohost.
    Host,
    /// Runs the meeting with the host.
    Cohost,
    /// Takes part.
    Participant,
    /// Looks on.
    Viewer,
}

/// Somebody to put on the list: `email` or `user_id`.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct ParticipantBody {
    /// The address of an account here.
    #[schema(min_length = 1, max_length = 254)]
    email: Option<String>,
    /// The account.
    user_id: Option<UserId>,
    /// `participant` when absent.
    role: Option<InvitedRole>,
}

/// Changes: absent stays.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct ParticipantPatchBody {
    /// Another role; `host` hands the meeting over.
    role: Option<GivenRole>,
    /// Whether a host muted them.
    muted: Option<bool>,
    /// Lets in who waits at the door, or turns them away.
    admit: Option<bool>,
    /// Another name.
    #[schema(
        min_length = 1,
        max_length = 100,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$"
    )]
    name: Option<String>,
}

/// A word on capture.
#[derive(Debug, Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum ConsentWord {
    /// Agreed.
    Granted,
    /// Refused or withdrawn.
    Denied,
}

impl From<ConsentWord> for ConsentState {
    fn from(word: ConsentWord) -> Self {
        match word {
            ConsentWord::Granted => ConsentState::Granted,
            ConsentWord::Denied => ConsentState::Denied,
        }
    }
}

/// Your consent: absent stays.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct ConsentBody {
    /// On keeping what you say as text.
    transcript: Option<ConsentWord>,
    /// On keeping what you say as sound or picture.
    recording: Option<ConsentWord>,
    /// On remembering it beyond the meeting.
    memory: Option<ConsentWord>,
}

/// Who is in the meeting, in the order they came on the list. Who waits at the door and who was
/// removed is listed for hosts and cohosts only.
#[utoipa::path(get, path = "/api/meetings/{id}/participants", tag = "participants", params(("id" = MeetingId, Path), PageParams), responses((status = 200, body = Envelope<Page<Participant>>)))]
async fn list(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
    Query(page): Query<PageParams>,
) -> Outcome<Page<Participant>> {
    Ok(Reply::ok(
        app.participant_list(&ctx, id, &page.query()?).await?,
    ))
}

/// Put an account on the list. People without an account come by the invitation link.
#[utoipa::path(post, path = "/api/meetings/{id}/participants", tag = "participants", params(("id" = MeetingId, Path)), request_body = ParticipantBody, responses((status = 201, body = Envelope<Participant>)))]
async fn add(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
    Json(body): Json<ParticipantBody>,
) -> Outcome<Participant> {
    let who = match (body.user_id, body.email) {
        (Some(user_id), None) => Who::User(user_id),
        (None, Some(email)) => Who::Email(email),
        _ => return Err(Error::invalid("email", "give either email or user_id").into()),
    };
    let role = match body.role.unwrap_or(InvitedRole::Participant) {
        InvitedRole::Cohost => MeetingRole::Cohost,
        InvitedRole::Participant => MeetingRole::Participant,
        InvitedRole::Viewer => MeetingRole::Viewer,
    };
    let participant = app
        .participant_add(&ctx, id, ParticipantNew { who, role })
        .await?;
    Ok(Reply::created(
        format!("/api/meetings/{id}/participants/{}", participant.id),
        participant,
    ))
}

/// One participant.
#[utoipa::path(get, path = "/api/meetings/{id}/participants/{participant_id}", tag = "participants", params(("id" = MeetingId, Path), ("participant_id" = ParticipantId, Path)), responses((status = 200, body = Envelope<Participant>)))]
async fn get(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path((id, participant_id)): Path<(MeetingId, ParticipantId)>,
) -> Outcome<Participant> {
    Ok(Reply::ok(
        app.participant_get(&ctx, id, participant_id).await?,
    ))
}

/// Change a participant: role, mute and admission by hosts and cohosts, the name also by oneself.
#[utoipa::path(patch, path = "/api/meetings/{id}/participants/{participant_id}", tag = "participants", params(("id" = MeetingId, Path), ("participant_id" = ParticipantId, Path)), request_body = ParticipantPatchBody, responses((status = 200, body = Envelope<Participant>)))]
async fn update(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path((id, participant_id)): Path<(MeetingId, ParticipantId)>,
    Json(body): Json<ParticipantPatchBody>,
) -> Outcome<Participant> {
    let patch = ParticipantPatch {
        role: body.role.map(|role| match role {
            GivenRole::Host => MeetingRole::Host,
            GivenRole::Cohost => MeetingRole::Cohost,
            GivenRole::Participant => MeetingRole::Participant,
            GivenRole::Viewer => MeetingRole::Viewer,
        }),
        muted: body.muted,
        admit: body.admit,
        name: body.name,
    };
    let participant = app
        .participant_update(&ctx, id, participant_id, patch)
        .await?;
    Ok(Reply::ok(participant))
}

/// Remove a participant; they may not come back by link.
#[utoipa::path(delete, path = "/api/meetings/{id}/participants/{participant_id}", tag = "participants", params(("id" = MeetingId, Path), ("participant_id" = ParticipantId, Path)), responses((status = 200, body = Envelope<Participant>)))]
async fn remove(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path((id, participant_id)): Path<(MeetingId, ParticipantId)>,
) -> Outcome<Participant> {
    Ok(Reply::ok(
        app.participant_remove(&ctx, id, participant_id).await?,
    ))
}

/// A participant's consent: your own, and anybody's for hosts and cohosts.
#[utoipa::path(get, path = "/api/meetings/{id}/participants/{participant_id}/consent", tag = "consent", params(("id" = MeetingId, Path), ("participant_id" = ParticipantId, Path)), responses((status = 200, body = Envelope<ConsentOutcome>)))]
async fn consent_get(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path((id, participant_id)): Path<(MeetingId, ParticipantId)>,
) -> Outcome<ConsentOutcome> {
    Ok(Reply::ok(app.consent_get(&ctx, id, participant_id).await?))
}

/// Give or withdraw your own consent. Withdrawing offers the erasure of what was kept.
#[utoipa::path(put, path = "/api/meetings/{id}/participants/{participant_id}/consent", tag = "consent", params(("id" = MeetingId, Path), ("participant_id" = ParticipantId, Path)), request_body = ConsentBody, responses((status = 200, body = Envelope<ConsentOutcome>)))]
async fn consent_set(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path((id, participant_id)): Path<(MeetingId, ParticipantId)>,
    Json(body): Json<ConsentBody>,
) -> Outcome<ConsentOutcome> {
    let said = ConsentChange {
        transcript: body.transcript.map(Into::into),
        recording: body.recording.map(Into::into),
        memory: body.memory.map(Into::into),
    };
    Ok(Reply::ok(
        app.consent_set(&ctx, id, participant_id, said).await?,
    ))
}

/// The consent ledger of the meeting, oldest entry first, for hosts and cohosts.
#[utoipa::path(get, path = "/api/meetings/{id}/consents", tag = "consent", params(("id" = MeetingId, Path), PageParams), responses((status = 200, body = Envelope<Page<Consent>>)))]
async fn consent_ledger(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
    Query(page): Query<PageParams>,
) -> Outcome<Page<Consent>> {
    Ok(Reply::ok(app.consent_list(&ctx, id, &page.query()?).await?))
}

/// Erase what a participant said, and what was derived from it: by themselves or the host.
#[utoipa::path(post, path = "/api/meetings/{id}/participants/{participant_id}/erase-words", tag = "consent", params(("id" = MeetingId, Path), ("participant_id" = ParticipantId, Path)), responses((status = 200, body = Envelope<ErasureReceipt>)))]
async fn words_erase(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path((id, participant_id)): Path<(MeetingId, ParticipantId)>,
) -> Outcome<ErasureReceipt> {
    Ok(Reply::ok(app.words_erase(&ctx, id, participant_id).await?))
}
