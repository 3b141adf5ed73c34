//! Frames between a socket and the media server.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use meetmind_app::{App, WorkerSocket};
use meetmind_media::Session;
use meetmind_media::signal::frames::{Frame, FrameCodec, FrameError};
use tokio::time::timeout;

/// How long a write may wait for the client.
const WRITE_WAIT: Duration = Duration::from_secs(10);
/// A socket that says nothing, pings included, is dead.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// How often a worker's socket is asked for a sign of life.
const PING_EVERY: Duration = Duration::from_secs(20);

fn frame(message: Message) -> Result<Option<Frame>, ()> {
    match message {
        Message::Binary(bytes) => Ok(Some(Frame::Binary(bytes))),
        Message::Text(text) => Ok(Some(Frame::Text(text.to_string()))),
        Message::Ping(_) | Message::Pong(_) => Ok(None),
        Message::Close(_) => Err(()),
    }
}

fn message(frame: Frame) -> Message {
    match frame {
        Frame::Binary(bytes) => Message::Binary(bytes),
        Frame::Text(text) => Message::Text(text.into()),
    }
}

async fn write(socket: &mut WebSocket, frame: Frame) -> Result<(), ()> {
    match timeout(WRITE_WAIT, socket.send(message(frame))).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(()),
    }
}

async fn close(mut socket: WebSocket, code: u16, reason: &'static str) {
    let frame = CloseFrame {
        code,
        reason: Utf8Bytes::from_static(reason),
    };
    // The other side may have gone already. What it still sends is read away: a socket that is dropped with
    // unread bytes resets the connection, and the reason would be lost on its way.
    let _ = timeout(Duration::from_secs(1), async {
        socket.send(Message::Close(Some(frame))).await?;
        while let Some(Ok(_)) = socket.recv().await {}
        Ok::<(), axum::Error>(())
    })
    .await;
}

/// Serves one signal connection to its end.
pub(super) async fn signal(app: App, mut socket: WebSocket, mut session: Session) {
    let _open = app.drain_signal();
    let mut codec = FrameCodec::default();
    loop {
        tokio::select! {
            response = session.next() => {
                let Some(response) = response else {
                    return close(socket, 1000, "the session has ended").await;
                };
                if write(&mut socket, codec.encode_response(&response)).await.is_err() {
                    return;
                }
            }
            received = timeout(SILENCE_MAX, socket.recv()) => {
                let Ok(Some(Ok(received))) = received else { return };
                let received = match frame(received) {
                    Ok(Some(received)) => received,
                    Ok(None) => continue,
                    Err(()) => return,
                };
                let request = match codec.decode_request(&received) {
                    Ok(Some(request)) => request,
                    Ok(None) => continue,
                    Err(error) => {
                        tracing::debug!(%error, "a signal frame cannot be read");
                        let (code, reason) = match error {
                            FrameError::TooLarge(_) => (1009, "the frame is too large"),
                            FrameError::Malformed => (1007, "the frame cannot be read"),
                        };
                        return close(socket, code, reason).await;
                    }
                };
                if session.send(request).is_err() {
                    return close(socket, 1013, "the media server cannot take it").await;
                }
            }
        }
    }
}

/// Serves one worker's connection to its end.
pub(super) async fn worker(app: App, mut socket: WebSocket, mut worker: WorkerSocket) {
    let _open = app.drain_signal();
    let mut ping = tokio::time::interval(PING_EVERY);
    ping.reset();
    loop {
        tokio::select! {
            next = worker.next() => {
                let Some(next) = next else {
                    return close(socket, 1000, "the worker is sent off").await;
                };
                if write(&mut socket, next).await.is_err() {
                    return;
                }
            }
            _ = ping.tick() => {
                let ping = socket.send(Message::Ping(Vec::new().into()));
                if !matches!(timeout(WRITE_WAIT, ping).await, Ok(Ok(()))) {
                    return;
                }
            }
            received = timeout(SILENCE_MAX, socket.recv()) => {
                let Ok(Some(Ok(received))) = received else { return };
                match frame(received) {
                    Ok(Some(received)) => worker.receive(received),
                    Ok(None) => {}
                    Err(()) => return,
                }
            }
        }
    }
}
