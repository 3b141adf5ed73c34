//! `/ws`: live events and signals over one socket.

mod connection;
mod cursor;
mod frames;

use std::sync::Arc;

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Extension, State};
use axum::response::Response;
use axum::routing::get;
use meetmind_app::App;
use meetmind_core::{Actor, Code, Error};
use serde::Deserialize;

use crate::extract::{Caller, Query};
use crate::gate::Browser;
use crate::reply::Failure;
use connection::Connection;

pub(crate) use cursor::{Cursor, PAGE, Verdict, ends_topic};
pub(crate) use frames::{ClientFrame, ServerFrame};

/// The largest frame a client may send, in bytes.
const FRAME_MAX: usize = 64 * 1024;
/// Small buffers: a thousand listeners hold a thousand of them.
const READ_BUFFER: usize = 4 * 1024;
/// Frames gathered before they are written together.
const WRITE_BUFFER: usize = 16 * 1024;

pub(crate) fn router() -> Router<App> {
    Router::new().route("/ws", get(upgrade))
}

/// A place among the connections that the server takes, which lasts until it is dropped. What
/// accepts connections puts it into each request; a WebSocket keeps it for as long as it is open.
#[derive(Clone)]
pub struct Place {
    _held: Arc<dyn std::any::Any + Send + Sync>,
}

impl Place {
    /// Holds anything that gives the place back when it is dropped.
    pub fn new(held: Arc<dyn std::any::Any + Send + Sync>) -> Self {
        Self { _held: held }
    }
}

/// An open WebSocket in the metrics.
struct Counted;

impl Counted {
    fn new() -> Self {
        metrics::gauge!("meetmind_websockets_open").increment(1.0);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        metrics::gauge!("meetmind_websockets_open").decrement(1.0);
    }
}

#[derive(Debug, Deserialize)]
struct SocketParams {
    ticket: Option<String>,
}

async fn upgrade(
    State(app): State<App>,
    place: Option<Extension<Place>>,
    caller: Option<Caller>,
    browser: Browser,
    Query(params): Query<SocketParams>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Failure> {
    let upgrade =
        upgrade.map_err(|_| Error::new(Code::BadRequest, "open this path as a WebSocket"))?;
    let mut ctx = match caller {
        Some(Caller(ctx)) => ctx,
        None => app.system_ctx(),
    };
    if let Some(ticket) = params.ticket {
        ctx.actor = app.ws_ticket_redeem(&ticket).await?;
    } else if ctx.actor != Actor::Anonymous {
        // A foreign page can open a socket with the visitor's cookie: its origin gives it away.
        browser.check_origin()?;
    }
    Ok(upgrade
        .max_message_size(FRAME_MAX)
        .max_frame_size(FRAME_MAX)
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .on_upgrade(async move |socket| {
            let _counted = Counted::new();
            Connection::new(app, ctx, socket).run().await;
            drop(place);
        }))
}
