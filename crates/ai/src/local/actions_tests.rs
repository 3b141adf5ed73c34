//! Action items: what must be found, and what must not.

use crate::local::{ActionCandidate, Marker, NotesOptions, Turn, notes};

fn actions(lines: &[(&str, &str)]) -> Vec<ActionCandidate<usize>> {
    let turns: Vec<Turn<usize>> = lines
        .iter()
        .enumerate()
        .map(|(id, (speaker, text))| Turn {
            id,
            speaker: (*speaker).into(),
            text: (*text).into(),
            start_ms: 0,
            end_ms: 0,
        })
        .collect();
    let participants = vec!["Bob Stone".into(), "Anna Berg".into(), "Will Park".into()];
    notes(
        &turns,
        &NotesOptions {
            participants,
            ..NotesOptions::default()
        },
    )
    .actions
}

fn one(text: &str) -> ActionCandidate<usize> {
    let mut found = actions(&[
        ("Maria Diaz", text),
        (
            "Anna Berg",
            "Thanks for that, the rest of the agenda is short.",
        ),
    ]);
    assert_eq!(found.len(), 1, "{text}: {found:?}");
    found.remove(0)
}

#[test]
fn marked_items_are_explicit() {
    for (text, shown, owner, due) in [
        (
            "Action: Bob to send the report by Friday.",
            "Bob to send the report by Friday.",
            Some("Bob Stone"),
            Some("by Friday"),
        ),
        (
            "Okay, so action item: review the contract",
            "Review the contract",
            None,
            None,
        ),
        (
            "AI: I'll call the supplier tomorrow.",
            "I'll call the supplier tomorrow.",
            Some("Maria Diaz"),
            Some("tomorrow"),
        ),
        (
            "TODO: order new badges - Bob",
            "Order new badges - Bob",
            Some("Bob Stone"),
            None,
        ),
        (
            "/task update the wiki before the next meeting",
            "Update the wiki before the next meeting",
            None,
            Some("before the next meeting"),
        ),
        (
            "@bob please check the invoices",
            "Please check the invoices",
            Some("Bob Stone"),
            None,
        ),
        (
            "The action item for Anna is to book the room for Monday.",
            "Book the room for Monday.",
            Some("Anna Berg"),
            Some("for Monday"),
        ),
        (
            "Action item for me is to write up the minutes.",
            "Write up the minutes.",
            Some("Maria Diaz"),
            None,
        ),
    ] {
        let action = one(text);
        assert_eq!(
            (
                action.text.as_str(),
                action.owner.as_deref(),
                action.due.as_deref(),
                action.marker
            ),
            (shown, owner, due, Marker::Explicit),
            "{text}"
        );
        assert_eq!(action.segment_ids, [0]);
    }
}

#[test]
fn commitments_and_requests_are_candidates() {
    for (text, owner, due) in [
        (
            "So I'll send the slides by Friday.",
            Some("Maria Diaz"),
            Some("by Friday"),
        ),
        (
            "I will follow up with the supplier.",
            Some("Maria Diaz"),
            None,
        ),
        (
            "I'm going to take a closer look at the logs.",
            Some("Maria Diaz"),
            None,
        ),
        (
            "Bob, can you check the numbers by Tuesday?",
            Some("Bob Stone"),
            Some("by Tuesday"),
        ),
        ("Anna will prepare the demo.", Some("Anna Berg"), None),
        (
            "Will, could you email the customer?",
            Some("Will Park"),
            None,
        ),
        (
            "Could you update the roadmap, Bob?",
            Some("Bob Stone"),
            None,
        ),
        (
            "We need to finish the design before the launch.",
            None,
            Some("before the launch"),
        ),
    ] {
        let action = one(text);
        assert_eq!(
            (
                action.owner.as_deref(),
                action.due.as_deref(),
                action.marker
            ),
            (owner, due, Marker::Pattern),
            "{text}"
        );
    }
}

#[test]
fn who_accepts_a_request_owns_it() {
    let found = actions(&[
        ("Maria", "Can you send me the final draft?"),
        ("Bob Stone", "Sure, will do."),
        ("Maria", "Great."),
    ]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].owner.as_deref(), Some("Bob Stone"));
    assert_eq!(found[0].segment_ids, [0, 1]);
}

#[test]
fn talk_is_no_action() {
    for text in [
        "I'll just go on with the next slide.",
        "I'll say that again.",
        "We'll see how that works out in practice.",
        "I will be there at the party too.",
        "I'll go first then, if nobody minds.",
        "If you press it, I'll send the signal to the chip.",
        "He said I'll send it to the team.",
        "Can you imagine scrolling through fifty channels?",
        "Can you hear me now in the back?",
        "Do we have any action items from last time?",
        "There were no action items to review.",
        "@bob thanks for the great update",
        "I'll show you an example at the end.",
        "Will you be at the office for the party?",
        "The action in that film is great.",
        "AI is going to change how we work.",
        "You need to send a signal to the television for this.",
        "I'll admit I don't know what that stands for.",
        "I don't think I'll send that anywhere.",
        "Anna should know about that topic.",
        "/tasks are listed on the page",
    ] {
        let found = actions(&[
            ("Maria Diaz", text),
            ("Anna Berg", "The rest of the agenda is short."),
        ]);
        assert!(found.is_empty(), "{text}: {found:?}");
    }
}

#[test]
fn other_languages_give_only_marked_items() {
    assert!(
        actions(&[(
            "Åsa",
            "Jag skickar rapporten på fredag, och vi ska se hur det går."
        )])
        .is_empty()
    );
    assert_eq!(
        actions(&[("Åsa", "/task skicka rapporten på fredag")]).len(),
        1
    );
}

#[test]
fn an_acceptance_dates_the_request() {
    let found = actions(&[
        ("Maria", "Bob, could you update the release notes?"),
        ("Bob Stone", "Sure, I'll do that this afternoon."),
    ]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].due.as_deref(), Some("this afternoon"));
    assert_eq!(found[0].segment_ids, [0, 1]);
}
