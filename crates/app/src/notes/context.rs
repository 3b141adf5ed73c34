//! A meeting's context: a small JSON object that agents, tools and commands such as "next topic"
//! act on.

use meetmind_core::{Ctx, Error, EventKind, MeetingAction, MeetingId, Result};
use serde_json::{Map, Value, json};

use crate::meetings::meeting_access;
use crate::{App, valid};

/// Largest context, in bytes of JSON.
const CONTEXT_MAX: usize = 64 * 1024;

impl App {
    /// The context of a meeting.
    ///
    /// # Errors
    /// `NOT_FOUND` for who may not see the meeting.
    pub async fn context_get(&self, ctx: &Ctx, meeting_id: MeetingId) -> Result<Value> {
        let mut conn = self.store().read().await?;
        meeting_access(&mut conn, ctx, meeting_id, MeetingAction::Read).await?;
        Ok(conn.meeting_secret_get(meeting_id).await?.1)
    }

    /// Merges an object into the context (RFC 7396: `null` removes) and gives the whole.
    ///
    /// # Errors
    /// `VALIDATION_FAILED` when it is no object or the whole would exceed 64 KB, `NOT_FOUND`,
    /// `FORBIDDEN` for viewers.
    pub async fn context_merge(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        patch: &Value,
    ) -> Result<Value> {
        let mut change = self.change(ctx).await?;
        meeting_access(&mut change, ctx, meeting_id, MeetingAction::Speak).await?;
        valid::object("context", patch, CONTEXT_MAX)?;
        change.notes_lock(meeting_id).await?;
        let (_, old) = change.meeting_secret_get(meeting_id).await?;
        let mut context = old.clone();
        merge(&mut context, patch);
        if context.to_string().len() > CONTEXT_MAX {
            return Err(Error::invalid(
                "context",
                format!("the merged context must have at most {CONTEXT_MAX} bytes as JSON"),
            ));
        }
        if context == old {
            return Ok(context);
        }
        change
            .meeting_context_set(meeting_id, &context, ctx.now)
            .await?;
        change
            .meeting_event(
                meeting_id,
                EventKind::ContextUpdated,
                &json!({ "meeting_id": meeting_id, "context": context }),
            )
            .await?;
        change.commit().await?;
        Ok(context)
    }
}

/// JSON merge patch. The depth is bounded by the parser that read the patch.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(fields) = target else {
        return;
    };
    for (name, value) in patch {
        if value.is_null() {
            fields.remove(name);
        } else {
            merge(fields.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn it_merges_as_rfc_7396_says() {
        let cases = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (
                json!({"a": "b"}),
                json!({"b": "c"}),
                json!({"a": "b", "b": "c"}),
            ),
            (
                json!({"a": "b", "b": "c"}),
                json!({"a": null}),
                json!({"b": "c"}),
            ),
            (
                json!({"a": [{"b": "c"}]}),
                json!({"a": [1]}),
                json!({"a": [1]}),
            ),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (
                json!({}),
                json!({"a": {"bb": {"ccc": null}}}),
                json!({"a": {"bb": {}}}),
            ),
        ];
        for (mut target, patch, expected) in cases {
            super::merge(&mut target, &patch);
            assert_eq!(target, expected);
        }
    }
}
