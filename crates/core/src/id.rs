//! Typed identifiers: UUIDv7 inside, a prefix and 26 Crockford letters outside.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::Timestamp;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// What every id type offers.
pub trait Id: Copy + Eq + fmt::Display + FromStr<Err = IdError> + Send + Sync + 'static {
    /// The three letters before the underscore.
    const PREFIX: &'static str;
    /// Wraps a UUID.
    fn from_uuid(uuid: Uuid) -> Self;
    /// The UUID inside.
    fn uuid(self) -> Uuid;
}

/// The text is not an id of this kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an id of the form `{prefix}_` and 26 characters")]
pub struct IdError {
    /// The prefix that was expected.
    pub prefix: &'static str,
}

/// Builds a UUIDv7 from a time and 64 random bits (RFC 9562, method 3: the 12 bits after the
/// millisecond hold its fraction, so ids made in one process sort by microsecond).
pub fn uuid_v7(now: Timestamp, random: u64) -> Uuid {
    let micros = now.micros().max(0) as u64;
    let (millis, fraction) = (micros / 1000, (micros % 1000) * 4096 / 1000);
    let mut bytes = [0u8; 10];
    bytes[..2].copy_from_slice(&(fraction as u16).to_be_bytes());
    bytes[2..].copy_from_slice(&random.to_be_bytes());
    uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid()
}

fn encode(uuid: Uuid, prefix: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let value = uuid.as_u128();
    let mut text = [0u8; 26];
    for (index, letter) in text.iter_mut().enumerate() {
        let shift = 5 * (25 - index);
        *letter = ALPHABET[((value >> shift) & 31) as usize];
    }
    let letters = std::str::from_utf8(&text).map_err(|_| fmt::Error)?;
    write!(f, "{prefix}_{letters}")
}

fn decode(text: &str, prefix: &'static str) -> Result<Uuid, IdError> {
    let fail = IdError { prefix };
    let letters = text
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('_'))
        .ok_or(fail.clone())?;
    // The first letter carries 3 bits: beyond `7` the value would not fit 128 bits.
    if letters.len() != 26 || letters.as_bytes()[0] > b'7' {
        return Err(fail);
    }
    let mut value = 0u128;
    for letter in letters.bytes() {
        let digit = ALPHABET
            .iter()
            .position(|&known| known == letter)
            .ok_or(fail.clone())?;
        value = (value << 5) | digit as u128;
    }
    Ok(Uuid::from_u128(value))
}

macro_rules! ids {
    ($($(#[$meta:meta])* $name:ident = $prefix:literal),+ $(,)?) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl Id for $name {
            const PREFIX: &'static str = $prefix;
            fn from_uuid(uuid: Uuid) -> Self { Self(uuid) }
            fn uuid(self) -> Uuid { self.0 }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { encode(self.0, $prefix, f) }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { encode(self.0, $prefix, f) }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> { decode(text, $prefix).map(Self) }
        }
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> { serializer.collect_str(self) }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .pattern(Some(concat!("^", $prefix, "_[0-7][0-9a-hjkmnp-tv-z]{25}$")))
                    .examples([serde_json::json!(concat!($prefix, "_01k9zq8v7w8r3t5y6h2j4n6p8q"))])
                    .into()
            }
        }
        impl utoipa::ToSchema for $name {
            fn name() -> std::borrow::Cow<'static, str> { stringify!($name).into() }
        }
        impl<DB: sqlx::Database> sqlx::Type<DB> for $name where Uuid: sqlx::Type<DB> {
            fn type_info() -> DB::TypeInfo { <Uuid as sqlx::Type<DB>>::type_info() }
            fn compatible(ty: &DB::TypeInfo) -> bool { <Uuid as sqlx::Type<DB>>::compatible(ty) }
        }
        impl<'q, DB: sqlx::Database> sqlx::Encode<'q, DB> for $name where Uuid: sqlx::Encode<'q, DB> {
            fn encode_by_ref(&self, buffer: &mut <DB as sqlx::Database>::ArgumentBuffer) -> Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
                self.0.encode_by_ref(buffer)
            }
        }
        impl<'r, DB: sqlx::Database> sqlx::Decode<'r, DB> for $name where Uuid: sqlx::Decode<'r, DB> {
            fn decode(value: <DB as sqlx::Database>::ValueRef<'r>) -> Result<Self, sqlx::error::BoxDynError> {
                Uuid::decode(value).map(Self)
            }
        }
    )+

    /// Every prefix in use, for the documents and for a test that keeps them distinct.
    pub const ID_PREFIXES: &[&str] = &[$($prefix),+];
    };
}

ids! {
    /// A person with an account.
    UserId = "usr",
    /// One sign-in of a user on one device.
    SessionId = "ses",
    /// A scoped key for programs.
    ApiKeyId = "key",
    /// Meetings that belong together.
    SeriesId = "srs",
    /// A meeting; also the name of its LiveKit room.
    MeetingId = "mtg",
    /// Somebody in a meeting; also the LiveKit identity.
    ParticipantId = "par",
    /// One entry of the consent ledger.
    ConsentId = "cns",
    /// A chat message.
    MessageId = "msg",
    /// A piece of the transcript.
    SegmentId = "seg",
    /// A topic of a meeting.
    TopicId = "top",
    /// A verbatim highlight.
    HighlightId = "hlt",
    /// A summary of a meeting.
    SummaryId = "sum",
    /// Something somebody is to do.
    ActionId = "act",
    /// Something that was decided.
    DecisionId = "dec",
    /// An agent definition.
    AgentId = "agt",
    /// One run of an agent in one meeting.
    RunId = "run",
    /// One step in the life of a run.
    RunEventId = "rev",
    /// Something remembered.
    MemoryId = "mem",
    /// One change of a memory.
    MemoryChangeId = "mch",
    /// A recording of a meeting.
    RecordingId = "rec",
    /// A file of a recording.
    RecordingFileId = "rfl",
    /// A webhook endpoint.
    WebhookId = "whk",
    /// One event on its way to a webhook.
    DeliveryId = "dlv",
    /// One try of a delivery.
    AttemptId = "att",
    /// A background job.
    JobId = "job",
    /// An entry of the audit log.
    AuditId = "aud",
    /// One HTTP request.
    RequestId = "req",
    /// One running process of MeetMind.
    NodeId = "nod",
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_sort_by_time_and_prefixes_differ() {
        let early = MeetingId::from_uuid(uuid_v7(Timestamp::from_micros(1_000_001), u64::MAX));
        let late = MeetingId::from_uuid(uuid_v7(Timestamp::from_micros(1_000_003), 0));
        assert!(early < late && early.to_string() < late.to_string());
        let mut prefixes = ID_PREFIXES.to_vec();
        prefixes.sort_unstable();
        prefixes.dedup();
        assert_eq!(prefixes.len(), ID_PREFIXES.len());
    }

    #[test]
    fn an_id_of_another_kind_is_refused() {
        let id = MeetingId::from_uuid(Uuid::from_u128(7)).to_string();
        assert!(id.parse::<UserId>().is_err());
        assert!(
            "mtg_8zzzzzzzzzzzzzzzzzzzzzzzzz"
                .parse::<MeetingId>()
                .is_err()
        );
        assert!("mtg_".parse::<MeetingId>().is_err());
        assert!(
            "mtg_0000000000000000000000000é"
                .parse::<MeetingId>()
                .is_err()
        );
    }

    proptest! {
        #[test]
        fn text_round_trips(value: u128) {
            let id = SegmentId::from_uuid(Uuid::from_u128(value));
            prop_assert_eq!(id.to_string().parse::<SegmentId>(), Ok(id));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = text.parse::<SegmentId>();
        }
    }
}
