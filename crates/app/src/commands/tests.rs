//! What a typed line does and what it answers.

use meetmind_core::*;

use crate::MeetingNew;
use crate::testing::TestApp;

const TALK: &[(&str, &str)] = &[
    (
        "Anna",
        "The landlord wants a longer office lease, and the rent goes up by ten percent.",
    ),
    (
        "Ben",
        "The office lease is the main risk in our budget because the rent goes up.",
    ),
    (
        "Anna",
        "The battery of the solar charger lasts only four hours in the cold.",
    ),
    (
        "Ben",
        "The customers complained about the battery of the charger in the last survey.",
    ),
];

async fn room() -> (TestApp, Actor, MeetingId) {
    let test = TestApp::new().await;
    let anna = test.user("anna").await;
    let new = MeetingNew {
        title: "Talk".to_owned(),
        ..MeetingNew::default()
    };
    let id = test
        .app
        .meeting_create(&test.ctx(&anna), new)
        .await
        .expect("a meeting")
        .id;
    (test, anna, id)
}

async fn say(test: &TestApp, id: MeetingId) {
    let now = test.app.now();
    let mut tx = test.app.store().begin().await.expect("a transaction");
    // Enough talk for two topics: twenty rounds of the first two lines, then of the others.
    let rounds = TALK.chunks(2).flat_map(|pair| pair.iter().cycle().take(40));
    for (at, (speaker, text)) in rounds.enumerate() {
        let start_ms = at as i64 * 15_000;
        let segment = Segment {
            id: test.app.entropy().id(now),
            meeting_id: id,
            participant_id: None,
            speaker: (*speaker).to_owned(),
            text: (*text).to_owned(),
            start_ms,
            end_ms: start_ms + 14_000,
            confidence: None,
            language: None,
            is_final: true,
            external_id: None,
            attribution: Attribution::Declared,
            version: 1,
            corrected_at: None,
            created_at: now,
            updated_at: now,
        };
        tx.segment_insert(&segment).await.expect("a segment");
    }
    tx.commit().await.expect("a commit");
}

async fn type_line(test: &TestApp, who: &Actor, id: MeetingId, text: &str) -> Option<String> {
    let ctx = test.ctx(who);
    let access = test
        .app
        .meeting_access(&ctx, id, MeetingAction::Speak)
        .await
        .expect("access");
    let message = Message {
        id: test.app.entropy().id(ctx.now),
        meeting_id: id,
        participant_id: access.participant_id,
        author: access.name.clone(),
        kind: MessageKind::Text,
        text: text.to_owned(),
        reply_to: None,
        segment_ids: Vec::new(),
        created_at: ctx.now,
    };
    test.app
        .command_run(&ctx, &access, &message)
        .await
        .expect("a command")
        .map(|notice| notice.text)
}

#[tokio::test]
async fn lines_in_chat_enter_items() {
    let (test, anna, id) = room().await;
    let ctx = test.ctx(&anna);
    let page = PageQuery::default();
    let notice = type_line(&test, &anna, id, "/uppgift send the report by Friday").await;
    let notice = notice.expect("a notice");
    assert!(
        notice.contains("send the report") || notice.contains("Send the report"),
        "{notice}"
    );
    let actions = test
        .app
        .action_list(&ctx, id, None, &page)
        .await
        .expect("actions")
        .items;
    assert_eq!(actions.len(), 1);
    assert_eq!(
        (actions[0].marker, actions[0].status),
        (Marker::Explicit, ActionStatus::Proposed)
    );
    assert_eq!(actions[0].due.as_deref(), Some("by Friday"));

    type_line(&test, &anna, id, "/decide we ship in May")
        .await
        .expect("a notice");
    let shown = type_line(&test, &anna, id, "what did we decide about May?").await;
    assert!(shown.expect("a notice").contains("ship in May"));
    let shown = type_line(&test, &anna, id, "what did we decide about the volcano?").await;
    assert!(shown.expect("a notice").contains("No decision"));

    // A note needs something said that it can be pinned to.
    let early = type_line(&test, &anna, id, "/note ask the lawyer")
        .await
        .expect("a notice");
    assert!(early.contains("nothing has been said"), "{early}");
    say(&test, id).await;
    type_line(&test, &anna, id, "/note ask the lawyer")
        .await
        .expect("a notice");
    let pinned = test
        .app
        .highlight_list(&ctx, id, None, &page)
        .await
        .expect("highlights")
        .items;
    assert!(
        pinned
            .iter()
            .any(|h| h.text == "ask the lawyer" && h.start_ms == 79 * 15_000)
    );
    // The proposals of chat cite no segment; a pass leaves them alone.
    test.app
        .notes_refresh(&ctx, id, true)
        .await
        .expect("a pass");
    assert_eq!(
        test.app
            .action_list(&ctx, id, None, &page)
            .await
            .expect("actions")
            .items[0]
            .id,
        actions[0].id
    );
}

#[tokio::test]
async fn lines_in_chat_show_and_move() {
    let (test, anna, id) = room().await;
    let empty = type_line(&test, &anna, id, "next topic")
        .await
        .expect("a notice");
    assert!(empty.contains("no topics"), "{empty}");
    say(&test, id).await;
    let shown = type_line(&test, &anna, id, "/summary")
        .await
        .expect("a notice");
    assert!(
        shown.starts_with("So far:") && shown.contains("0:00"),
        "{shown}"
    );
    let topics = type_line(&test, &anna, id, "/ämnen")
        .await
        .expect("a notice");
    assert!(
        topics.contains("1. ") && topics.contains("(0:00)"),
        "{topics}"
    );
    let count = topics.lines().count();
    assert!(count >= 2, "{topics}");

    let last = type_line(&test, &anna, id, "nästa ämne")
        .await
        .expect("a notice");
    assert!(last.starts_with(&format!("Topic {count}:")), "{last}");
    let back = type_line(&test, &anna, id, "previous topic, please")
        .await
        .expect("a notice");
    assert!(back.starts_with(&format!("Topic {}:", count - 1)), "{back}");
    let context = test
        .app
        .context_get(&test.ctx(&anna), id)
        .await
        .expect("a context");
    assert_eq!(context["topic_index"], count - 2);
    let mut conn = test.app.store().read().await.expect("a connection");
    let events = conn
        .event_list(EventTopic::Meeting(id), 0, 1_000)
        .await
        .expect("events");
    let focused: Vec<_> = events
        .iter()
        .filter(|e| e.kind == EventKind::TopicFocused)
        .collect();
    assert_eq!(
        focused.last().map(|e| e.data["by"].clone()),
        Some("command".into())
    );

    let unknown = type_line(&test, &anna, id, "/dance")
        .await
        .expect("a notice");
    assert!(unknown.contains("/task TEXT"), "{unknown}");
    let bare = type_line(&test, &anna, id, "/task")
        .await
        .expect("a notice");
    assert!(bare.contains("needs a text"), "{bare}");
    assert_eq!(
        type_line(&test, &anna, id, "@ada what is the rent?").await,
        None
    );
    assert_eq!(
        type_line(&test, &anna, id, "the next topic is hard").await,
        None
    );
    let long = format!("/task {}", "x".repeat(5_000));
    let refused = type_line(&test, &anna, id, &long).await.expect("a notice");
    assert!(refused.starts_with("That did not work"), "{refused}");
}
