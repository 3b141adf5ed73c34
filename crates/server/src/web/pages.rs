//! The few pages that stand until the web app does: start, first administrator, new password.
//! They are forms without scripts.

use axum::Router;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use meetmind_app::{AccountNew, App, PasswordReset};
use meetmind_core::{Actor, Code, Ctx, Error, MeetingId};
use serde::Deserialize;

use crate::gate::Browser;
use crate::middleware::log_failure;
use crate::rest::auth::Anybody;

/// No script may run and nothing may be loaded but the style sheet and the icon.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What every page begins with; the document of the API has the same.
const BRAND: &str = "<header class=\"brand\"><a class=\"name\" href=\"/\"><svg viewBox=\"0 0 32 32\" aria-hidden=\"true\"><path d=\"M16 3.5a12.5 12.5 0 1 1-8.8 3.6\"/><path d=\"M10.5 13h11M10.5 19h7\"/></svg>MeetMind</a><a href=\"/docs/\">API</a></header>";

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/", get(start))
        .route("/app/{*place}", get(later))
        .route("/setup", get(setup_form).post(setup))
        .route("/reset", get(reset_form).post(reset))
        .route(
            "/page.css",
            get(async || file("text/css; charset=utf-8", include_str!("page.css"))),
        )
        .route(
            "/icon.svg",
            get(async || file("image/svg+xml", include_str!("icon.svg"))),
        )
        // Where browsers look without being told.
        .route(
            "/favicon.ico",
            get(async || Redirect::permanent("/icon.svg")),
        )
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "public, max-age=300"),
    ];
    (headers, text).into_response()
}

fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let text = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title} · MeetMind</title><link rel=\"icon\" href=\"/icon.svg\" type=\"image/svg+xml\"><link rel=\"stylesheet\" href=\"/page.css\"></head>\n\
         <body>{BRAND}<main class=\"page\"><h1>{title}</h1>\n{body}\n</main></body></html>\n"
    );
    let policy = HeaderValue::from_static(POLICY);
    let headers = [(header::CONTENT_SECURITY_POLICY, policy)];
    (status, headers, Html(text)).into_response()
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// Which field of a form an error is about, if one.
fn faulty(error: &Error) -> &str {
    if matches!(error.code, Code::WeakPassword) {
        return "password";
    }
    if matches!(error.code, Code::EmailTaken) {
        return "email";
    }
    let details = error.details.as_ref();
    let field = details.and_then(|details| details.pointer("/0/field")?.as_str());
    field.unwrap_or_default()
}

/// A sentence as people write it, of a message as the API writes it.
fn fault(error: Option<&Error>) -> String {
    let Some(error) = error else {
        return String::new();
    };
    let field = faulty(error);
    // Where the message names the field, it does so as the API calls it.
    let message = match error.message.strip_prefix(&format!("{field}: ")) {
        Some(rest) if field == "email" => format!("the e-mail address {rest}"),
        Some(rest) => format!("the {field} {rest}"),
        None => error.message.to_string(),
    };
    let mut letters = message.chars();
    let first = letters
        .next()
        .map(|letter| letter.to_uppercase().to_string());
    let text = format!("{}{}.", first.unwrap_or_default(), letters.as_str());
    format!(
        "<p class=\"fault\" id=\"fault\" role=\"alert\">{}</p>",
        escaped(&text)
    )
}

/// Says which field an error is about, and puts the person there; without an error, at the start.
fn mark(name: &str, first: bool, error: Option<&Error>) -> &'static str {
    match error.map(faulty) {
        Some(field) if field == name => {
            " autofocus aria-invalid=\"true\" aria-describedby=\"fault\""
        }
        None if first => " autofocus",
        _ => "",
    }
}

fn status(error: &Error) -> StatusCode {
    StatusCode::from_u16(error.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Where nothing can be filled in: why, and the way on.
fn dead_end(error: &Error, title: &str, way_on: &str) -> Response {
    let why = match error.code {
        Code::TokenInvalid => {
            "<p>This link is not valid: it was used, a newer one was made, or more than a day has passed.</p>"
        }
        _ => &fault(Some(error)),
    };
    page(status(error), title, &format!("{why}{way_on}"))
}

/// Where the fault is ours: the cause goes to the log, and the page names the place in it.
fn broken(ctx: &Ctx, route: &str, error: &Error) -> Option<Response> {
    if error.code.status() < 500 {
        return None;
    }
    log_failure(error, ctx.request_id, &Method::POST, route);
    let body = format!(
        "{}<p>Nothing was changed. Go back and try again in a moment.</p><p class=\"small\">The log has the cause under {}.</p>",
        fault(Some(error)),
        ctx.request_id
    );
    Some(page(status(error), "That did not work", &body))
}

/// The password field and what it asks for.
fn password_field(app: &App, label: &str, first: bool, error: Option<&Error>) -> String {
    let least = app.settings().auth.password_min_length;
    format!(
        "<label for=\"password\">{label}</label>\
         <input id=\"password\" name=\"password\" type=\"password\" autocomplete=\"new-password\" required minlength=\"{least}\" maxlength=\"256\"{}>\
         <p class=\"hint\">At least {least} characters. A sentence of yours is good.</p>",
        mark("password", first, error)
    )
}

async fn start(State(app): State<App>, Anybody(ctx): Anybody) -> Response {
    let mut body = String::from(
        "<p>Meetings with AI agents in the room: they follow what is said, keep the notes, remember, and answer with the place where it was said.</p>",
    );
    if matches!(ctx.actor, Actor::User { .. })
        && let Ok(user) = app.profile_get(&ctx).await
    {
        body += &format!(
            "<p class=\"note\">You are signed in as {}.</p>",
            escaped(&user.email)
        );
    } else if app.setup_is_open().await.unwrap_or(false) {
        body += "<p class=\"note\">Nobody administers this server yet. Open the link that it printed when it started; each start prints a new one.</p>";
    }
    body += "<ul><li><a href=\"/docs/\">Read and try the API</a><span>Every operation, with a line for curl</span></li>\
        <li><a href=\"/openapi.json\">OpenAPI document</a><span>For programs that make clients</span></li>\
        <li><a href=\"/asyncapi.json\">AsyncAPI document</a><span>The live events</span></li>\
        <li><a href=\"/health\">Health</a><span>What this server is set up with</span></li></ul>";
    body += &format!(
        "<p class=\"small\">Version {}. The web app comes with a later one; until then, programs and the command line use this server.</p>",
        escaped(&app.settings().version)
    );
    page(StatusCode::OK, "This server is running", &body)
}

/// Where links of invitations and calendars lead: what they are for, and what can be done with them
/// today.
async fn later(State(app): State<App>, Path(place): Path<String>) -> Response {
    let (kind, id) = place.split_once('/').unwrap_or((&place, ""));
    let Some(id) = id
        .parse::<MeetingId>()
        .ok()
        .filter(|_| ["join", "meetings"].contains(&kind))
    else {
        let body = "<p>This server has no such page.</p><p><a href=\"/\">To the start</a></p>";
        return page(StatusCode::NOT_FOUND, "Nothing is here", body);
    };
    let url = escaped(&app.settings().public_url);
    let (title, body) = if kind == "join" {
        (
            "You are invited to a meeting",
            format!(
                "<p>The web app, which takes you in from here, comes with a later version. Until then programs join: \
                 the invitation code is what stands behind <code>#</code> in the address of this page.</p>\
                 <pre>curl {url}/api/meetings/{id}/join -H 'content-type: application/json' \\\n  -d '{{\"name\":\"YOUR NAME\",\"invite_code\":\"THE CODE\"}}'</pre>\
                 <p>The answer has an address and a token for any LiveKit client.</p>"
            ),
        )
    } else {
        (
            "A meeting",
            format!(
                "<p>The web app, which shows it here, comes with a later version. Until then programs read it:</p>\
                 <pre>curl {url}/api/meetings/{id} -H \"authorization: Bearer $token\"</pre>"
            ),
        )
    };
    page(StatusCode::OK, title, &body)
}

/// What a link brings.
#[derive(Debug, Default, Deserialize)]
struct LinkParams {
    #[serde(default)]
    token: String,
}

fn token(query: Result<Query<LinkParams>, QueryRejection>) -> String {
    query.map(|Query(params)| params.token).unwrap_or_default()
}

fn unreadable(_: FormRejection) -> Error {
    Error::new(Code::BadRequest, "the form could not be read")
}

#[derive(Debug, Default, Deserialize)]
struct SetupForm {
    token: String,
    #[serde(default)]
    name: String,
    email: String,
    password: String,
}

const SETUP: &str = "Set MeetMind up";

fn setup_page(app: &App, form: &SetupForm, error: Option<&Error>) -> Response {
    let body = format!(
        "<p>You become the first administrator. The link works once.</p>{}\
         <form method=\"post\" action=\"/setup\"><input type=\"hidden\" name=\"token\" value=\"{}\">\
         <label for=\"name\">Your name</label><input id=\"name\" name=\"name\" autocomplete=\"name\" maxlength=\"100\" value=\"{}\"{}>\
         <label for=\"email\">E-mail address</label><input id=\"email\" name=\"email\" type=\"email\" autocomplete=\"username\" required maxlength=\"254\" value=\"{}\"{}>\
         {}<button>Make me the administrator</button></form>",
        fault(error),
        escaped(&form.token),
        escaped(&form.name),
        mark("name", true, error),
        escaped(&form.email),
        mark("email", false, error),
        password_field(app, "Password", false, error)
    );
    page(error.map_or(StatusCode::OK, status), SETUP, &body)
}

/// The form again where it can be mended, else what to do instead.
fn setup_refused(app: &App, ctx: &Ctx, form: &SetupForm, error: &Error) -> Response {
    if let Some(page) = broken(ctx, "/setup", error) {
        return page;
    }
    let way_on = match error.code {
        Code::Conflict => "<p>An administrator can make further ones.</p>",
        Code::TokenInvalid | Code::BadRequest => {
            "<p>While there is no administrator, each start of the server prints a new link. <code>meetmind user create EMAIL --admin</code> makes one too.</p>"
        }
        _ => return setup_page(app, form, Some(error)),
    };
    dead_end(error, SETUP, way_on)
}

async fn setup_form(
    State(app): State<App>,
    Anybody(ctx): Anybody,
    query: Result<Query<LinkParams>, QueryRejection>,
) -> Response {
    let form = SetupForm {
        token: token(query),
        ..SetupForm::default()
    };
    match app.setup_check(&ctx, &form.token).await {
        Ok(()) => setup_page(&app, &form, None),
        Err(error) => setup_refused(&app, &ctx, &form, &error),
    }
}

async fn setup(
    State(app): State<App>,
    Anybody(ctx): Anybody,
    browser: Browser,
    form: Result<Form<SetupForm>, FormRejection>,
) -> Response {
    let Form(form) = match form.map_err(unreadable) {
        Ok(form) => form,
        Err(error) => return setup_refused(&app, &ctx, &SetupForm::default(), &error),
    };
    let new = AccountNew {
        email: form.email.clone(),
        password: form.password.clone(),
        name: Some(form.name.clone()).filter(|name| !name.trim().is_empty()),
        invitation: None,
        user_agent: browser.user_agent(),
    };
    let signed_in = match app.setup_complete(&ctx, &form.token, new).await {
        Ok(signed_in) => signed_in,
        Err(error) => return setup_refused(&app, &ctx, &form, &error),
    };
    let mut cookies = HeaderMap::new();
    let csrf = app.csrf_token(signed_in.session_id);
    for line in browser.names().set(&app, &signed_in, &csrf) {
        if let Ok(value) = HeaderValue::from_str(&line) {
            cookies.append(header::SET_COOKIE, value);
        }
    }
    // Elsewhere, so that loading the page again does not send the form again.
    (cookies, Redirect::to("/")).into_response()
}

#[derive(Debug, Default, Deserialize)]
struct ResetForm {
    token: String,
    password: String,
}

const RESET: &str = "New password";

fn reset_page(app: &App, token: &str, email: &str, error: Option<&Error>) -> Response {
    // Shown to password managers too: they must know whose password it is.
    let body = format!(
        "<p>Choose a new password for {email}. You will be signed out everywhere.</p>{}\
         <form method=\"post\" action=\"/reset\"><input type=\"hidden\" name=\"token\" value=\"{}\">\
         <input name=\"username\" autocomplete=\"username\" value=\"{email}\" readonly hidden>\
         {}<button>Set the password</button></form>",
        fault(error),
        escaped(token),
        password_field(app, "New password", true, error),
        email = escaped(email)
    );
    page(error.map_or(StatusCode::OK, status), RESET, &body)
}

async fn reset_refused(app: &App, ctx: &Ctx, token: &str, error: &Error) -> Response {
    const WAY_ON: &str = "<p>Ask an administrator for a new one.</p>";
    if let Some(page) = broken(ctx, "/reset", error) {
        return page;
    }
    if matches!(error.code, Code::TokenInvalid | Code::BadRequest) {
        return dead_end(error, RESET, WAY_ON);
    }
    match app.reset_check(ctx, token).await {
        Ok(user) => reset_page(app, token, &user.email, Some(error)),
        Err(error) => dead_end(&error, RESET, WAY_ON),
    }
}

async fn reset_form(
    State(app): State<App>,
    Anybody(ctx): Anybody,
    query: Result<Query<LinkParams>, QueryRejection>,
) -> Response {
    let token = token(query);
    match app.reset_check(&ctx, &token).await {
        Ok(user) => reset_page(&app, &token, &user.email, None),
        Err(error) => reset_refused(&app, &ctx, &token, &error).await,
    }
}

async fn reset(
    State(app): State<App>,
    Anybody(ctx): Anybody,
    form: Result<Form<ResetForm>, FormRejection>,
) -> Response {
    let Form(form) = match form.map_err(unreadable) {
        Ok(form) => form,
        Err(error) => return reset_refused(&app, &ctx, "", &error).await,
    };
    let reset = PasswordReset {
        token: form.token.clone(),
        password: form.password,
    };
    match app.reset_confirm(&ctx, reset).await {
        Ok(_) => page(
            StatusCode::OK,
            "The password is set",
            "<p>Sign in with it from now on.</p>",
        ),
        Err(error) => reset_refused(&app, &ctx, &form.token, &error).await,
    }
}
