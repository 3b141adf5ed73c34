//! A whole MeetMind for tests: its own database, a clock that tests move, fixed randomness.

use meetmind_core::{
    Actor, Ctx, EventKind, EventTopic, Id, Proof, Session, SessionId, Timestamp, UserId, UserRole,
};
use meetmind_store::Engine;
use meetmind_store::testing::TestDb;
use serde_json::Value;

use crate::{App, Entropy, ManualClock, Settings};

/// MeetMind on a database of its own.
#[derive(Debug)]
pub struct TestApp {
    /// The use cases.
    pub app: App,
    /// Moves time.
    pub clock: ManualClock,
    /// Keeps the database until the test ends.
    pub db: TestDb,
}

impl TestApp {
    /// On SQLite, with the default settings made cheap for tests.
    pub async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    /// On SQLite, with these settings; passwords are hashed cheaply all the same.
    pub async fn with(settings: Settings) -> Self {
        let db = TestDb::new(Engine::Sqlite)
            .await
            .expect("a test database")
            .expect("SQLite is always there");
        Self::on(db, settings).await
    }

    /// On a given database.
    pub async fn on(db: TestDb, mut settings: Settings) -> Self {
        settings.auth.argon2_memory_kib = 64;
        settings.auth.argon2_passes = 1;
        let clock =
            ManualClock::at(Timestamp::parse("2026-03-02T09:00:00Z").expect("a valid time"));
        let app = App::new(
            db.store.clone(),
            settings,
            Box::new(clock.clone()),
            Entropy::seeded(7),
        )
        .await
        .expect("an app");
        Self { app, clock, db }
    }

    /// A user with an account, without going through registration; `name@example.com`.
    pub async fn user(&self, name: &str) -> Actor {
        let user_id: UserId = self.app.entropy().id(self.app.now());
        let mut tx = self.db.store.begin().await.expect("a transaction");
        self.db
            .store
            .seed_user(&mut tx, user_id, &format!("{name}@example.com"))
            .await
            .expect("a user");
        let session_id = SessionId::from_uuid(user_id.uuid());
        let now = self.app.now();
        let session = Session {
            id: session_id,
            user_id,
            user_agent: None,
            address: None,
            created_at: now,
            last_used_at: now,
            expires_at: now.plus(self.app.settings().auth.session_max),
            revoked_at: None,
        };
        tx.session_insert(&session).await.expect("a session");
        tx.commit().await.expect("a commit");
        Actor::User {
            user_id,
            role: UserRole::Member,
            proof: Proof::Session(session_id),
        }
    }

    /// The circumstances of a call by `actor`, now.
    pub fn ctx(&self, actor: &Actor) -> Ctx {
        self.app
            .ctx(actor.clone(), self.app.entropy().id(self.app.now()))
    }

    /// Stores `count` events in one change and tells of them, as a use case would.
    pub async fn events(&self, topic: EventTopic, kind: EventKind, data: Value, count: usize) {
        let ctx = self.app.system_ctx();
        let mut change = self.app.change(&ctx).await.expect("a change");
        for _ in 0..count {
            change.event(topic, kind, &data).await.expect("an event");
        }
        change.commit().await.expect("a commit");
    }
}
