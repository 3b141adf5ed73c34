//! Chat: paging from both ends, replies, other meetings.

use meetmind_core::*;
use meetmind_store::{Error, both_engines};

use crate::meetings::{id, meeting, with_two_users};

fn message(number: u128, meeting: u128) -> Message {
    Message {
        id: id(number),
        meeting_id: id(meeting),
        participant_id: None,
        author: "Anna".to_owned(),
        kind: MessageKind::Text,
        text: format!("größe {number}"),
        reply_to: None,
        segment_ids: vec![id(number)],
        created_at: Timestamp::from_micros(number as i64),
    }
}

both_engines!(chat_pages_from_both_ends_within_one_meeting, db => {
    let (anna, _) = with_two_users(&db).await;
    let mut tx = db.store.begin().await.expect("a transaction");
    for number in [1, 2] {
        tx.meeting_insert(&meeting(number, anna), "code").await.expect("a meeting");
    }
    for number in 1..=5 {
        tx.message_insert(&message(number, 1)).await.expect("a message");
    }
    tx.message_insert(&message(6, 2)).await.expect("a message");
    tx.commit().await.expect("a commit");

    let mut read = db.store.read().await.expect("a connection");
    let ids = |list: Vec<Message>| list.into_iter().map(|message| message.id).collect::<Vec<_>>();
    assert_eq!(ids(read.message_list(id(1), None, 2).await.expect("a page")), [id(1), id(2)]);
    assert_eq!(ids(read.message_list(id(1), Some(id(2)), 10).await.expect("a page")), [id(3), id(4), id(5)]);
    assert_eq!(ids(read.message_list_newest(id(1), None, 2).await.expect("a page")), [id(5), id(4)]);
    assert_eq!(ids(read.message_list_newest(id(1), Some(id(2)), 10).await.expect("a page")), [id(1)]);
    assert_eq!(read.message_get(id(1), id(3)).await.expect("a message"), message(3, 1));
    assert!(matches!(read.message_get(id(1), id(6)).await, Err(Error::NotFound(_))));
});

both_engines!(an_answer_to_nothing_is_refused, db => {
    let (anna, _) = with_two_users(&db).await;
    let mut tx = db.store.begin().await.expect("a transaction");
    tx.meeting_insert(&meeting(1, anna), "code").await.expect("a meeting");
    let dangling = Message { reply_to: Some(id(9)), ..message(1, 1) };
    let refused = tx.message_insert(&dangling).await;
    assert!(matches!(refused, Err(Error::Dangling(_))), "{refused:?}");
});
