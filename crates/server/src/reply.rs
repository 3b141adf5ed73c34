//! The envelope: `{"success":true,"data":…}` and `{"success":false,"error":{…}}`.

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use meetmind_core::{Code, Error, RequestId};
use serde::{Deserialize, Serialize};

/// A successful answer.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct Envelope<T> {
    /// Always `true`.
    #[schema(example = true)]
    pub success: bool,
    /// What was asked for.
    pub data: T,
}

/// A refusal or failure.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct ErrorEnvelope {
    /// Always `false`.
    #[schema(example = false)]
    pub success: bool,
    /// What went wrong.
    pub error: ErrorBody,
}

/// What went wrong.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct ErrorBody {
    /// A stable word; the list stands in the documents.
    #[schema(value_type = String, example = "NOT_FOUND")]
    pub code: Code,
    /// A sentence for people.
    pub message: String,
    /// Fields, limits, or what is in the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub details: Option<serde_json::Value>,
    /// Name this when you report a fault.
    pub request_id: RequestId,
}

/// What a handler gives back.
#[derive(Debug)]
pub struct Reply<T> {
    status: StatusCode,
    headers: HeaderMap,
    data: T,
    secret: bool,
}

/// Marks an answer that holds a secret shown once: it is not kept for repetitions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Secret;

impl<T> Reply<T> {
    /// 200.
    pub fn ok(data: T) -> Self {
        Self {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            data,
            secret: false,
        }
    }

    /// 201 with the address of the new thing.
    pub fn created(location: String, data: T) -> Self {
        Self {
            status: StatusCode::CREATED,
            ..Self::ok(data)
        }
        .header(header::LOCATION, &location)
    }

    /// 202: the work goes on.
    pub fn accepted(data: T) -> Self {
        Self {
            status: StatusCode::ACCEPTED,
            ..Self::ok(data)
        }
    }

    /// The answer holds a secret: a repeated request with the same `Idempotency-Key` is told that
    /// it was done, not what was answered.
    pub fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// Adds the version as an `ETag`.
    pub fn etag(self, version: i64) -> Self {
        self.header(header::ETAG, &format!("\"{version}\""))
    }

    /// Adds a header; a value that is no header value is left out.
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.append(name, value);
        }
        self
    }
}

impl<T: Serialize> IntoResponse for Reply<T> {
    fn into_response(self) -> Response {
        let mut response = (
            self.status,
            self.headers,
            Json(Envelope {
                success: true,
                data: self.data,
            }),
        )
            .into_response();
        if self.secret {
            response.extensions_mut().insert(Secret);
        }
        response
    }
}

/// An error on its way out. The body is written by the outermost layer, which knows the request id.
#[derive(Debug)]
pub struct Failure(pub Error);

/// The result of a handler.
pub(crate) type Outcome<T> = Result<Reply<T>, Failure>;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

/// The error as the outermost layer finds it.
#[derive(Clone)]
pub(crate) struct Pending(pub(crate) std::sync::Arc<Error>);

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.0.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        response
            .extensions_mut()
            .insert(Pending(std::sync::Arc::new(self.0)));
        response
    }
}

/// Writes the envelope of an error.
pub(crate) fn error_response(error: &Error, request_id: RequestId) -> Response {
    let status =
        StatusCode::from_u16(error.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = ErrorBody {
        code: error.code,
        message: error.message.to_string(),
        details: error.details.clone(),
        request_id,
    };
    let mut response = (
        status,
        Json(ErrorEnvelope {
            success: false,
            error: body,
        }),
    )
        .into_response();
    if let Some(seconds) = error.retry_after_s() {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, seconds.max(1).into());
    }
    if status == StatusCode::UNAUTHORIZED {
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
