//! All routes in one list, grouped by what they are about.

use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::{Extension, Router};
use meetmind_app::App;
use meetmind_core::{Code, Error};
use tower::util::option_layer;
use utoipa_axum::router::OpenApiRouter;

use crate::reply::Failure;
use crate::{gate, health, idempotency, middleware, openapi, rest, rtc, web, ws};

/// What the wires need to know beyond the use cases.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The largest body, in bytes; imports have their own limit.
    pub body_limit: usize,
    /// Origins other than our own that browsers may call from.
    pub cors_origins: Vec<String>,
    /// Addresses and networks whose forwarded headers count.
    pub trusted_proxies: Vec<String>,
    /// Who may read `/metrics` from elsewhere than this machine must send this as a Bearer token.
    pub metrics_token: Option<String>,
    /// Whether browsers are told to come back by HTTPS only, when `public_url` is https.
    pub strict_transport: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            body_limit: 2 * 1024 * 1024,
            cors_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            metrics_token: None,
            strict_transport: true,
        }
    }
}

/// The documented routes: `/auth` and `/api`, with their OpenAPI entries.
pub(crate) fn documented() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(openapi::base())
        .merge(rest::auth::router())
        .merge(rest::account::router())
        .merge(rest::agents::router())
        .merge(rest::runs::router())
        .merge(rest::meetings::router())
        .merge(rest::series::router())
        .merge(rest::participants::router())
        .merge(rest::recordings::router())
        .merge(rest::messages::router())
        .merge(rest::transcript::router())
        .merge(rest::notes::router())
        .merge(rest::ask::router())
        .merge(rest::search::router())
        .merge(rest::mcp::router())
        .merge(rest::memories::router())
        .merge(rest::webhooks::router())
        .merge(rest::admin::router())
        .merge(rest::events::router())
        .merge(health::router())
}

/// The whole service.
pub fn router(app: App, settings: &Settings) -> Router {
    let (api, _document) = documented().split_for_parts();
    api.layer(from_fn_with_state(app.clone(), idempotency::replay))
        .layer(from_fn_with_state(app.clone(), gate::hide_meetings))
        .layer(from_fn(gate::refuse_nobody))
        .merge(ws::router())
        .merge(rtc::router())
        .merge(openapi::router())
        .merge(web::router())
        .fallback(async || Failure::from(Error::not_found("path")))
        .method_not_allowed_fallback(async || {
            Failure::from(Error::new(
                Code::MethodNotAllowed,
                "this path does not take that method",
            ))
        })
        .layer(from_fn_with_state(
            gate::Gate::new(app.clone(), settings),
            gate::authenticate,
        ))
        .layer(DefaultBodyLimit::max(settings.body_limit))
        .layer(Extension(health::MetricsToken::new(
            settings.metrics_token.as_deref(),
        )))
        .layer(option_layer(gate::cors(settings)))
        .layer(from_fn_with_state(
            web::Protection::new(&app, settings),
            web::security_headers,
        ))
        .layer(from_fn_with_state(app.clone(), middleware::observe))
        .with_state(app)
}

/// The same service with every request made by `actor`, whatever it carries: for the command line,
/// which calls it in its own process. Never to be put on a socket.
pub fn router_as(app: App, settings: &Settings, actor: meetmind_core::Actor) -> Router {
    router(app, settings).layer(Extension(crate::extract::Identity::Known(actor)))
}
