//! Posts of one segment that come at the same time share a transaction.
//!
//! SQLite has one writer, and on Postgres posts of one meeting wait for each other's event
//! numbers: alone, each would hold that place for all its statements and its commit. While one
//! transaction is under way the next ones gather, and go together in the next. An answer is given
//! only after the commit, and a post that is refused leaves the others as they are. See
//! `docs/decisions/0008-posts-share-transactions.md`.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use meetmind_core::{Actor, Ctx, Error, Id, MeetingAction, MeetingId, MeetingStatus, Result};
use meetmind_store::Engine;
use tokio::sync::oneshot;

use super::speakers::{Speaker, Speakers, consent_denied};
use super::write::Entry;
use super::{SegmentNew, SegmentPosted, own_action};
use crate::meetings::meeting_access;
use crate::{Access, App, Change};

/// Posts that share a transaction, at most: others want to write, too.
const TOGETHER_MAX: usize = 64;
/// Queues on Postgres, where transactions of different meetings can run at the same time.
const POSTGRES_QUEUES: usize = 4;

/// The posts on their way.
#[derive(Debug)]
pub(crate) struct State {
    queues: Vec<Queue>,
}

/// Posts that are written one transaction after the other.
#[derive(Debug, Default)]
struct Queue(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    posts: Vec<Post>,
    /// Whether a task writes what waits here.
    at_work: bool,
}

/// One post, and who waits for it.
#[derive(Debug)]
struct Post {
    ctx: Ctx,
    meeting_id: MeetingId,
    new: SegmentNew,
    answer: oneshot::Sender<Result<SegmentPosted>>,
}

/// What a shared transaction came to for one post; nothing for one that starts its meeting, which
/// takes more than the others can wait for.
type Outcome = Option<Result<SegmentPosted>>;

/// What is still to be written of a post: its place in the batch, its access and its speaker.
type Ready = (usize, usize, Speaker);

impl State {
    pub(crate) fn new(engine: Engine) -> Self {
        let count = match engine {
            Engine::Sqlite => 1,
            Engine::Postgres => POSTGRES_QUEUES,
        };
        Self {
            queues: (0..count).map(|_| Queue::default()).collect(),
        }
    }

    /// The queue of a meeting's posts: always the same, so that they keep their order.
    fn place(&self, meeting_id: MeetingId) -> usize {
        // The last bits of an id are random.
        (meeting_id.uuid().as_u128() % self.queues.len() as u128) as usize
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a post; gives whether a task must be started for it.
    fn push(&self, post: Post) -> bool {
        let mut waiting = self.lock();
        waiting.posts.push(post);
        !std::mem::replace(&mut waiting.at_work, true)
    }

    /// Whether nothing is left to do; the task that hears so ends.
    fn rests(&self) -> bool {
        let mut waiting = self.lock();
        waiting.at_work = !waiting.posts.is_empty();
        !waiting.at_work
    }

    fn take(&self) -> Vec<Post> {
        let mut waiting = self.lock();
        let count = waiting.posts.len().min(TOGETHER_MAX);
        waiting.posts.drain(..count).collect()
    }
}

impl App {
    /// Adds one checked segment, together with others that come at the same time.
    pub(super) async fn transcript_gather(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        new: SegmentNew,
    ) -> Result<SegmentPosted> {
        let (answer, answered) = oneshot::channel();
        let post = Post {
            ctx: ctx.clone(),
            meeting_id,
            new,
            answer,
        };
        let place = self.inner.posts.place(meeting_id);
        if self.inner.posts.queues[place].push(post) {
            let app = self.clone();
            tokio::spawn(async move { app.posts_work(place).await });
        }
        answered
            .await
            .map_err(|_| Error::internal("the post was given up"))?
    }

    /// Writes what waits in a queue until nothing does.
    async fn posts_work(&self, place: usize) {
        let queue = &self.inner.posts.queues[place];
        while !queue.rests() {
            let work = AssertUnwindSafe(self.posts_transaction(queue)).catch_unwind();
            if work.await.is_err() {
                tracing::error!("writing posts panicked; who waited is told");
            }
        }
    }

    /// One transaction, with all that waits once the database is free for it.
    async fn posts_transaction(&self, queue: &Queue) {
        let begun = self.store().begin().await;
        let posts = queue.take();
        let ctx = self.system_ctx();
        let written = match begun {
            Ok(conn) => {
                let change = Change::over(self, &ctx, conn);
                self.posts_write(&ctx, change, &posts).await
            }
            Err(error) => Err(error.into()),
        };
        match written {
            Ok(outcomes) => {
                for (post, outcome) in posts.into_iter().zip(outcomes) {
                    match outcome {
                        Some(answer) => drop(post.answer.send(answer)),
                        None => self.post_alone(post),
                    }
                }
            }
            // The database cannot be reached, or is full: so it is for each of them.
            Err(error) if error.code.status() == 503 || posts.len() == 1 => {
                for post in posts {
                    let copy = Error::new(error.code, error.message.clone());
                    let _ = post.answer.send(Err(
                        copy.with_source(format!("of a shared transaction: {error:?}"))
                    ));
                }
            }
            // One of them made the database refuse all: each has its own transaction now.
            Err(_) => posts.into_iter().for_each(|post| self.post_alone(post)),
        }
    }

    fn post_alone(&self, post: Post) {
        let app = self.clone();
        tokio::spawn(async move {
            let posted = app
                .transcript_post_alone(&post.ctx, post.meeting_id, vec![post.new])
                .await;
            let one = posted.and_then(|mut list| {
                list.pop()
                    .ok_or_else(|| Error::internal("a segment was left out"))
            });
            drop(post.answer.send(one));
        });
    }

    /// Writes posts and commits; gives what became of each. Fails when the database does: nothing
    /// is kept then.
    async fn posts_write(
        &self,
        ctx: &Ctx,
        mut change: Change<'_>,
        posts: &[Post],
    ) -> Result<Vec<Outcome>> {
        let mut outcomes: Vec<Outcome> = posts.iter().map(|_| None).collect();
        // Who posts where is looked up once per transaction.
        let mut accesses: Vec<(&Actor, Access)> = Vec::new();
        let mut rooms: HashMap<MeetingId, Speakers> = HashMap::new();
        let mut ready: Vec<Ready> = Vec::with_capacity(posts.len());
        for (place, post) in posts.iter().enumerate() {
            // A request with an idempotency key notes what it was allowed: it asks itself.
            let known = accesses.iter().position(|(actor, access)| {
                post.ctx.once.is_none()
                    && access.meeting.id == post.meeting_id
                    && **actor == post.ctx.actor
            });
            let at = match known {
                Some(at) => at,
                None => {
                    let action = own_action(&post.ctx.actor, MeetingAction::Speak);
                    let access =
                        meeting_access(&mut change, &post.ctx, post.meeting_id, action).await;
                    match refused(access)? {
                        Ok(access) => {
                            accesses.push((&post.ctx.actor, access));
                            accesses.len() - 1
                        }
                        Err(error) => {
                            outcomes[place] = Some(Err(error));
                            continue;
                        }
                    }
                }
            };
            let access = &accesses[at].1;
            if access.meeting.status == MeetingStatus::Scheduled {
                continue;
            }
            let speakers = rooms.entry(post.meeting_id).or_default();
            match refused(speaker(&mut change, post, access, speakers).await)? {
                Ok(speaker) => ready.push((place, at, speaker)),
                Err(error) => outcomes[place] = Some(Err(error)),
            }
        }
        let of: Vec<(usize, usize)> = ready.iter().map(|(place, at, _)| (*place, *at)).collect();
        let entries = ready
            .into_iter()
            .map(|(place, at, speaker)| Entry {
                ctx: &posts[place].ctx,
                access: &accesses[at].1,
                new: posts[place].new.clone(),
                speaker,
            })
            .collect();
        let written = self.segments_write(&mut change, ctx.now, entries).await?;
        let changes = written
            .iter()
            .zip(&of)
            .filter_map(|(written, (_, at))| Some((written.as_ref().ok()?, &accesses[*at].1)));
        self.segments_tell(&mut change, ctx, changes).await?;
        for (_, (place, _)) in written
            .iter()
            .zip(&of)
            .filter(|(written, _)| written.is_ok())
        {
            change.carry_out(&posts[*place].ctx).await?;
        }
        change.commit().await?;
        for (written, (place, _)) in written.into_iter().zip(of) {
            outcomes[place] = Some(written.map(|written| written.posted));
        }
        Ok(outcomes)
    }
}

/// Who speaks in a post, if it may be kept.
async fn speaker(
    change: &mut Change<'_>,
    post: &Post,
    access: &Access,
    speakers: &mut Speakers,
) -> Result<Speaker> {
    let named = post.new.speaker.as_deref();
    let speaker = speakers.of_caller(change, &post.ctx, access, named).await?;
    let actor = &post.ctx.actor;
    if !speakers
        .permits(change, actor, &access.meeting, &speaker)
        .await?
    {
        return Err(consent_denied(0, &speaker));
    }
    Ok(speaker)
}

/// Tells a refusal, which is one post's alone, from a failure of the database, which ends the
/// transaction.
fn refused<T>(outcome: Result<T>) -> Result<Result<T>> {
    match outcome {
        Err(error) if error.code.status() >= 500 => Err(error),
        other => Ok(other),
    }
}

#[cfg(test)]
#[path = "gather_tests.rs"]
mod tests;
