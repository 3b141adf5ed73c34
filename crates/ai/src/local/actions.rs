//! Action items: marked ones, and commitments and requests recognised by their wording.
//!
//! Precision before recall: a commitment counts when its verb is a task ("send", "follow up") or a deadline
//! comes with it. What no one marked stays a candidate until a person confirms it.

use std::hash::Hash;

use super::{
    clean, due,
    notes::{ActionCandidate, Marker, Turn, ids},
    people::{People, bare},
    tasks::{ACCEPTANCES, COMMITMENTS, DUTIES, OBLIGATIONS, REQUESTS, is_supposed, is_task},
    transcript::{Sentence, Transcript},
    words,
};

/// What was recognised, before ids are put to it.
struct Found {
    text: String,
    owner: Option<String>,
    due: Option<String>,
    marker: Marker,
    reply: Option<usize>,
}

/// "action item:", "TODO:", "/task" and the like at the start; gives the rest.
fn marked(text: &str) -> Option<&str> {
    let text = text.trim_start_matches(['-', '*', '•', ' ']);
    let lower = text.to_ascii_lowercase();
    for command in ["/task", "/todo", "/action"] {
        if let Some(rest) = lower.strip_prefix(command) {
            return (rest.is_empty() || rest.starts_with([' ', ':']))
                .then(|| text[command.len()..].trim_start_matches([':', ' ']));
        }
    }
    for mark in [
        "action items",
        "action item",
        "action point",
        "new action",
        "action",
        "todo",
        "to-do",
        "to do",
        "next step",
        "task",
        "ai",
    ] {
        if let Some(rest) = lower.strip_prefix(mark) {
            let rest = rest.trim_start();
            // "ai:" in lower case is the subject of many meetings.
            let shouted = mark != "ai" || text.starts_with("AI");
            if shouted && rest.starts_with(':') {
                return Some(text[text.len() - rest.len() + 1..].trim_start());
            }
        }
    }
    None
}

/// "action item for Anna is to …": the owner's words and the rest.
fn spoken_marker(pieces: &[&str]) -> Option<usize> {
    let lower: Vec<String> = pieces.iter().map(|p| bare(p)).collect();
    (0..lower.len().saturating_sub(1)).find(|&at| {
        lower[at] == "action"
            && matches!(
                lower[at + 1].as_str(),
                "item" | "point" | "items" | "points"
            )
    })
}

/// A name or pronoun to a participant.
fn owner_at<'p>(
    pieces: &[&str],
    speaker: &'p str,
    people: &'p People,
) -> Option<(Option<&'p str>, usize)> {
    if let Some((name, len)) = people.at(pieces) {
        return Some((Some(name), len));
    }
    match bare(pieces.first()?).as_str() {
        "me" | "myself" | "i" => Some((Some(speaker), 1)),
        "us" | "you" | "everyone" | "everybody" | "someone" | "all" => Some((None, 1)),
        _ => None,
    }
}

/// The owner a marked item's own words name: "Bob to send …", "I'll …", "@bob …".
fn owner_in(text: &str, speaker: &str, people: &People) -> Option<String> {
    let pieces: Vec<&str> = text.split_whitespace().take(60).collect();
    if let Some((name, _)) = people.at(&pieces) {
        return Some(name.to_owned());
    }
    let first = bare(pieces.first()?);
    if matches!(first.as_str(), "i'll" | "i" | "i'm") {
        return Some(speaker.to_owned());
    }
    // "… (Bob)", "… @bob" and "… - Bob" at the end.
    let last = pieces.last()?;
    if last.starts_with(['(', '@'])
        || pieces
            .len()
            .checked_sub(2)
            .is_some_and(|i| matches!(pieces[i], "-" | "–" | "—"))
    {
        return people
            .at(&[last.trim_matches(['(', ')', '@', '.'])])
            .map(|(name, _)| name.to_owned());
    }
    None
}

fn explicit(text: &str, question: bool, speaker: &str, people: &People) -> Option<Found> {
    let found = |rest: &str, owner: Option<String>| {
        let text = clean::capitalise(rest.trim());
        let due = due::find(&text);
        (text.chars().filter(|c| c.is_alphanumeric()).count() > 2).then_some(Found {
            text,
            owner,
            due,
            marker: Marker::Explicit,
            reply: None,
        })
    };
    if let Some(rest) = marked(text) {
        return found(rest, owner_in(rest, speaker, people));
    }
    let pieces: Vec<&str> = text.split_whitespace().collect();
    if let Some(name) = pieces.first().and_then(|p| p.strip_prefix('@')) {
        let owner = people.handle(name)?;
        let lower: Vec<String> = pieces[1..].iter().map(|p| bare(p)).collect();
        let skip = REQUESTS
            .at(&lower)
            .unwrap_or(usize::from(lower.first().is_some_and(|w| w == "to")));
        let certain = is_task(&lower[skip..], skip > 0 || due::find(text).is_some());
        return if certain && lower.len() >= 2 {
            found(&pieces[1..].join(" "), Some(owner.to_owned()))
        } else {
            None
        };
    }
    let at = spoken_marker(&pieces)?;
    let before = pieces[..at].iter().map(|p| bare(p)).collect::<Vec<_>>();
    if question
        || before.iter().any(|w| {
            matches!(
                w.as_str(),
                "any" | "no" | "previous" | "last" | "old" | "closed"
            )
        })
    {
        return None;
    }
    let mut rest = &pieces[at + 2..];
    let mut owner = None;
    if rest.first().is_some_and(|w| bare(w) == "for") {
        let (who, len) = owner_at(&rest[1..], speaker, people)?;
        owner = who.map(str::to_owned);
        rest = &rest[1 + len..];
    } else if !pieces[at + 1].ends_with(':')
        && !rest
            .first()
            .is_some_and(|w| matches!(bare(w).as_str(), "is" | "to" | "would" | "will"))
    {
        return None;
    }
    while rest.first().is_some_and(|w| {
        matches!(
            bare(w).as_str(),
            "is" | "to" | "would" | "will" | "be" | "" | "that"
        )
    }) {
        rest = &rest[1..];
    }
    if rest.len() < 2 {
        return None;
    }
    let rest = rest.join(" ");
    let owner = owner.or_else(|| owner_in(&rest, speaker, people));
    found(&rest, owner)
}

/// The participant a request is put to: named before it, or at the very end.
fn addressee<'p>(pieces: &[&str], at: usize, people: &'p People) -> Option<&'p str> {
    let from = at.saturating_sub(3);
    let before = (from..at).find_map(|i| {
        people
            .at(&pieces[i..at])
            .filter(|&(_, len)| i + len == at)
            .map(|(name, _)| name)
    });
    before.or_else(|| {
        let last = pieces.len().checked_sub(1)?;
        let set_off = last > 0 && pieces[last - 1].ends_with(',');
        people
            .at(&pieces[last..])
            .filter(|_| set_off)
            .map(|(name, _)| name)
    })
}

/// Who accepted in the next two turns.
fn acceptance<Id>(
    turns: &[Turn<Id>],
    read: &Transcript,
    after: usize,
    speaker: &str,
) -> Option<usize> {
    ((after + 1)..(after + 3).min(turns.len()))
        .find(|&t| turns[t].speaker != speaker && ACCEPTANCES.at(&read.turn_lower[t]).is_some())
}

fn pattern<Id>(
    sentence: &Sentence,
    turns: &[Turn<Id>],
    read: &Transcript,
    people: &People,
) -> Option<Found> {
    let speaker = turns.get(sentence.first_turn())?.speaker.as_str();
    let pieces: Vec<&str> = sentence.text.split_whitespace().collect();
    let lower: Vec<String> = pieces
        .iter()
        .map(|p| words::lower(p.trim_matches(|c: char| !c.is_alphanumeric())))
        .collect();
    if lower.len() < 3 || lower.len() > 60 {
        return None;
    }
    let due = due::find(&sentence.text);
    let dated = due.is_some();
    let found = |owner: Option<&str>, reply| {
        let (text, owner) = (sentence.text.clone(), owner.map(str::to_owned));
        Some(Found {
            text,
            owner,
            due: due.clone(),
            marker: Marker::Pattern,
            reply,
        })
    };
    for at in 0..lower.len() {
        let supposed = || is_supposed(&lower[..at]);
        if let Some(len) = COMMITMENTS.at(&lower[at..]) {
            let after = &lower[at + len..];
            // "I can", "I need to" and "I have to" describe as often as they promise.
            let weak = matches!(lower[at + len - 1].as_str(), "can")
                || matches!(lower.get(at + 1).map(String::as_str), Some("need" | "have"));
            if !sentence.question && !supposed() && is_task(after, dated) && (!weak || dated) {
                return found(Some(speaker), None);
            }
        }
        if let Some(len) = REQUESTS.at(&lower[at..]) {
            let named = addressee(&pieces, at, people);
            let after = &lower[at + len..];
            let should = lower[at] == "you" || lower[at] == "i";
            // Directions in general ("you need to …") need a person or a date.
            if !supposed() && is_task(after, dated) && (named.is_some() || dated || !should) {
                let last = sentence.turns.last().copied().unwrap_or(0);
                let accepted = acceptance(turns, read, last, speaker);
                let please = lower[at] == "please" && at == 0;
                if named.is_some() || accepted.is_some() || (please && dated) {
                    let owner = named.or_else(|| accepted.map(|t| turns[t].speaker.as_str()));
                    return found(owner, accepted);
                }
            }
        }
        if let Some(len) = OBLIGATIONS.at(&lower[at..])
            && !sentence.question
            && !supposed()
        {
            let step = lower[at] == "next";
            if is_task(&lower[at + len..], dated) && (dated || step) {
                return found(None, None);
            }
        }
        if let Some((name, len)) = people.at(&pieces[at..])
            && let Some(duty) = DUTIES.at(&lower[(at + len).min(lower.len())..])
        {
            let verb = lower[at + len].as_str();
            let loose = verb == "should" || (verb == "to" && at > 0);
            let after = &lower[at + len + duty..];
            if !sentence.question && !supposed() && is_task(after, dated) && (!loose || dated) {
                return found(Some(name), None);
            }
        }
    }
    None
}

/// The action items in order.
pub(crate) fn find<Id: Copy + Eq + Hash>(
    turns: &[Turn<Id>],
    read: &Transcript,
    people: &People,
) -> Vec<ActionCandidate<Id>> {
    let mut out: Vec<ActionCandidate<Id>> = Vec::new();
    // The turn in which the latest request was accepted.
    let mut accepted = None;
    for sentence in &read.sentences {
        let Some(turn) = turns.get(sentence.first_turn()) else {
            continue;
        };
        let found =
            explicit(&sentence.text, sentence.question, &turn.speaker, people).or_else(|| {
                read.english
                    .then(|| pattern(sentence, turns, read, people))
                    .flatten()
            });
        let Some(found) = found else { continue };
        // "Sure, I'll do that this afternoon" dates the request it accepts and is no second item.
        let pronoun = sentence
            .lower
            .iter()
            .any(|w| matches!(w.as_str(), "that" | "it" | "this"));
        if accepted == Some(sentence.first_turn())
            && pronoun
            && found.marker == Marker::Pattern
            && let Some(request) = out.last_mut()
        {
            request.due = request.due.take().or(found.due);
            continue;
        }
        accepted = found.reply;
        let mut cited = sentence.turns.clone();
        cited.extend(found.reply.filter(|t| !sentence.turns.contains(t)));
        let repeated = out
            .iter()
            .rev()
            .take(20)
            .any(|a| a.text.eq_ignore_ascii_case(&found.text));
        if !repeated {
            let (text, owner, due, marker) = (found.text, found.owner, found.due, found.marker);
            out.push(ActionCandidate {
                text,
                owner,
                due,
                marker,
                segment_ids: ids(turns, &cited),
            });
        }
    }
    out
}

#[cfg(test)]
#[path = "actions_tests.rs"]
mod tests;
