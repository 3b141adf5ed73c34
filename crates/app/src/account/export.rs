//! Everything of one person, read page by page while it is sent.

use meetmind_core::{Ctx, Error, Result, Scope, User, scope_check, session_may, user_may};
use serde::Serialize;
use tokio::sync::mpsc;

use super::ROWS;
use crate::App;

/// The scopes for reading what an export holds beside the profile.
const CONTAINED: [Scope; 5] = [
    Scope::MeetingsRead,
    Scope::TranscriptsRead,
    Scope::MemoryRead,
    Scope::AgentsRead,
    Scope::Webhooks,
];

/// Everything of one person as pieces of one JSON object, in order.
#[derive(Debug)]
pub struct AccountExport(mpsc::Receiver<Result<String>>);

impl AccountExport {
    /// The next piece; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<String>> {
        self.0.recv().await
    }
}

/// Why an export stops.
enum Stop {
    /// Nobody reads on.
    Gone,
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Stop::Failed(error.into())
    }
}

/// Where the pieces go.
struct Writer {
    out: mpsc::Sender<Result<String>>,
    /// Whether the list under way is still empty.
    first: bool,
}

impl Writer {
    async fn text(&self, piece: String) -> Result<(), Stop> {
        self.out.send(Ok(piece)).await.map_err(|_| Stop::Gone)
    }

    async fn open(&mut self, name: &str) -> Result<(), Stop> {
        self.first = true;
        self.text(format!(",\"{name}\":[")).await
    }

    async fn rows<T: Serialize>(&mut self, rows: &[T]) -> Result<(), Stop> {
        let mut piece = String::new();
        for row in rows {
            if !self.first {
                piece.push(',');
            }
            self.first = false;
            piece.push_str(&serde_json::to_string(row).map_err(Error::internal)?);
        }
        self.text(piece).await
    }
}

/// Sends all rows of a list of the store, page by page.
macro_rules! all_rows {
    ($app:expr, $writer:expr, $read:ident($of:expr)) => {{
        let mut after = None;
        loop {
            let rows = $app.store().read().await?.$read($of, after, ROWS).await?;
            let Some(last) = rows.last() else { break };
            after = Some(last.id);
            $writer.rows(&rows).await?;
        }
    }};
}

macro_rules! section {
    ($app:expr, $writer:expr, $name:literal, $read:ident($of:expr)) => {{
        $writer.open($name).await?;
        all_rows!($app, $writer, $read($of));
        $writer.text("]".to_owned()).await?;
    }};
}

/// Rows that belong to the person through a participant: each page is read from an index.
macro_rules! section_by_participant {
    ($app:expr, $writer:expr, $name:literal, $user:expr, $read:ident) => {{
        $writer.open($name).await?;
        let mut last_part = None;
        loop {
            let mut conn = $app.store().read().await?;
            let parts = conn.export_participants($user, last_part, ROWS).await?;
            drop(conn);
            let Some(end) = parts.last() else { break };
            last_part = Some(end.id);
            for part in &parts {
                all_rows!($app, $writer, $read(part.id));
            }
        }
        $writer.text("]".to_owned()).await?;
    }};
}

impl App {
    /// Everything of the caller: profile, sessions, keys without secrets, meetings, what was
    /// written and said, memories, agents, webhooks. A key needs the scopes for reading each of
    /// these; what no key may see, sessions and keys, is not in its export.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, `FORBIDDEN` for guests, `SCOPE_MISSING`.
    pub async fn account_export(&self, ctx: &Ctx) -> Result<AccountExport> {
        let id = user_may(&ctx.actor, Scope::Profile)?;
        for scope in CONTAINED {
            scope_check(&ctx.actor, scope)?;
        }
        let by_session = session_may(&ctx.actor).is_ok();
        let user = self.store().read().await?.user_get(id).await?;
        let (out, receiver) = mpsc::channel(4);
        let app = self.clone();
        tokio::spawn(async move {
            let mut writer = Writer { out, first: true };
            if let Err(Stop::Failed(error)) = app.export_write(&mut writer, &user, by_session).await
            {
                let _ = writer.out.send(Err(error)).await;
            }
        });
        Ok(AccountExport(receiver))
    }

    async fn export_write(
        &self,
        writer: &mut Writer,
        user: &User,
        by_session: bool,
    ) -> Result<(), Stop> {
        let id = user.id;
        let profile = serde_json::to_string(user).map_err(Error::internal)?;
        writer.text(format!("{{\"profile\":{profile}")).await?;
        if by_session {
            section!(self, writer, "sessions", session_export(id));
            section!(self, writer, "api_keys", api_key_export(id));
        }
        section!(self, writer, "meetings", export_meetings(id));
        section!(self, writer, "participants", export_participants(id));
        section!(self, writer, "memories", export_memories(id));
        section!(self, writer, "memory_changes", export_memory_changes(id));
        section!(self, writer, "agents", export_agents(id));
        section!(self, writer, "webhooks", export_webhooks(id));
        section_by_participant!(self, writer, "consents", id, export_consents);
        section_by_participant!(self, writer, "messages", id, export_messages);
        section_by_participant!(self, writer, "segments", id, export_segments);
        section!(self, writer, "recordings", export_recordings(id));
        section_by_participant!(self, writer, "recording_files", id, export_recording_files);
        writer.text("}".to_owned()).await
    }
}
