//! The grants inside a token, and the permissions that they make of a participant.

use livekit_protocol::{ParticipantPermission, TrackSource};
use serde::{Deserialize, Serialize};

use super::claims::null_is_default;

fn is_false(value: &bool) -> bool {
    !*value
}

/// LiveKit's `video` grant. An absent `can_*` follows the rule that its reader in [`Permissions`] states.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VideoGrant {
    /// The one room that `room_join` and `room_admin` speak of.
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub room: String,
    /// May join `room`.
    #[serde(skip_serializing_if = "is_false")]
    pub room_join: bool,
    /// May moderate `room`.
    #[serde(skip_serializing_if = "is_false")]
    pub room_admin: bool,
    /// May create and delete rooms.
    #[serde(skip_serializing_if = "is_false")]
    pub room_create: bool,
    /// May list rooms.
    #[serde(skip_serializing_if = "is_false")]
    pub room_list: bool,
    /// May record.
    #[serde(skip_serializing_if = "is_false")]
    pub room_record: bool,
    /// May publish tracks; absent: yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_publish: Option<bool>,
    /// May subscribe to tracks; absent: yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_subscribe: Option<bool>,
    /// May publish data; absent: as `can_publish`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_publish_data: Option<bool>,
    /// The sources that may be published, in lower case; empty: all.
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub can_publish_sources: Vec<String>,
    /// May change its own name, metadata and attributes; absent: no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_update_own_metadata: Option<bool>,
    /// May manage ingresses.
    #[serde(skip_serializing_if = "is_false")]
    pub ingress_admin: bool,
    /// Is not shown to others.
    #[serde(skip_serializing_if = "is_false")]
    pub hidden: bool,
    /// Is a recorder.
    #[serde(skip_serializing_if = "is_false")]
    pub recorder: bool,
    /// May register as an agent worker, or is an agent.
    #[serde(skip_serializing_if = "is_false")]
    pub agent: bool,
    /// May subscribe to metrics; absent: no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_subscribe_metrics: Option<bool>,
    /// May manage an agent's session; absent: no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_manage_agent_session: Option<bool>,
    /// The room to which participants of `room` may be forwarded or moved.
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub destination_room: String,
}

/// LiveKit's `sip` grant: only read, to refuse SIP calls as a LiveKit server would.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SipGrant {
    /// May manage trunks and rules.
    pub admin: bool,
    /// May make calls.
    pub call: bool,
}

/// What one participant may do: a grant with its defaults applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    /// May publish tracks at all.
    pub can_publish: bool,
    /// The sources that may be published; empty: all.
    pub sources: Vec<TrackSource>,
    /// May subscribe to tracks.
    pub can_subscribe: bool,
    /// May publish data.
    pub can_publish_data: bool,
    /// May change its own name, metadata and attributes.
    pub can_update_metadata: bool,
    /// Is not shown to others.
    pub hidden: bool,
    /// Is a recorder.
    pub recorder: bool,
    /// Is an agent.
    pub agent: bool,
    /// May subscribe to metrics.
    pub can_subscribe_metrics: bool,
    /// May manage an agent's session.
    pub can_manage_agent_session: bool,
}

impl VideoGrant {
    /// The permissions in a room: absent `can_publish` and `can_subscribe` mean yes, absent
    /// `can_publish_data` means as `can_publish`, the other absent ones mean no. A source that is
    /// not known counts as [`TrackSource::Unknown`], so that a list of misspelt ones allows nothing else.
    pub fn permissions(&self) -> Permissions {
        let can_publish = self.can_publish.unwrap_or(true);
        Permissions {
            can_publish,
            sources: self
                .can_publish_sources
                .iter()
                .map(|name| source(name))
                .collect(),
            can_subscribe: self.can_subscribe.unwrap_or(true),
            can_publish_data: self.can_publish_data.unwrap_or(can_publish),
            can_update_metadata: self.can_update_own_metadata.unwrap_or(false),
            hidden: self.hidden,
            recorder: self.recorder,
            agent: self.agent,
            can_subscribe_metrics: self.can_subscribe_metrics.unwrap_or(false),
            can_manage_agent_session: self.can_manage_agent_session.unwrap_or(false),
        }
    }

    /// Takes over permissions that were changed after the token was signed, so that a refreshed
    /// token keeps them.
    pub fn set_permissions(&mut self, permissions: &Permissions) {
        self.can_publish = Some(permissions.can_publish);
        self.can_subscribe = Some(permissions.can_subscribe);
        self.can_publish_data = Some(permissions.can_publish_data);
        self.can_publish_sources = permissions
            .sources
            .iter()
            .map(|source| source.as_str_name().to_ascii_lowercase())
            .collect();
        self.can_update_own_metadata = Some(permissions.can_update_metadata);
        self.hidden = permissions.hidden;
        self.recorder = permissions.recorder;
        self.agent = permissions.agent;
        self.can_subscribe_metrics = Some(permissions.can_subscribe_metrics);
        self.can_manage_agent_session = Some(permissions.can_manage_agent_session);
    }
}

fn source(name: &str) -> TrackSource {
    TrackSource::from_str_name(&name.to_ascii_uppercase()).unwrap_or(TrackSource::Unknown)
}

impl Permissions {
    /// Whether a track of this source may be published.
    pub fn may_publish(&self, source: TrackSource) -> bool {
        self.can_publish && (self.sources.is_empty() || self.sources.contains(&source))
    }

    /// The same as the protocol's message.
    #[expect(deprecated, reason = "clients still read `recorder` and `agent`")]
    pub fn to_proto(&self) -> ParticipantPermission {
        ParticipantPermission {
            can_subscribe: self.can_subscribe,
            can_publish: self.can_publish,
            can_publish_data: self.can_publish_data,
            can_publish_sources: self.sources.iter().map(|source| *source as i32).collect(),
            hidden: self.hidden,
            recorder: self.recorder,
            can_update_metadata: self.can_update_metadata,
            agent: self.agent,
            can_subscribe_metrics: self.can_subscribe_metrics,
            can_manage_agent_session: self.can_manage_agent_session,
        }
    }

    /// From the protocol's message, as `UpdateParticipant` and a worker's registration carry it.
    /// A source that is not known counts as [`TrackSource::Unknown`].
    #[expect(deprecated, reason = "clients still send `recorder` and `agent`")]
    pub fn from_proto(permission: &ParticipantPermission) -> Self {
        Self {
            can_publish: permission.can_publish,
            sources: permission
                .can_publish_sources
                .iter()
                .map(|source| TrackSource::try_from(*source).unwrap_or(TrackSource::Unknown))
                .collect(),
            can_subscribe: permission.can_subscribe,
            can_publish_data: permission.can_publish_data,
            can_update_metadata: permission.can_update_metadata,
            hidden: permission.hidden,
            recorder: permission.recorder,
            agent: permission.agent,
            can_subscribe_metrics: permission.can_subscribe_metrics,
            can_manage_agent_session: permission.can_manage_agent_session,
        }
    }
}
