//! Query strings.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use meetmind_core::Error;
use serde::de::DeserializeOwned;

use crate::reply::Failure;

/// Query parameters; a wrong value is 422.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejection) => {
                let text = rejection.body_text();
                let reason = text
                    .strip_prefix("Failed to deserialize query string: ")
                    .unwrap_or(&text);
                let (field, message) = reason.split_once(": ").unwrap_or(("query", reason));
                Err(Error::invalid(field, message).into())
            }
        }
    }
}
