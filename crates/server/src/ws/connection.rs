//! One socket, from the first frame to the last.
//!
//! One task reads, listens and writes. While it writes it does not listen, so a slow client
//! holds no memory: the ring of the bus moves on without it, and it reads what it missed from
//! the store, page by page, at its own pace.

mod delivery;

use std::collections::HashMap;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use futures_util::SinkExt;
use meetmind_app::{App, StreamGuard, TopicStart};
use meetmind_core::{Actor, Code, Ctx, Error, EventTopic, SignalKind};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::cursor::Cursor;
use super::frames::{self, ClientFrame, ServerFrame};

/// How long the first frame may take.
const AUTH_WAIT: Duration = Duration::from_secs(10);
/// How long a write may wait for the client.
const WRITE_WAIT: Duration = Duration::from_secs(30);
/// How often the client is asked for a sign of life.
const PING_EVERY: Duration = Duration::from_secs(20);
/// After this time without any frame, not even a pong, the client is gone.
const SILENCE_MAX: Duration = Duration::from_secs(65);
/// How often the session or key behind the socket is looked at.
const RECHECK_EVERY: Duration = Duration::from_secs(60);
/// Topics per socket.
const SUBSCRIPTIONS_MAX: usize = 100;
/// Refused frames per socket.
const BAD_FRAMES_MAX: u32 = 20;
/// Signals a socket may send at once, and per second in the long run.
const SIGNAL_BURST: f64 = 40.0;
const SIGNALS_PER_SECOND: f64 = 20.0;

/// Why a socket ends.
enum End {
    /// With this code and reason.
    Close(u16, &'static str),
    /// The client is gone.
    Lost,
}

const POLICY: u16 = 1008;
const RESTARTING: u16 = 1012;
const TRY_LATER: u16 = 1013;
const UNAUTHENTICATED: u16 = 4401;
const LEAVING: End = End::Close(RESTARTING, "the server is shutting down");

/// One socket.
pub(super) struct Connection {
    app: App,
    ctx: Ctx,
    socket: WebSocket,
    cursors: HashMap<EventTopic, Cursor>,
    bad_frames: u32,
    signals: Budget,
    heard_at: Instant,
    /// Held to the last frame: the process waits for it on its way out.
    drain: watch::Receiver<bool>,
}

impl Connection {
    pub(super) fn new(app: App, ctx: Ctx, socket: WebSocket) -> Self {
        Self {
            drain: app.drain_signal(),
            app,
            ctx,
            socket,
            cursors: HashMap::new(),
            bad_frames: 0,
            signals: Budget::new(),
            heard_at: Instant::now(),
        }
    }

    /// Serves the socket to its end.
    pub(super) async fn run(mut self) {
        let End::Close(code, reason) = self.serve().await else {
            return;
        };
        let frame = CloseFrame {
            code,
            reason: Utf8Bytes::from_static(reason),
        };
        // The client may be the one that does not read: it gets a second to take its leave.
        let _ = timeout(
            Duration::from_secs(1),
            self.socket.send(Message::Close(Some(frame))),
        )
        .await;
    }

    async fn serve(&mut self) -> End {
        let _guard = match self.enter().await {
            Ok(guard) => guard,
            Err(end) => return end,
        };
        match self.listen().await {
            Ok(()) => End::Lost,
            Err(end) => end,
        }
    }

    /// Finds out who this is and counts the stream.
    async fn enter(&mut self) -> Result<StreamGuard, End> {
        if self.ctx.actor == Actor::Anonymous {
            let mut drain = self.drain.clone();
            self.ctx.actor = tokio::select! {
                entered = timeout(AUTH_WAIT, self.first_frame()) => match entered {
                    Ok(actor) => actor?,
                    Err(_) => return Err(End::Close(UNAUTHENTICATED, "no auth frame came in time")),
                },
                _ = drain.wait_for(|draining| *draining) => return Err(LEAVING),
            };
        }
        match self.app.stream_open(&self.ctx.actor) {
            Ok(guard) => Ok(guard),
            Err(error) if error.code == Code::Draining => Err(LEAVING),
            Err(error) => {
                self.send(&ServerFrame::error(&error)).await?;
                Err(End::Close(POLICY, "too many streams are open"))
            }
        }
    }

    async fn first_frame(&mut self) -> Result<Actor, End> {
        let refused = loop {
            match self.socket.recv().await {
                Some(Ok(Message::Text(text))) => match frames::parse(&text) {
                    Ok(ClientFrame::Auth { token }) => match self.app.authenticate(&token).await {
                        Ok(actor) => return Ok(actor),
                        Err(error) => break error,
                    },
                    Ok(_) => break Error::new(Code::Unauthenticated, "send the auth frame first"),
                    Err(error) => break error,
                },
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Binary(_))) => {
                    break Error::new(Code::BadRequest, "send text frames");
                }
                Some(Ok(Message::Close(_))) | None => return Err(End::Lost),
                Some(Err(_)) => return Err(End::Close(1009, "the frame cannot be read")),
            }
        };
        self.send(&ServerFrame::error(&refused)).await?;
        Err(End::Close(UNAUTHENTICATED, "not authenticated"))
    }

    async fn listen(&mut self) -> Result<(), End> {
        // Before anything is read from the store, so that nothing falls between.
        let mut bus = self.app.bus().subscribe();
        let mut authority = self.app.bus().authority();
        let mut drain = self.drain.clone();
        let (mut ping, mut recheck) = (ticks(PING_EVERY), ticks(RECHECK_EVERY));
        self.heard_at = Instant::now();
        self.send(&ServerFrame::Ready).await?;
        loop {
            if *drain.borrow() {
                return Err(LEAVING);
            }
            let behind = self
                .cursors
                .iter()
                .find_map(|(topic, cursor)| cursor.behind.then_some(*topic));
            tokio::select! {
                frame = self.socket.recv() => self.received(frame).await?,
                () = std::future::ready(()), if behind.is_some() => {
                    if let Some(topic) = behind {
                        self.catch_up(topic).await?;
                    }
                }
                published = bus.recv(), if behind.is_none() => self.published(published, &mut bus).await?,
                change = authority.recv() => {
                    self.authority_changed(change.ok()).await?;
                }
                _ = drain.changed() => {}
                _ = recheck.tick() => self.recheck_all().await?,
                _ = ping.tick() => {
                    if self.heard_at.elapsed() > SILENCE_MAX {
                        return Err(End::Lost);
                    }
                    self.write(Message::Ping(Bytes::new())).await?;
                }
            }
        }
    }

    /// Takes one frame of the client.
    async fn received(&mut self, frame: Option<Result<Message, axum::Error>>) -> Result<(), End> {
        self.heard_at = Instant::now();
        let outcome = match frame {
            Some(Ok(Message::Text(text))) => match frames::parse(&text) {
                Ok(frame) => self.obey(frame).await?,
                Err(error) => Err(error),
            },
            Some(Ok(Message::Binary(_))) => Err(Error::new(Code::BadRequest, "send text frames")),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => return Ok(()),
            Some(Ok(Message::Close(_))) | None => return Err(End::Lost),
            Some(Err(_)) => return Err(End::Close(1009, "the frame cannot be read")),
        };
        let Err(error) = outcome else { return Ok(()) };
        if matches!(
            error.code,
            Code::BadRequest | Code::InvalidJson | Code::ValidationFailed
        ) {
            self.bad_frames += 1;
        }
        self.send(&ServerFrame::error(&error)).await?;
        if self.bad_frames >= BAD_FRAMES_MAX {
            return Err(End::Close(POLICY, "too many frames were refused"));
        }
        Ok(())
    }

    /// Does what a frame asks. The inner error is for the client; the connection stays.
    async fn obey(&mut self, frame: ClientFrame) -> Result<Result<(), Error>, End> {
        let done = match frame {
            ClientFrame::Auth { .. } => Err(Error::new(
                Code::BadRequest,
                "you are authenticated already",
            )),
            ClientFrame::Ping => {
                self.send(&ServerFrame::Pong).await?;
                Ok(())
            }
            ClientFrame::Subscribe { topic, after } => match frames::topic(&topic) {
                Ok(topic) => return self.subscribe(topic, after).await,
                Err(error) => Err(error),
            },
            ClientFrame::Unsubscribe { topic } => match frames::topic(&topic) {
                Ok(topic) => {
                    self.cursors.remove(&topic);
                    let topic = topic.to_string();
                    self.send(&ServerFrame::Unsubscribed { topic }).await?;
                    Ok(())
                }
                Err(error) => Err(error),
            },
            ClientFrame::Signal { topic, kind, data } => {
                frames::topic(&topic).and_then(|topic| self.signal(topic, kind, data))
            }
        };
        Ok(done)
    }

    async fn subscribe(
        &mut self,
        topic: EventTopic,
        after: Option<i64>,
    ) -> Result<Result<(), Error>, End> {
        if self.cursors.len() >= SUBSCRIPTIONS_MAX && !self.cursors.contains_key(&topic) {
            return Ok(Err(Error::new(
                Code::QuotaExceeded,
                "a socket holds at most 100 subscriptions",
            )));
        }
        let ctx = self.ctx_now();
        match self.app.topic_start(&ctx, topic, after).await {
            Ok(TopicStart::From {
                access,
                after,
                last,
            }) => {
                self.cursors.insert(topic, Cursor::new(access, after, last));
                self.send(&ServerFrame::Subscribed {
                    topic: topic.to_string(),
                    seq: last,
                })
                .await?;
            }
            Ok(TopicStart::Gone { oldest }) => {
                self.cursors.remove(&topic);
                let topic = topic.to_string();
                self.send(&ServerFrame::Gone { topic, oldest }).await?;
            }
            Err(error) => {
                tracing::info!(request_id = %ctx.request_id, actor = ctx.actor.key(), address = ctx.address, %topic, code = error.code.as_str(), "a subscription was refused");
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    fn signal(&mut self, topic: EventTopic, kind: SignalKind, data: Value) -> Result<(), Error> {
        let Some(cursor) = self.cursors.get(&topic) else {
            return Err(Error::new(Code::NotFound, "subscribe to the topic first"));
        };
        if !self.signals.spend() {
            return Err(Error::new(Code::RateLimited, "too many signals"));
        }
        self.app.signal_send(topic, cursor.access, kind, data)
    }

    fn ctx_now(&self) -> Ctx {
        Ctx {
            now: self.app.now(),
            ..self.ctx.clone()
        }
    }

    async fn send(&mut self, frame: &ServerFrame) -> Result<(), End> {
        self.write(Message::Text(frame.text().into())).await
    }

    async fn write(&mut self, message: Message) -> Result<(), End> {
        in_time(self.socket.send(message)).await
    }

    async fn feed(&mut self, message: Message) -> Result<(), End> {
        in_time(self.socket.feed(message)).await
    }

    async fn flush(&mut self) -> Result<(), End> {
        in_time(self.socket.flush()).await
    }
}

async fn in_time(write: impl Future<Output = Result<(), axum::Error>>) -> Result<(), End> {
    match timeout(WRITE_WAIT, write).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(End::Lost),
        Err(_) => Err(End::Close(TRY_LATER, "the client reads too slowly")),
    }
}

fn ticks(every: Duration) -> tokio::time::Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset();
    ticks
}

/// What a socket may still send of signals.
struct Budget {
    left: f64,
    at: Instant,
}

impl Budget {
    fn new() -> Self {
        Self {
            left: SIGNAL_BURST,
            at: Instant::now(),
        }
    }

    fn spend(&mut self) -> bool {
        let now = Instant::now();
        let earned = now.duration_since(self.at).as_secs_f64() * SIGNALS_PER_SECOND;
        self.left = (self.left + earned).min(SIGNAL_BURST);
        self.at = now;
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        true
    }
}
