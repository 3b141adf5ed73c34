//! Time as a value: microseconds since 1970, UTC.
//!
//! SQLite stores it as INTEGER and Postgres as TIMESTAMPTZ, because text dates with their
//! trailing zeros cut do not sort. No statement uses the database's own clock.

use std::fmt;

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::{Decode, Encode, Postgres, Sqlite, Type};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

/// A moment, in microseconds since the Unix epoch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest moment that is accepted: year 0001.
    pub const MIN: Timestamp = Timestamp(-62_135_596_800_000_000);
    /// The latest moment that is accepted: end of year 9999.
    pub const MAX: Timestamp = Timestamp(253_402_300_799_999_999);

    /// From microseconds since 1970, held within [`Timestamp::MIN`] and [`Timestamp::MAX`].
    pub const fn from_micros(micros: i64) -> Self {
        if micros < Self::MIN.0 {
            Self::MIN
        } else if micros > Self::MAX.0 {
            Self::MAX
        } else {
            Self(micros)
        }
    }
    /// Microseconds since 1970.
    pub const fn micros(self) -> i64 {
        self.0
    }
    /// Whole seconds since 1970, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }
    /// From whole seconds since 1970.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self::from_micros(seconds.saturating_mul(1_000_000))
    }
    /// This moment moved by a duration.
    pub fn plus(self, duration: std::time::Duration) -> Self {
        Self::from_micros(
            self.0
                .saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)),
        )
    }
    /// This moment moved back by a duration.
    pub fn minus(self, duration: std::time::Duration) -> Self {
        Self::from_micros(
            self.0
                .saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)),
        )
    }
    /// Milliseconds from `earlier` to this moment; negative when this one is earlier.
    pub const fn millis_since(self, earlier: Timestamp) -> i64 {
        (self.0 - earlier.0) / 1000
    }
    /// Parses RFC 3339 text with any offset.
    ///
    /// # Errors
    /// When the text is not RFC 3339 or lies outside years 1 to 9999.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let parsed = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| TimeError)?;
        let micros = i64::try_from(parsed.unix_timestamp_nanos().div_euclid(1000));
        // With its offset taken off, a time of year 9999 may lie in year 10000.
        micros
            .map(Self)
            .ok()
            .filter(|moment| (Self::MIN..=Self::MAX).contains(moment))
            .ok_or(TimeError)
    }
    fn offset_date_time(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

impl From<OffsetDateTime> for Timestamp {
    fn from(moment: OffsetDateTime) -> Self {
        Self::from_micros(
            i64::try_from(moment.unix_timestamp_nanos().div_euclid(1000)).unwrap_or(0),
        )
    }
}

/// The text is not an RFC 3339 date and time of the years 1 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an RFC 3339 date and time of the years 1 to 9999, such as 2026-03-01T09:00:00Z")]
pub struct TimeError;

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z"
        );
        f.write_str(
            &self
                .offset_date_time()
                .format(&shape)
                .map_err(|_| fmt::Error)?,
        )
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Timestamp::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl utoipa::PartialSchema for Timestamp {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{KnownFormat, SchemaFormat, Type};
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .examples([serde_json::json!("2026-03-01T09:00:00.000000Z")])
            .into()
    }
}

impl utoipa::ToSchema for Timestamp {
    fn name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }
}

impl Type<Sqlite> for Timestamp {
    fn type_info() -> sqlx::sqlite::SqliteTypeInfo {
        <i64 as Type<Sqlite>>::type_info()
    }
    fn compatible(ty: &sqlx::sqlite::SqliteTypeInfo) -> bool {
        <i64 as Type<Sqlite>>::compatible(ty)
    }
}

impl<'q> Encode<'q, Sqlite> for Timestamp {
    fn encode_by_ref(
        &self,
        buffer: &mut <Sqlite as sqlx::Database>::ArgumentBuffer,
    ) -> Result<IsNull, BoxDynError> {
        <i64 as Encode<'q, Sqlite>>::encode_by_ref(&self.0, buffer)
    }
}

impl<'r> Decode<'r, Sqlite> for Timestamp {
    fn decode(value: <Sqlite as sqlx::Database>::ValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(Self(<i64 as Decode<'r, Sqlite>>::decode(value)?))
    }
}

impl Type<Postgres> for Timestamp {
    fn type_info() -> sqlx::postgres::PgTypeInfo {
        <OffsetDateTime as Type<Postgres>>::type_info()
    }
}

impl<'q> Encode<'q, Postgres> for Timestamp {
    fn encode_by_ref(
        &self,
        buffer: &mut <Postgres as sqlx::Database>::ArgumentBuffer,
    ) -> Result<IsNull, BoxDynError> {
        <OffsetDateTime as Encode<'q, Postgres>>::encode_by_ref(&self.offset_date_time(), buffer)
    }
}

impl<'r> Decode<'r, Postgres> for Timestamp {
    fn decode(value: <Postgres as sqlx::Database>::ValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(<OffsetDateTime as Decode<'r, Postgres>>::decode(value)?.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_six_digits_and_sorts() {
        let half = Timestamp::parse("2026-11-23T20:00:20.5+01:00").expect("a valid time");
        assert_eq!(half.to_string(), "2026-11-23T19:00:20.500000Z");
        assert!(
            half.to_string()
                > Timestamp::parse("2026-11-23T19:00:20Z")
                    .expect("a valid time")
                    .to_string()
        );
        assert!(Timestamp::parse("yesterday").is_err());
    }

    #[test]
    fn what_lies_outside_of_the_years_is_refused_and_not_moved() {
        let last = Timestamp::parse("9999-12-31T23:59:59.999999Z").expect("the last moment");
        assert_eq!(last, Timestamp::MAX);
        let first = Timestamp::parse("0001-01-01T00:00:00Z").expect("the first moment");
        assert_eq!(first, Timestamp::MIN);
        for text in [
            "9999-12-31T23:59:59-00:01",
            "0001-01-01T00:00:00+00:01",
            "0000-06-01T00:00:00Z",
        ] {
            assert!(Timestamp::parse(text).is_err(), "{text}");
        }
    }
}
