//! Who calls, and from where: credentials, trusted proxies, browsers' cookies and origins.
//!
//! A Bearer token wins over a cookie. A cookie alone is not enough for a change: the browser
//! sends it along whoever wrote the page, so the request must come from our own origin (or one
//! the settings list) and carry the session's token in `X-CSRF-Token`.

mod origins;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ipnet::IpNet;
use meetmind_app::App;
use meetmind_core::{Actor, Code, Error, MeetingAction, MeetingId, Proof, Result};

use crate::Settings;
use crate::extract::{Caller, Identity, RequestMeta};
use crate::openapi::needs_somebody;
use crate::reply::{Failure, Pending};
use crate::web::cookies::Names;
use origins::{named_host, network, origin_of};

pub(crate) use origins::cors;

static CSRF: HeaderName = HeaderName::from_static("x-csrf-token");
static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What the authenticating layer needs.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Inner>);

struct Inner {
    app: App,
    /// Our own origin and those of the settings.
    origins: Vec<String>,
    /// The host of `public_url`, where a page must name it; see [`Gate::host_is_ours`].
    host: Option<String>,
    proxies: Vec<IpNet>,
    names: Names,
}

impl Gate {
    pub(crate) fn new(app: App, settings: &Settings) -> Self {
        if let Err(reason) = settings.check() {
            // The process checks its settings before it starts; here such an entry is left out.
            tracing::error!(reason, "a setting is left out");
        }
        let public_url = app.settings().public_url.clone();
        let mut origins = settings.origins();
        origins.extend(origin_of(&public_url));
        Self(Arc::new(Inner {
            app,
            origins,
            host: named_host(&public_url),
            proxies: settings
                .trusted_proxies
                .iter()
                .filter_map(|entry| network(entry))
                .collect(),
            names: Names::new(public_url.starts_with("https://")),
        }))
    }

    fn is_proxy(&self, address: IpAddr) -> bool {
        self.0
            .proxies
            .iter()
            .any(|network| network.contains(&address))
    }

    /// The caller's address: the connection's, or behind trusted proxies the last one in
    /// `X-Forwarded-For` that is not theirs. What stands left of it anybody may have written.
    fn address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut address = peer.to_canonical();
        let hops = headers.get_all(&FORWARDED_FOR).iter().rev();
        let hops = hops
            .filter_map(|value| value.to_str().ok())
            .flat_map(|text| text.rsplit(','));
        for hop in hops {
            if !self.is_proxy(address) {
                break;
            }
            match hop.trim().parse::<IpAddr>() {
                Ok(before) => address = before.to_canonical(),
                Err(_) => break,
            }
        }
        address
    }

    /// Whether a browser says that the request comes from a page of ours. Without any word on it
    /// there is no browser, or an old one, and the token must do.
    fn origin_is_ours(&self, headers: &HeaderMap) -> bool {
        let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let site = text(&FETCH_SITE);
        match text(&header::ORIGIN) {
            None => {
                !headers.contains_key(header::ORIGIN)
                    && matches!(site, None | Some("same-origin" | "none"))
            }
            Some(origin) if self.0.origins.iter().any(|known| known == origin) => true,
            // Reached under another name than `public_url`: still the same site to the browser.
            Some(origin) => {
                let host = origin.split_once("://").map(|(_, host)| host);
                host.is_some()
                    && host == text(&header::HOST)
                    && matches!(site, None | Some("same-origin"))
            }
        }
    }

    /// Whether a page may reach us under the name it used. A page of a foreign site can point its
    /// own name at this machine (DNS rebinding), and its browser then takes our answers for that
    /// site's. Addresses cannot be pointed elsewhere; programs, which send no origin, may use any
    /// name.
    fn host_is_ours(&self, headers: &HeaderMap) -> bool {
        let (Some(own), true) = (&self.0.host, headers.contains_key(header::ORIGIN)) else {
            return true;
        };
        let host = headers.get(header::HOST).and_then(|it| it.to_str().ok());
        host.and_then(|host| url::Url::parse(&format!("http://{host}")).ok())
            .is_some_and(|url| match url.host() {
                Some(url::Host::Domain(name)) => {
                    name == own || name == "localhost" || name.ends_with(".localhost")
                }
                Some(_) => true,
                None => false,
            })
    }

    async fn identify(&self, parts: &Parts) -> Option<Identity> {
        let headers = &parts.headers;
        let outcome = match headers.get(header::AUTHORIZATION) {
            Some(value) => match bearer(value) {
                Some(token) => self.0.app.authenticate(token).await,
                None => Err(Error::new(
                    Code::TokenInvalid,
                    "send the token as `Authorization: Bearer …`",
                )),
            },
            None => {
                let token = self.0.names.access(headers)?;
                let actor = self.0.app.authenticate(token).await;
                actor.and_then(|actor| self.check_cookie(actor, parts))
            }
        };
        Some(match outcome {
            Ok(actor) => Identity::Known(actor),
            Err(error) => Identity::Refused(Arc::new(error)),
        })
    }

    /// A cookie is for sessions only, and for a change it needs more.
    fn check_cookie(&self, actor: Actor, parts: &Parts) -> Result<Actor> {
        let Actor::User {
            proof: Proof::Session(session_id),
            ..
        } = &actor
        else {
            return Err(Error::new(Code::TokenInvalid, "the cookie is not valid"));
        };
        let headers = &parts.headers;
        let is_socket = headers.contains_key(header::UPGRADE);
        if parts.method.is_safe() && !is_socket {
            return Ok(actor);
        }
        // A browser cannot add a header to a WebSocket; its origin is all there is.
        let token = headers.get(&CSRF).and_then(|value| value.to_str().ok());
        let has_token = token.is_some_and(|token| self.0.app.csrf_check(*session_id, token));
        if self.origin_is_ours(headers) && (has_token || is_socket) {
            return Ok(actor);
        }
        Err(csrf_failed())
    }
}

fn csrf_failed() -> Error {
    Error::new(
        Code::CsrfFailed,
        "a change by cookie must come from our own page, with the header X-CSRF-Token",
    )
}

fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Finds out who calls. An [`Identity`] that is there already was put there in-process, by a test.
pub(crate) async fn authenticate(
    State(gate): State<Gate>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    if !gate.host_is_ours(&parts.headers) {
        let error = Error::forbidden(
            "pages may not reach this server under this name; set public_url to the address people use",
        );
        return Failure::from(error).into_response();
    }
    let peer = parts
        .extensions
        .get::<ConnectInfo<SocketAddr>>()
        .map(|info| info.0.ip());
    if let Some(peer) = peer {
        let address = gate.address(peer, &parts.headers).to_string();
        if let Some(meta) = parts.extensions.get_mut::<RequestMeta>() {
            meta.address = Some(address);
        }
    }
    if parts.extensions.get::<Identity>().is_none()
        && let Some(identity) = gate.identify(&parts).await
    {
        parts.extensions.insert(identity);
    }
    parts.extensions.insert(gate);
    let who = Who::of(&parts);
    let response = next.run(Request::from_parts(parts, body)).await;
    if matches!(response.status().as_u16(), 401 | 403) {
        who.log_refusal(&response);
    }
    response
}

/// Who asked for what, for the log.
struct Who {
    identity: Option<Identity>,
    meta: Option<RequestMeta>,
    method: Method,
    route: Option<MatchedPath>,
}

impl Who {
    fn of(parts: &Parts) -> Self {
        Self {
            identity: parts.extensions.get().cloned(),
            meta: parts.extensions.get().cloned(),
            method: parts.method.clone(),
            route: parts.extensions.get().cloned(),
        }
    }

    fn log_refusal(&self, response: &Response) {
        let actor = match &self.identity {
            Some(Identity::Known(actor)) => actor.key(),
            Some(Identity::Refused(_)) => "an invalid credential".to_owned(),
            None => Actor::Anonymous.key(),
        };
        let code = response.extensions().get::<Pending>();
        let code = code.map(|Pending(error)| error.code.as_str());
        let meta = self.meta.as_ref();
        let request_id = meta.map(|meta| meta.request_id.to_string());
        let address = meta.and_then(|meta| meta.address.clone());
        let route = self.route.as_ref().map(MatchedPath::as_str);
        tracing::info!(request_id, actor, address, method = %self.method, route, code, "a request was refused");
    }
}

/// Refusals of the form of a request are for those who see the meeting that it is about: to others
/// there is no such meeting, however wrong the request is. Everybody may come to the door, and a
/// deleted meeting is there for who restores it; those two look by themselves.
pub(crate) async fn hide_meetings(
    State(app): State<App>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let id: Option<MeetingId> = path
        .strip_prefix("/api/meetings/")
        .filter(|rest| !rest.ends_with("/join") && !rest.ends_with("/restore"))
        .and_then(|rest| rest.split('/').next())
        .and_then(|id| id.parse().ok());
    let Some(id) = id else {
        return next.run(request).await;
    };
    let (mut parts, body) = request.into_parts();
    let Ok(Caller(ctx)) = Caller::from_request_parts(&mut parts, &app).await else {
        return next.run(Request::from_parts(parts, body)).await;
    };
    let response = next.run(Request::from_parts(parts, body)).await;
    if !matches!(response.status().as_u16(), 400 | 408 | 413 | 415 | 422) {
        return response;
    }
    match app.meeting_access(&ctx, id, MeetingAction::Read).await {
        Err(error) if error.code == Code::NotFound => Failure::from(error).into_response(),
        _ => response,
    }
}

/// Refuses who is nobody where the document asks for somebody, before anything else of the request
/// is looked at: who is not let in learns nothing from the order of the checks.
pub(crate) async fn refuse_nobody(request: Request, next: Next) -> Response {
    let guarded = request
        .extensions()
        .get::<MatchedPath>()
        .is_some_and(|path| needs_somebody(request.method(), path.as_str()));
    if !guarded {
        return next.run(request).await;
    }
    let failure = match request.extensions().get::<Identity>() {
        Some(Identity::Known(actor)) if *actor != Actor::Anonymous => None,
        Some(Identity::Refused(error)) => {
            let mut copy = Error::new(error.code, error.message.clone());
            copy.details = error.details.clone();
            Some(copy)
        }
        _ => Some(Error::new(Code::Unauthenticated, "sign in first")),
    };
    match failure {
        Some(error) => Failure::from(error).into_response(),
        None => next.run(request).await,
    }
}

/// What the sign-in endpoints need of a browser.
pub(crate) struct Browser {
    gate: Gate,
    headers: HeaderMap,
}

impl<S: Send + Sync> FromRequestParts<S> for Browser {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Failure> {
        let gate = parts.extensions.get::<Gate>().cloned();
        let gate = gate.ok_or_else(|| Error::internal("the authenticating layer is missing"))?;
        let headers = parts.headers.clone();
        Ok(Self { gate, headers })
    }
}

impl Browser {
    /// How our cookies are called.
    pub(crate) fn names(&self) -> &Names {
        &self.gate.0.names
    }

    /// The browser or program, as it names itself.
    pub(crate) fn user_agent(&self) -> Option<String> {
        let value = self.headers.get(header::USER_AGENT)?;
        Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
    }

    /// Whether cookies of ours came along.
    pub(crate) fn has_cookies(&self) -> bool {
        self.names().access(&self.headers).is_some()
            || self.names().refresh(&self.headers).is_some()
    }

    /// Fails when a page of somebody else asks for cookies.
    pub(crate) fn check_origin(&self) -> Result<()> {
        if self.gate.origin_is_ours(&self.headers) {
            Ok(())
        } else {
            Err(csrf_failed())
        }
    }

    /// The refresh token of the cookie, when the request may use it.
    pub(crate) fn refresh_token(&self) -> Result<Option<String>> {
        let Some(token) = self.names().refresh(&self.headers) else {
            return Ok(None);
        };
        self.check_origin()?;
        let csrf = self
            .headers
            .get(&CSRF)
            .and_then(|value| value.to_str().ok());
        let session_id = App::refresh_token_session(token);
        match (session_id, csrf) {
            (Some(id), Some(csrf)) if self.gate.0.app.csrf_check(id, csrf) => {
                Ok(Some(token.to_owned()))
            }
            _ => Err(csrf_failed()),
        }
    }
}
