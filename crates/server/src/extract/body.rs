//! JSON bodies.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use meetmind_core::{Code, Error};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::strict::Strict;
use crate::reply::Failure;

/// A JSON body. The wrong media type is 415, unreadable JSON 400, a wrong shape 422, too much 413.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let media_type = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let essence = media_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        if essence != "application/json"
            && !(essence.starts_with("application/") && essence.ends_with("+json"))
        {
            return Err(Error::new(
                Code::UnsupportedMediaType,
                "send JSON with content-type: application/json",
            )
            .into());
        }
        let bytes =
            Bytes::from_request(request, state)
                .await
                .map_err(|rejection| match rejection.status() {
                    StatusCode::PAYLOAD_TOO_LARGE => {
                        Error::new(Code::PayloadTooLarge, "the body is larger than the limit")
                    }
                    _ => Error::new(Code::BadRequest, "the body could not be read"),
                })?;
        parse(&bytes).map(Json)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    // Before all: serde looks only into the texts of fields that it knows.
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Error::new(Code::InvalidJson, "the body is not UTF-8"))?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut reader, &mut track);
    let value = T::deserialize(Strict(tracked)).and_then(|value| reader.end().map(|()| value));
    value.map_err(|error| {
        use serde_json::error::Category;
        let path = track.path().to_string();
        let path = if path == "." { String::new() } else { path };
        // For a number where a word of a list belongs serde says that the JSON is broken.
        let is_json = || serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
        match error.classify() {
            Category::Syntax if is_json() => {
                let message = format!("`{path}` has a value of another type than is expected");
                Error::new(Code::ValidationFailed, message.clone())
                    .with_details(serde_json::json!([{ "field": path, "message": message }]))
            }
            Category::Data => {
                let text = error.to_string();
                // serde names the field between back-quotes; the place in the text is no use to the caller.
                let message = text.split(" at line ").next().unwrap_or_default();
                // Our types' names mean nothing to the caller.
                let message = match message.split_once("expected struct ") {
                    Some((before, _)) => format!("{before}expected an object"),
                    None => message.to_owned(),
                };
                // A missing field is named in the message; the path leads to where it is missing.
                let named = message
                    .split('`')
                    .nth(1)
                    .filter(|_| message.contains("field"));
                let field = match named {
                    Some(named) if path.is_empty() => named.to_owned(),
                    Some(named) => format!("{path}.{named}"),
                    None => path,
                };
                Error::new(Code::ValidationFailed, message.clone())
                    .with_details(serde_json::json!([{ "field": field, "message": message }]))
            }
            _ => Error::new(
                Code::InvalidJson,
                format!(
                    "the body is not valid JSON (line {}, column {})",
                    error.line(),
                    error.column()
                ),
            ),
        }
        .into()
    })
}

/// For PATCH and PUT: absent is `None` (with `#[serde(default)]`), `null` is `Some(None)`.
pub(crate) fn patch_field<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}
