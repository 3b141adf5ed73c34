//! Ids in paths.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use meetmind_core::Error;
use serde::de::DeserializeOwned;

use crate::reply::Failure;

/// Path parameters. A text that is no id of the kind cannot name anything: 404.
#[derive(Debug)]
pub(crate) struct Path<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(_) => Err(Error::not_found("thing").into()),
        }
    }
}
