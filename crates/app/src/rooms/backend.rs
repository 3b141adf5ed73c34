//! The server that rooms are on: the one inside, or another LiveKit server that is called by Twirp.

use livekit_protocol::CreateRoomRequest;
use meetmind_core::{Code, Error, MeetingId, Result};
use meetmind_media::MediaCallError;
use meetmind_media::service::client::{self, OutgoingCall};
use meetmind_media::service::{
    DispatchAnswer, DispatchCall, RoomAnswer, RoomCall, TwirpCode, TwirpError,
};
use meetmind_media::token::{ApiKey, ApiKeys};

use crate::{App, LiveKitSettings, OutboundSettings, outbound};

/// The most that is read of another server's answer, in bytes: a room of some thousands, with tracks.
const ANSWER_MAX: usize = 16 * 1024 * 1024;

/// Another LiveKit server.
pub(super) struct Remote {
    pub(super) keys: ApiKeys,
    key: ApiKey,
    /// `http://` or `https://`, without a slash at the end.
    address: String,
    http: outbound::Client,
}

/// Why a room was not asked, or what it answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RoomCallError {
    /// The room refuses.
    #[error(transparent)]
    Refused(#[from] TwirpError),
    /// The server cannot be asked now: ask again later.
    #[error("{0}")]
    Unavailable(String),
}

impl RoomCallError {
    /// Whether the room, participant or track is simply not there.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused(error) if error.code == TwirpCode::NotFound)
    }

    /// As an answer to a caller of our own API.
    pub(super) fn twirp(self) -> TwirpError {
        match self {
            Self::Refused(error) => error,
            Self::Unavailable(text) => TwirpError::unavailable(text),
        }
    }
}

impl From<MediaCallError> for RoomCallError {
    fn from(error: MediaCallError) -> Self {
        match error {
            MediaCallError::Call(error) => Self::Refused(error),
            MediaCallError::Unavailable(error) => Self::Unavailable(error.to_string()),
        }
    }
}

impl Remote {
    pub(super) fn new(settings: &LiveKitSettings, outbound: &OutboundSettings) -> Result<Self> {
        let address = match settings.url.split_once("://") {
            Some(("wss", rest)) => format!("https://{rest}"),
            Some((_, rest)) => format!("http://{rest}"),
            None => {
                return Err(Error::new(
                    Code::ValidationFailed,
                    "the LiveKit address must begin with ws:// or wss://",
                ));
            }
        };
        let key = ApiKey::new(&settings.api_key, &settings.api_secret);
        // The operator names this server, not a user: it may well be in a private network.
        let http = outbound::Client::new(&OutboundSettings {
            allow_private: true,
            ..outbound.clone()
        })?
        .reading(ANSWER_MAX);
        Ok(Self {
            keys: [key.clone()].into_iter().collect(),
            key,
            address: address.trim_end_matches('/').to_owned(),
            http,
        })
    }

    async fn post(
        &self,
        request: OutgoingCall,
    ) -> std::result::Result<outbound::Answer, RoomCallError> {
        let url = format!("{}{}", self.address, request.path);
        let headers = [
            ("authorization", request.authorization),
            ("content-type", request.content_type.to_owned()),
        ];
        let answer = self.http.post(&url, &headers, request.body).await;
        match answer {
            // Whatever stands before the server says that it is not there.
            Ok(answer) if matches!(answer.status, 429 | 502 | 503 | 504) => {
                Err(RoomCallError::Unavailable(format!(
                    "the LiveKit server answered {}",
                    answer.status
                )))
            }
            Ok(answer) => Ok(answer),
            Err(error) => Err(RoomCallError::Unavailable(error.message.into_owned())),
        }
    }

    async fn call(
        &self,
        app: &App,
        call: &RoomCall,
    ) -> std::result::Result<RoomAnswer, RoomCallError> {
        let request = client::room_request(call, &self.key, app.now())
            .map_err(|error| RoomCallError::Unavailable(error.to_string()))?;
        let answer = self.post(request).await?;
        Ok(client::room_answer(call, answer.status, &answer.body)?)
    }

    async fn dispatch(
        &self,
        app: &App,
        call: &DispatchCall,
    ) -> std::result::Result<DispatchAnswer, RoomCallError> {
        let request = client::dispatch_request(call, &self.key, app.now())
            .map_err(|error| RoomCallError::Unavailable(error.to_string()))?;
        let answer = self.post(request).await?;
        Ok(client::dispatch_answer(call, answer.status, &answer.body)?)
    }
}

impl App {
    /// Meetings have their rooms on the LiveKit server of the settings: from now on its rooms follow
    /// their meetings.
    ///
    /// # Errors
    /// No such server is configured, or rooms are served already.
    pub async fn rooms_connect(&self) -> Result<()> {
        let Some(settings) = &self.settings().livekit else {
            return Err(Error::new(
                Code::Conflict,
                "no LiveKit server is configured",
            ));
        };
        let remote = Remote::new(settings, &self.settings().outbound)?;
        if self.inner.rooms.remote.set(remote).is_err() {
            return Err(Error::new(Code::Conflict, "rooms are served already"));
        }
        self.rooms_follow().await
    }

    /// Asks the server that rooms are on. For the server inside it never waits for more than its queue.
    ///
    /// # Errors
    /// What the room answers, or that the server cannot be asked now.
    pub(crate) async fn room_call(
        &self,
        call: RoomCall,
    ) -> std::result::Result<RoomAnswer, RoomCallError> {
        if let Some(embedded) = self.inner.rooms.embedded.get() {
            return Ok(embedded.server.call(call).await?);
        }
        match self.inner.rooms.remote.get() {
            Some(remote) => remote.call(self, &call).await,
            None => Err(no_server()),
        }
    }

    /// Sends an agent into a room, takes it back, or lists who was sent.
    ///
    /// # Errors
    /// As of [`App::room_call`].
    pub(crate) async fn room_dispatch(
        &self,
        call: DispatchCall,
    ) -> std::result::Result<DispatchAnswer, RoomCallError> {
        let Some(embedded) = self.inner.rooms.embedded.get() else {
            return match self.inner.rooms.remote.get() {
                Some(remote) => remote.dispatch(self, &call).await,
                None => Err(no_server()),
            };
        };
        if let DispatchCall::Create(request) = &call {
            // An agent may be sent into a room before anybody is in it.
            let name = request.room.clone();
            let settings = self.room_settings(&name).await;
            let room = RoomCall::Create(settings.unwrap_or(CreateRoomRequest {
                name,
                ..CreateRoomRequest::default()
            }));
            if let RoomAnswer::Create(room) = embedded.server.call(room).await? {
                embedded.workers.room_known(self, room);
            }
        }
        let answer = embedded.workers.dispatch(self, call)?;
        self.room_dispatch_keep(&answer).await;
        Ok(answer)
    }

    /// Keeps a dispatch into a meeting's room, so that it outlasts the process.
    async fn room_dispatch_keep(&self, answer: &DispatchAnswer) {
        let kept = async {
            let (dispatch, is_new) = match answer {
                DispatchAnswer::Create(dispatch) => (dispatch, true),
                DispatchAnswer::Delete(dispatch) => (dispatch, false),
                DispatchAnswer::List(_) => return Ok(()),
            };
            let Ok(meeting) = dispatch.room.parse::<MeetingId>() else {
                return Ok(());
            };
            let mut tx = self.store().begin().await?;
            if is_new {
                let value = serde_json::to_value(dispatch).map_err(Error::internal)?;
                tx.room_dispatch_insert(meeting, &dispatch.id, &value, self.now())
                    .await?;
            } else {
                tx.room_dispatch_delete(&dispatch.id).await?;
            }
            Ok::<_, Error>(tx.commit().await?)
        };
        if let Err(error) = kept.await {
            tracing::warn!(%error, "a dispatch could not be written down: it would not outlast a restart");
        }
    }
}

fn no_server() -> RoomCallError {
    RoomCallError::Unavailable("no media server runs here".to_owned())
}
