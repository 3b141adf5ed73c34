//! JSON bodies that may be absent.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, OptionalFromRequest, Request};
use meetmind_core::{Code, Error};
use serde::de::DeserializeOwned;

use super::Json;
use crate::reply::Failure;

/// No bytes are no body, whatever the media type says, and so is `null`; anything else is held to
/// the rules of [`Json`].
impl<S: Send + Sync, T: DeserializeOwned> OptionalFromRequest<S> for Json<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, Failure> {
        let (parts, body) = request.into_parts();
        // The size limit is an extension of the request, so it must be read through one.
        let whole = Request::from_parts(parts.clone(), body);
        let bytes = Bytes::from_request(whole, state)
            .await
            .map_err(|rejection| match rejection.status().as_u16() {
                413 => Error::new(Code::PayloadTooLarge, "the body is larger than the limit"),
                _ => Error::new(Code::BadRequest, "the body could not be read"),
            })?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let request = Request::from_parts(parts, Body::from(bytes));
        let Json(body) = <Json<Option<T>> as FromRequest<S>>::from_request(request, state).await?;
        Ok(body.map(Json))
    }
}
