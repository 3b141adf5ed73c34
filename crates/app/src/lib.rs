//! What MeetMind does: one function per use case, taking `&Ctx { actor, request_id, now }`.
//!
//! Every door (REST, WebSocket, the command line, later MCP and A2A) calls these functions, and
//! every function asks `core::policy` before it acts. A change and its event are written in one
//! transaction ([`Change`]) and published after the commit.

mod account;
mod admin;
mod agents;
mod ask;
mod auth;
mod bus;
mod change;
mod clock;
mod commands;
mod health;
mod idempotency;
mod jobs;
mod live;
mod meetings;
mod memories;
mod messages;
mod notes;
mod outbound;
mod recordings;
mod rooms;
mod search;
mod settings;
pub mod testing;
mod tools;
pub mod transcripts;
mod valid;
mod webhooks;

use std::sync::Arc;

use meetmind_core::{Actor, Code, Ctx, Error, Id, NodeId, RequestId, Result};
use meetmind_store::Store;
use tokio::sync::watch;

pub use account::*;
pub use admin::*;
pub use agents::*;
pub use ask::*;
pub use auth::*;
pub use bus::{AuthorityChange, Bus, Published};
pub use change::Change;
pub use clock::{Clock, Entropy, ManualClock, SystemClock};
pub use health::*;
pub use idempotency::*;
pub use live::{StreamGuard, TopicAccess, TopicStart, event_touches_listener};
pub use meetings::*;
pub use memories::*;
pub use messages::*;
pub use notes::*;
pub use recordings::RecordingDownload;
pub use rooms::*;
pub use search::*;
pub use settings::*;
pub use tools::*;
pub use webhooks::*;

/// MeetMind. Cheap to clone; holds no state that is not in the store, in a cache of it, or on
/// its way to a listener.
#[derive(Clone)]
pub struct App {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    settings: Settings,
    clock: Box<dyn Clock>,
    entropy: Entropy,
    bus: Bus,
    node_id: NodeId,
    draining: watch::Sender<bool>,
    live: live::State,
    webhooks: webhooks::State,
    auth: auth::State,
    agents: agents::State,
    jobs: jobs::State,
    notes: notes::State,
    ask: ask::State,
    posts: transcripts::Posts,
    outbound: outbound::Client,
    health: health::State,
    rooms: rooms::State,
    recordings: recordings::State,
}

impl App {
    /// Puts the parts together over an open and migrated store. Background work starts only
    /// with [`App::start`].
    ///
    /// # Errors
    /// When the signing key cannot be read or made, or the outbound client cannot be built.
    pub async fn new(
        store: Store,
        settings: Settings,
        clock: Box<dyn Clock>,
        entropy: Entropy,
    ) -> Result<Self> {
        let auth = auth::State::load(&store, &settings, &entropy).await?;
        let outbound = outbound::Client::new(&settings.outbound)?;
        let node_id = entropy.id(clock.now());
        let inner = Inner {
            clock,
            entropy,
            bus: Bus::new(),
            node_id,
            draining: watch::Sender::new(false),
            live: live::State::default(),
            webhooks: webhooks::State::default(),
            auth,
            agents: agents::State::default(),
            jobs: jobs::State::default(),
            notes: notes::State::default(),
            ask: ask::State::default(),
            posts: transcripts::Posts::new(store.engine()),
            outbound,
            health: health::State::default(),
            rooms: rooms::State::default(),
            recordings: recordings::State::default(),
            settings,
            store,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }
    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }
    /// Where events are published.
    pub fn bus(&self) -> &Bus {
        &self.inner.bus
    }
    /// Now.
    pub fn now(&self) -> meetmind_core::Timestamp {
        self.inner.clock.now()
    }
    /// This process.
    pub fn node_id(&self) -> NodeId {
        self.inner.node_id
    }
    /// The source of ids and secrets.
    pub fn entropy(&self) -> &Entropy {
        &self.inner.entropy
    }

    /// A new id.
    pub(crate) fn id<T: Id>(&self, ctx: &Ctx) -> T {
        self.inner.entropy.id(ctx.now)
    }

    /// The circumstances of a call by `actor`, now.
    pub fn ctx(&self, actor: Actor, request_id: RequestId) -> Ctx {
        Ctx {
            actor,
            request_id,
            now: self.now(),
            address: None,
            once: None,
        }
    }

    /// The circumstances of work that MeetMind does by itself.
    pub fn system_ctx(&self) -> Ctx {
        self.ctx(Actor::System, self.inner.entropy.id(self.now()))
    }

    /// Opens a transaction that collects events.
    pub(crate) async fn change<'a>(&'a self, ctx: &'a Ctx) -> Result<Change<'a>> {
        Change::begin(self, ctx).await
    }

    /// Whether the process is on its way out.
    pub fn is_draining(&self) -> bool {
        *self.inner.draining.borrow()
    }

    /// The process is on its way out: new work is refused, open streams are told to go elsewhere.
    pub fn drain_begin(&self) {
        self.inner.draining.send_replace(true);
    }

    /// Fails while the process is on its way out.
    pub(crate) fn refuse_when_draining(&self) -> Result<()> {
        if self.is_draining() {
            Err(Error::new(Code::Draining, "the server is shutting down"))
        } else {
            Ok(())
        }
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App")
            .field("node_id", &self.inner.node_id)
            .finish_non_exhaustive()
    }
}
