//! The cookies of a browser's session.
//!
//! Access and refresh token are out of reach of scripts; the token against cross-site requests
//! is readable, because the page must send it along. Under HTTPS the names begin with `__Host-`,
//! so that no other host of the domain can set them.

use axum::http::{HeaderMap, header};
use meetmind_app::{App, SignedIn};

use crate::reply::Reply;

/// How the cookies are called here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names {
    secure: bool,
}

impl Names {
    pub(crate) const fn new(secure: bool) -> Self {
        Self { secure }
    }

    const fn names(self) -> [&'static str; 3] {
        if self.secure {
            ["__Host-mm_access", "__Host-mm_refresh", "__Host-mm_csrf"]
        } else {
            ["mm_access", "mm_refresh", "mm_csrf"]
        }
    }

    /// The access token that came along.
    pub(crate) fn access(self, headers: &HeaderMap) -> Option<&str> {
        find(headers, self.names()[0])
    }

    /// The refresh token that came along.
    pub(crate) fn refresh(self, headers: &HeaderMap) -> Option<&str> {
        find(headers, self.names()[1])
    }

    /// The `Set-Cookie` lines of a session.
    pub(crate) fn set(self, app: &App, signed_in: &SignedIn, csrf: &str) -> [String; 3] {
        let [access, refresh, readable] = self.names();
        let idle = app.settings().auth.session_idle.as_secs();
        let seconds = u64::try_from(signed_in.expires_in).unwrap_or(0);
        [
            self.line(access, &signed_in.access_token, seconds, true),
            self.line(refresh, &signed_in.refresh_token, idle, true),
            self.line(readable, csrf, idle, false),
        ]
    }

    /// The `Set-Cookie` lines that remove them.
    pub(crate) fn clear(self) -> [String; 3] {
        self.names().map(|name| self.line(name, "", 0, true))
    }

    fn line(self, name: &str, value: &str, max_age: u64, http_only: bool) -> String {
        let secure = if self.secure { "; Secure" } else { "" };
        let http_only = if http_only { "; HttpOnly" } else { "" };
        format!("{name}={value}; Path=/; Max-Age={max_age}; SameSite=Lax{secure}{http_only}")
    }
}

/// Adds `Set-Cookie` lines to an answer.
pub(crate) fn with_cookies<T>(reply: Reply<T>, lines: [String; 3]) -> Reply<T> {
    lines
        .iter()
        .fold(reply, |reply, line| reply.header(header::SET_COOKIE, line))
}

fn find<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(found, value)| *found == name && !value.is_empty())
        .map(|(_, value)| value)
}
