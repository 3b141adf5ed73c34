//! The load generator: connections that are kept open, one request at a time on each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use axum::body::Body;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Line;

/// How a server is loaded.
pub(super) struct Load {
    host: String,
    token: String,
    connections: u64,
    time: Duration,
}

/// What came of it.
pub(super) struct Outcome {
    /// Every answer's delay, sorted.
    delays: Vec<Duration>,
    took: Duration,
}

impl Outcome {
    fn per_second(&self) -> f64 {
        self.delays.len() as f64 / self.took.as_secs_f64()
    }

    /// The table's line; with the share of a ceiling measured in the same run.
    pub(super) fn line(&self, what: &str, ceiling: Option<&Self>) -> Line {
        let share = ceiling.map_or_else(String::new, |ceiling| {
            let share = self.per_second() / ceiling.per_second() * 100.0;
            format!(" ({share:.0} % of the ceiling)")
        });
        Line {
            what: what.to_owned(),
            result: format!("{:.0} /s{share}", self.per_second()),
            p50: percentile(&self.delays, 50),
            p99: percentile(&self.delays, 99),
        }
    }
}

/// The delay that so many of a hundred stay under; the list is sorted.
pub(super) fn percentile(sorted: &[Duration], of_hundred: usize) -> Option<Duration> {
    let at = (sorted.len() * of_hundred).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied()
}

impl Load {
    pub(super) fn new(
        url: &str,
        token: Option<&str>,
        connections: u64,
        time: Duration,
    ) -> Result<Self> {
        let host = url
            .strip_prefix("http://")
            .context("the server is on loopback")?;
        Ok(Self {
            host: host.to_owned(),
            token: token.context("no token")?.to_owned(),
            connections,
            time,
        })
    }

    /// Reads one path again and again.
    pub(super) async fn gets(&self, path: &str) -> Result<Outcome> {
        let paths = [path.to_owned()];
        self.run(Method::GET, &paths, |_| String::new()).await
    }

    /// Posts to these paths, on each connection to one of them, each time another body made from
    /// its number.
    pub(super) async fn posts(&self, paths: &[String], body: fn(u64) -> String) -> Result<Outcome> {
        self.run(Method::POST, paths, body).await
    }

    async fn run(
        &self,
        method: Method,
        paths: &[String],
        body: fn(u64) -> String,
    ) -> Result<Outcome> {
        let numbers = Arc::new(AtomicU64::new(0));
        let started = Instant::now();
        let end = started + self.time;
        let mut workers = Vec::new();
        for (_, path) in (0..self.connections).zip(paths.iter().cycle()) {
            let mut sender = self.connect().await?;
            let request = Template {
                method: method.clone(),
                path: path.clone(),
                host: self.host.clone(),
                token: format!("Bearer {}", self.token),
            };
            let numbers = Arc::clone(&numbers);
            workers.push(tokio::spawn(async move {
                let mut delays = Vec::new();
                while Instant::now() < end {
                    let body = body(numbers.fetch_add(1, Ordering::Relaxed));
                    let sent = Instant::now();
                    sender.ready().await?;
                    let answer = sender.send_request(request.fill(body)?).await?;
                    let status = answer.status();
                    let answer = Body::new(answer.into_body());
                    let bytes = axum::body::to_bytes(answer, usize::MAX).await?;
                    if !status.is_success() {
                        let said =
                            String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned();
                        bail!(
                            "{} {} answered {status}: {said}",
                            request.method,
                            request.path
                        );
                    }
                    delays.push(sent.elapsed());
                }
                anyhow::Ok(delays)
            }));
        }
        let mut delays = Vec::new();
        for worker in workers {
            delays.extend(worker.await??);
        }
        ensure!(!delays.is_empty(), "nothing was answered");
        delays.sort_unstable();
        Ok(Outcome {
            delays,
            took: started.elapsed(),
        })
    }

    async fn connect(&self) -> Result<SendRequest<Body>> {
        let stream = TcpStream::connect(&self.host).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// What all requests of a worker share.
struct Template {
    method: Method,
    path: String,
    host: String,
    token: String,
}

impl Template {
    fn fill(&self, body: String) -> Result<Request<Body>> {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(&self.path)
            .header(header::HOST, &self.host)
            .header(header::AUTHORIZATION, &self.token);
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        Ok(request.body(Body::from(body))?)
    }
}

#[cfg(test)]
mod tests {
    use super::percentile;
    use std::time::Duration;

    #[test]
    fn percentiles_are_the_nearest_rank() {
        let delays: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(percentile(&delays, 50), Some(Duration::from_millis(50)));
        assert_eq!(percentile(&delays, 99), Some(Duration::from_millis(99)));
        assert_eq!(percentile(&delays[..1], 99), Some(Duration::from_millis(1)));
        assert_eq!(percentile(&[], 50), None);
    }
}
