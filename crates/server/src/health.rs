//! How the process is, for people, balancers and monitors.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use axum::Extension;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use meetmind_app::{App, Health};
use meetmind_core::Error;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde_json::json;
use sha2::{Digest, Sha256};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::reply::{Envelope, Failure, Outcome, Reply};

/// The recorder of the process; there can be only one, because the `metrics` macros are global.
static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// Seconds; from a cached read to the longest request there may be.
const DURATION_BUCKETS: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0,
];

/// Starts to count; what was recorded before is lost. To be called once, at the start.
///
/// # Errors
/// When something else records the metrics of this process already.
pub fn metrics_install() -> Result<(), String> {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &DURATION_BUCKETS)
        .map_err(|error| error.to_string())?
        .build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|error| error.to_string())?;
    metrics::gauge!("meetmind_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    RECORDER
        .set(handle)
        .map_err(|_| "the metrics are recorded already".to_owned())
}

/// Folds what was recorded into its buckets. To be called every few seconds: otherwise a process
/// whose metrics nobody reads keeps every single sample.
pub fn metrics_upkeep() {
    if let Some(handle) = RECORDER.get() {
        handle.run_upkeep();
    }
}

/// The hash of the token that opens `/metrics` to other machines.
#[derive(Clone)]
pub(crate) struct MetricsToken(Option<Arc<[u8; 32]>>);

impl MetricsToken {
    pub(crate) fn new(token: Option<&str>) -> Self {
        Self(
            token
                .filter(|token| !token.is_empty())
                .map(|token| Arc::new(Sha256::digest(token).into())),
        )
    }

    /// Hashes are compared, so that the time it takes tells nothing about the token.
    fn opened_by(&self, bearer: Option<&str>) -> bool {
        match (&self.0, bearer) {
            (Some(hash), Some(bearer)) => <[u8; 32]>::from(Sha256::digest(bearer)) == **hash,
            _ => false,
        }
    }
}

pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(health))
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/version", get(version))
        .route("/metrics", get(metrics_page))
}

/// What this instance is and what it runs on.
#[utoipa::path(get, path = "/health", tag = "health", responses((status = 200, body = Envelope<Health>)))]
async fn health(State(app): State<App>) -> Outcome<Health> {
    Ok(Reply::ok(app.health()))
}

/// 200 when the process can take work, 503 with the reason when it cannot; each check with
/// `?verbose`.
async fn readyz(State(app): State<App>, request: Request) -> Response {
    let readiness = app.readiness().await;
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let query = request.uri().query().unwrap_or_default();
    let verbose = query
        .split('&')
        .any(|pair| pair == "verbose" || pair.starts_with("verbose="));
    if verbose {
        return (status, axum::Json(readiness)).into_response();
    }
    let text = match readiness.reason() {
        None => "ready\n".to_owned(),
        Some(reason) => format!("not ready: {reason}\n"),
    };
    (status, text).into_response()
}

async fn version(State(app): State<App>) -> Response {
    axum::Json(json!({ "name": "meetmind", "version": app.settings().version })).into_response()
}

/// The metrics in Prometheus' text form: for this machine, and for who has the token.
async fn metrics_page(
    State(app): State<App>,
    Extension(token): Extension<MetricsToken>,
    request: Request,
) -> Response {
    let headers = request.headers();
    let from_here = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .is_some_and(|info| info.0.ip().to_canonical().is_loopback())
        // A proxy on this machine speaks for others.
        && !headers.contains_key("x-forwarded-for")
        && !headers.contains_key(header::FORWARDED);
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    if !from_here && !token.opened_by(bearer) {
        return Failure::from(Error::not_found("path")).into_response();
    }
    let Some(handle) = RECORDER.get() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "nothing is recorded\n").into_response();
    };
    let (in_use, open) = app.store().pool_use();
    metrics::gauge!("meetmind_db_pool_in_use").set(in_use as f64);
    metrics::gauge!("meetmind_db_pool_open").set(f64::from(open));
    metrics::gauge!("meetmind_event_listeners").set(app.bus().listeners() as f64);
    metrics::gauge!("meetmind_draining").set(if app.is_draining() { 1.0 } else { 0.0 });
    gauges_of_database(&app).await;
    let mut response = handle.render().into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
    );
    response
}

/// What is counted where it is kept. A database that cannot be reached makes it unknown, not old.
async fn gauges_of_database(app: &App) {
    let unknown = |error: &Error| {
        tracing::warn!(
            code = error.code.as_str(),
            "the database could not be counted"
        );
        f64::NAN
    };
    let live = app.meetings_live().await;
    let live = live.map_or_else(|error| unknown(&error), |count| count as f64);
    metrics::gauge!("meetmind_meetings_live").set(live);
    let ages = app.jobs_oldest_due_s().await;
    let ages = ages.unwrap_or_else(|error| {
        let unknown = unknown(&error);
        [("deliveries", unknown), ("others", unknown)]
    });
    for (lane, age) in ages {
        metrics::gauge!("meetmind_jobs_oldest_due_seconds", "lane" => lane).set(age);
    }
}

#[cfg(test)]
mod tests {
    use super::MetricsToken;

    #[test]
    fn only_the_token_opens_the_metrics() {
        let token = MetricsToken::new(Some("s3cret"));
        assert!(token.opened_by(Some("s3cret")));
        assert!(!token.opened_by(Some("s3cre")) && !token.opened_by(None));
        assert!(!MetricsToken::new(None).opened_by(Some("")));
        assert!(!MetricsToken::new(Some("")).opened_by(Some("")));
    }
}
