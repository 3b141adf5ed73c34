//! The few pages that stand until the web app does: start, first administrator, new password.
//! They are forms without scripts.

use axum::Router;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use meetmind_app::{AccountNew, App, PasswordReset};
use meetmind_core::Error;
use serde::Deserialize;

use crate::gate::Browser;
use crate::rest::auth::Anybody;

/// No script may run and nothing may be loaded but the style sheet.
const POLICY: &str = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/", get(start))
        .route("/setup", get(setup_form).post(setup))
        .route("/reset", get(reset_form).post(reset))
        .route("/page.css", get(style))
}

async fn style() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/css; charset=utf-8"),
        (header::CACHE_CONTROL, "public, max-age=3600"),
    ];
    (headers, include_str!("page.css")).into_response()
}

fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let text = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title} · MeetMind</title><link rel=\"stylesheet\" href=\"/page.css\"></head>\n<body><main><h1>{title}</h1>\n{body}\n</main></body></html>\n"
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

/// A sentence as people write it, of a message as the API writes it.
fn fault(error: Option<&Error>) -> String {
    let Some(error) = error else {
        return String::new();
    };
    let mut letters = error.message.chars();
    let first = letters
        .next()
        .map(|letter| letter.to_uppercase().to_string());
    let text = format!("{}{}.", first.unwrap_or_default(), letters.as_str());
    format!("<p class=\"fault\" role=\"alert\">{}</p>", escaped(&text))
}

fn status(error: &Error) -> StatusCode {
    StatusCode::from_u16(error.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

async fn start() -> Response {
    let body = "<p>Meetings with AI agents in the room: they follow what is said, keep the notes, remember, and answer with the place where it was said.</p>\
        <p><a href=\"/docs\">Read the API</a></p>\
        <p class=\"small\">The web app comes with a later version. Until then, programs and the command line use this server.</p>";
    page(StatusCode::OK, "MeetMind", body)
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
    Error::new(
        meetmind_core::Code::BadRequest,
        "the form could not be read",
    )
}

#[derive(Debug, Default, Deserialize)]
struct SetupForm {
    token: String,
    #[serde(default)]
    name: String,
    email: String,
    password: String,
}

fn setup_page(form: &SetupForm, error: Option<&Error>) -> Response {
    let body = format!(
        "<p>This makes the first administrator. The link works once.</p>{}\
         <form method=\"post\" action=\"/setup\"><input type=\"hidden\" name=\"token\" value=\"{}\">\
         <label>Your name<input name=\"name\" autocomplete=\"name\" maxlength=\"100\" value=\"{}\"></label>\
         <label>E-mail address<input name=\"email\" type=\"email\" autocomplete=\"username\" required maxlength=\"254\" value=\"{}\"></label>\
         <label>Password<input name=\"password\" type=\"password\" autocomplete=\"new-password\" required minlength=\"8\" maxlength=\"256\"></label>\
         <button>Make the administrator</button></form>",
        fault(error),
        escaped(&form.token),
        escaped(&form.name),
        escaped(&form.email)
    );
    page(
        error.map_or(StatusCode::OK, status),
        "Set MeetMind up",
        &body,
    )
}

async fn setup_form(query: Result<Query<LinkParams>, QueryRejection>) -> Response {
    let token = token(query);
    setup_page(
        &SetupForm {
            token,
            ..SetupForm::default()
        },
        None,
    )
}

async fn setup(
    State(app): State<App>,
    Anybody(ctx): Anybody,
    browser: Browser,
    form: Result<Form<SetupForm>, FormRejection>,
) -> Response {
    let Form(form) = match form.map_err(unreadable) {
        Ok(form) => form,
        Err(error) => return setup_page(&SetupForm::default(), Some(&error)),
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
        Err(error) => return setup_page(&form, Some(&error)),
    };
    let mut cookies = HeaderMap::new();
    let csrf = app.csrf_token(signed_in.session_id);
    for line in browser.names().set(&app, &signed_in, &csrf) {
        if let Ok(value) = HeaderValue::from_str(&line) {
            cookies.append(header::SET_COOKIE, value);
        }
    }
    let body = format!(
        "<p>You are the administrator, as {}.</p><p><a href=\"/docs\">Read the API</a></p>",
        escaped(&signed_in.user.email)
    );
    (cookies, page(StatusCode::OK, "MeetMind is yours", &body)).into_response()
}

#[derive(Debug, Default, Deserialize)]
struct ResetForm {
    token: String,
    password: String,
}

fn reset_page(token: &str, error: Option<&Error>) -> Response {
    let body = format!(
        "<p>Choose a new password. You will be signed out everywhere.</p>{}\
         <form method=\"post\" action=\"/reset\"><input type=\"hidden\" name=\"token\" value=\"{}\">\
         <label>New password<input name=\"password\" type=\"password\" autocomplete=\"new-password\" required minlength=\"8\" maxlength=\"256\"></label>\
         <button>Set the password</button></form>",
        fault(error),
        escaped(token)
    );
    page(error.map_or(StatusCode::OK, status), "New password", &body)
}

async fn reset_form(query: Result<Query<LinkParams>, QueryRejection>) -> Response {
    reset_page(&token(query), None)
}

async fn reset(
    State(app): State<App>,
    Anybody(ctx): Anybody,
    form: Result<Form<ResetForm>, FormRejection>,
) -> Response {
    let Form(form) = match form.map_err(unreadable) {
        Ok(form) => form,
        Err(error) => return reset_page("", Some(&error)),
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
        Err(error) => reset_page(&form.token, Some(&error)),
    }
}
