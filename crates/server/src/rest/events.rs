//! `/api/meetings/{id}/events`: live events for clients that only read.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use meetmind_app::{App, AuthorityChange, Published, StreamGuard, TopicStart};
use meetmind_core::{Ctx, Error, Event, EventTopic, MeetingId, SignalKind};
use serde::Deserialize;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, interval_at};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Caller, Path, Query};
use crate::reply::Failure;
use crate::ws::{Cursor, PAGE, ServerFrame, Verdict, ends_topic};

/// How often a comment shows that the stream lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How often the session or key behind the stream is looked at.
const RECHECK_EVERY: Duration = Duration::from_secs(60);

pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(stream_events))
}

/// Where the stream begins.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct EventParams {
    /// The number of the last event you have; what happens from now on, when absent.
    /// `Last-Event-ID` comes before it.
    #[param(minimum = 0)]
    after: Option<i64>,
}

/// One event of the stream.
#[derive(utoipa::ToSchema)]
#[expect(
    dead_code,
    reason = "the shape stands in the document; the stream writes it itself"
)]
struct StreamedEvent {
    /// The event's `seq`; `gone` and `closed` have none.
    id: Option<String>,
    /// The event's type.
    event: Option<String>,
    /// The event as JSON.
    data: Option<String>,
}

/// A meeting's events as they happen.
///
/// A stream of server-sent events: `id` is the event's `seq`, `event` its type, `data` the event
/// as JSON (see `/asyncapi.json`). Nothing is lost or doubled when you come back with
/// `Last-Event-ID`. What passes without being kept (`speaking`, `level`, `muted`, `quality` and the like)
/// comes in between, named by its type and without an `id`. `gone` says that what should come next is no longer kept, `closed` that you
/// may not listen any more; the stream ends after either. Comments keep the connection open.
#[utoipa::path(get, path = "/api/meetings/{id}/events", tag = "events", params(("id" = MeetingId, Path), EventParams, ("Last-Event-ID" = Option<i64>, Header, description = "The number of the last event you have.", minimum = 0)), responses((status = 200, content_type = "text/event-stream", body = StreamedEvent, description = "The stream.")))]
async fn stream_events(
    State(app): State<App>,
    Caller(ctx): Caller,
    Path(id): Path<MeetingId>,
    Query(params): Query<EventParams>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    if params.after.is_some_and(|after| after < 0) {
        return Err(Error::invalid("after", "must not be negative").into());
    }
    let after = match headers.get("last-event-id") {
        None => params.after,
        Some(value) => Some(
            value
                .to_str()
                .ok()
                .and_then(|text| text.trim().parse().ok())
                .ok_or_else(|| Error::invalid("Last-Event-ID", "must be a number"))?,
        ),
    };
    let listener = Listener::open(app, ctx, EventTopic::Meeting(id), after).await?;
    let events = stream::unfold(listener, |mut listener| async move {
        let event = listener.next().await?;
        Some((Ok::<_, Infallible>(event), listener))
    });
    let mut response = Sse::new(events)
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
        .into_response();
    // A proxy that gathers the answer before it passes it on would hold everything back.
    response.headers_mut().insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    Ok(response)
}

/// One stream.
struct Listener {
    app: App,
    ctx: Ctx,
    topic: EventTopic,
    cursor: Cursor,
    bus: Receiver<Published>,
    authority: Receiver<AuthorityChange>,
    drain: watch::Receiver<bool>,
    recheck: Interval,
    ready: VecDeque<sse::Event>,
    ended: bool,
    _guard: StreamGuard,
}

impl Listener {
    async fn open(
        app: App,
        ctx: Ctx,
        topic: EventTopic,
        after: Option<i64>,
    ) -> Result<Self, Failure> {
        // Before anything is read from the store, so that nothing falls between.
        let bus = app.bus().subscribe();
        let start = app.topic_start(&ctx, topic, after).await?;
        let guard = app.stream_open(&ctx.actor)?;
        let (cursor, gone) = match start {
            TopicStart::From {
                access,
                after,
                last,
            } => (Cursor::new(access, after, last), None),
            TopicStart::Gone { oldest } => {
                let access = app.topic_access(&ctx, topic).await?;
                (Cursor::new(access, 0, 0), Some(oldest))
            }
        };
        let mut listener = Self {
            authority: app.bus().authority(),
            drain: app.drain_signal(),
            recheck: interval_at(Instant::now() + RECHECK_EVERY, RECHECK_EVERY),
            app,
            ctx,
            topic,
            cursor,
            bus,
            ready: VecDeque::new(),
            ended: false,
            _guard: guard,
        };
        if let Some(oldest) = gone {
            listener.end_gone(oldest);
        }
        Ok(listener)
    }

    /// The next thing to send; `None` at the end.
    async fn next(&mut self) -> Option<sse::Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.ended || *self.drain.borrow() {
                return None;
            }
            if self.cursor.behind {
                self.read_page().await;
                continue;
            }
            tokio::select! {
                published = self.bus.recv() => match published {
                    Ok(published) => self.published(published).await,
                    Err(RecvError::Lagged(_)) => self.cursor.behind = true,
                    Err(RecvError::Closed) => self.ended = true,
                },
                change = self.authority.recv() => {
                    // Changes that were missed may be the client's.
                    if change.map_or(true, |change| change.is_of(&self.ctx.actor)) {
                        self.check().await;
                    }
                }
                _ = self.recheck.tick() => self.check().await,
                _ = self.drain.changed() => {}
            }
        }
    }

    async fn read_page(&mut self) {
        let ctx = self.ctx_now();
        let page = self
            .app
            .topic_page(&ctx, self.topic, self.cursor.last, PAGE)
            .await;
        match page {
            Ok((access, events)) => {
                if !self.cursor.take_page(access, &events) {
                    let oldest = self.app.topic_oldest(self.topic).await.unwrap_or(1);
                    return self.end_gone(oldest);
                }
                for event in &events {
                    let json = serde_json::to_string(event).unwrap_or_default();
                    self.push(event, json);
                }
            }
            Err(error) => self.end_closed(&error),
        }
    }

    async fn published(&mut self, published: Published) {
        let (topic, event, json) = match published {
            Published::Event { topic, event, json } => (topic, event, json),
            Published::Signal { topic, kind, json } => {
                if topic == self.topic {
                    self.signal(kind, json);
                }
                return;
            }
        };
        if topic != self.topic {
            return;
        }
        let touched = self.cursor.is_touched_by(&event);
        let last_word = ends_topic(&event);
        if touched && !last_word {
            self.check().await;
            if self.ended {
                return;
            }
        }
        let verdict = self.cursor.meet(event.seq);
        if verdict == Verdict::Deliver {
            match String::from_utf8(json.into()) {
                Ok(json) => self.push(&event, json),
                Err(_) => self.ended = true,
            }
        }
        if last_word && verdict != Verdict::Behind {
            self.check().await;
        }
    }

    /// What passes has no id: a client that comes back goes on after the last event.
    fn signal(&mut self, kind: SignalKind, json: Bytes) {
        if let Ok(json) = String::from_utf8(json.into()) {
            let event = sse::Event::default().event(kind.as_str()).data(json);
            self.ready.push_back(event);
        }
    }

    /// Looks whether the session or key still counts and the meeting is still open to it.
    async fn check(&mut self) {
        let ctx = self.ctx_now();
        let outcome = match self.app.listener_check(&ctx.actor).await {
            Ok(()) => self.app.topic_access(&ctx, self.topic).await,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(access) => self.cursor.access = access,
            Err(error) => self.end_closed(&error),
        }
    }

    fn push(&mut self, event: &Event, json: String) {
        self.ready.push_back(
            sse::Event::default()
                .id(event.seq.to_string())
                .event(event.kind.as_str())
                .data(json),
        );
    }

    /// What should come next is not kept. The id makes a client that comes back by itself go on
    /// with the oldest that is.
    fn end_gone(&mut self, oldest: i64) {
        let topic = self.topic.to_string();
        let frame = ServerFrame::Gone { topic, oldest }.text();
        let id = (oldest - 1).to_string();
        self.ready
            .push_back(sse::Event::default().id(id).event("gone").data(frame));
        self.ended = true;
    }

    /// The end, with the reason; when the reason is ours, without: the client comes back with
    /// its number and misses nothing.
    fn end_closed(&mut self, error: &Error) {
        if error.code.status() < 500 {
            let frame = ServerFrame::Closed {
                topic: self.topic.to_string(),
                reason: error.code.to_string(),
            };
            self.ready
                .push_back(sse::Event::default().event("closed").data(frame.text()));
        }
        self.ended = true;
    }

    fn ctx_now(&self) -> Ctx {
        Ctx {
            now: self.app.now(),
            ..self.ctx.clone()
        }
    }
}
