//! Decisions: marked ones, and proposals that someone else agreed to.

use std::sync::LazyLock;

use super::{
    clean,
    notes::{DecisionCandidate, Marker, Turn, ids},
    transcript::{Sentence, Transcript},
    words::Lexicon,
};

/// Agreement is looked for in so many turns after the proposal.
const REPLY_TURNS: usize = 2;

static DECIDED: LazyLock<Lexicon> = LazyLock::new(|| {
    Lexicon::new(
        "we decided
        we've decided|agreed
        we have decided|agreed
        we all agreed
        we agreed to|on|that
        we just|already|also|finally decided|agreed
        it's|it was|has|been decided that
        it's decided
        the|our|final decision is
        the|our|final decision was
        our final decision
        decision is to|that|made
        so that's decided
        the group|team|board decided|agreed",
    )
});

static PROPOSALS: LazyLock<Lexicon> = LazyLock::new(|| {
    Lexicon::new(
        "let's go with|for
        let's stick with|to
        let's do that|it|this
        let's use
        let's keep|drop|skip|postpone|ship|cancel|remove
        let's settle on
        we'll|we will|shall go with|for
        we'll use|keep|drop|skip|postpone|ship|stick
        we're going|gonna with|for
        we're going with
        we're gonna|going go with|for
        we're going to go with|for|use
        we are going with
        we are going to go with|for|use
        i'd|i say we go with|for
        we should go with|for
        i propose|suggest we
        i propose|suggest that we
        we go back to
        we'll go back to
        let's go back to
        agreed",
    )
});

/// What is called off needs nobody's word: said as a conclusion, it stands.
static CALLED_OFF: LazyLock<Lexicon> = LazyLock::new(|| {
    Lexicon::new(
        "we're not buying|using|building|shipping|hiring|launching|renting|leasing|ordering
        we are not buying|using|building|shipping|hiring|launching|renting|leasing|ordering
        we're not going with|for
        we are not going with|for
        we're no longer buying|using|building|shipping|hiring|launching|renting|leasing|ordering
        we are no longer buying|using|building|shipping|hiring|launching|renting|leasing|ordering",
    )
});

static AGREEMENTS: LazyLock<Lexicon> = LazyLock::new(|| {
    Lexicon::new(
        "yes|yep|yeah|yup|agreed|okay|ok|sure|fine|absolutely|exactly|perfect|definitely|deal
        sounds good|great|fine
        that sounds good|great|fine
        good idea
        great idea
        makes sense
        that makes sense
        i agree
        works for me
        that works
        fine by|with me
        i'm fine|happy|good with
        let's do
        great|good|right|alright
        no objection|objections",
    )
});

static DISSENTS: LazyLock<Lexicon> = LazyLock::new(|| {
    Lexicon::new(
        "no|nope|wait
        but|well i|we|what|that|it|then
        i don't think
        i disagree
        i'm not sure
        not sure
        are you sure
        why not|would
        what if|about
        hang|hold on
        yeah|yes|okay|ok|sure but",
    )
});

static REVERSALS: LazyLock<Lexicon> = LazyLock::new(|| {
    Lexicon::new(
        "instead of
        instead
        rather than
        no longer
        not _ after all
        not _ _ after all
        after all
        back to
        changed our|my mind|minds
        on second thought
        on second thoughts
        scrap the|that
        drop the|that
        replaces the|that
        not anymore
        any more
        reverse the|that
        overturn the|that",
    )
});

/// Words that keep "we decided" from being one.
fn is_unsettled(before: &[String], after: &[String]) -> bool {
    let near = &before[before.len().saturating_sub(5)..];
    // "As we've agreed" recalls, "where we're going with this" explains.
    before
        .last()
        .is_some_and(|w| matches!(w.as_str(), "as" | "like" | "which" | "where"))
        || near.iter().any(|w| {
            matches!(
                w.as_str(),
                "where"
                    | "if"
                    | "what"
                    | "haven't"
                    | "have"
                    | "did"
                    | "before"
                    | "until"
                    | "unless"
                    | "when"
                    | "whether"
                    | "once"
                    | "should"
                    | "how"
            )
        })
        || after
            .first()
            .is_some_and(|w| matches!(w.as_str(), "yet" | "nothing" | "whether" | "if" | "what"))
}

fn marked(text: &str) -> Option<&str> {
    let text = text.trim_start_matches(['-', '*', '•', ' ']);
    let lower = text.to_ascii_lowercase();
    if let Some(rest) = lower
        .strip_prefix("/decide")
        .or_else(|| lower.strip_prefix("/decision"))
    {
        let said = text[text.len() - rest.len()..].trim_start_matches([':', ' ']);
        return (rest.is_empty() || rest.starts_with([' ', ':'])).then_some(said);
    }
    for mark in ["decisions", "decision", "decided"] {
        if let Some(rest) = lower.strip_prefix(mark) {
            let rest = rest.trim_start();
            if rest.starts_with(':') {
                return Some(text[text.len() - rest.len() + 1..].trim_start());
            }
        }
    }
    None
}

/// Whether lower-case words say that something is decided.
pub(crate) fn states_one(lower: &[String]) -> bool {
    DECIDED
        .find(lower)
        .is_some_and(|(at, len)| !is_unsettled(&lower[..at], &lower[at + len..]))
}

/// Whether a passage settles something: says that it is decided, calls something off, or proposes what
/// one of the next speakers agrees to before any of them objects.
pub(crate) fn settles(text: &str, lower: &[String], replies: &[&[String]]) -> bool {
    if marked(text).is_some() || states_one(lower) || CALLED_OFF.find(lower).is_some() {
        return true;
    }
    let proposes = PROPOSALS
        .find(lower)
        .is_some_and(|(at, len)| !is_unsettled(&lower[..at], &lower[at + len..]));
    let reply = replies
        .iter()
        .find(|reply| AGREEMENTS.at(reply).is_some() || DISSENTS.at(reply).is_some());
    proposes && reply.is_some_and(|reply| DISSENTS.at(reply).is_none())
}

/// Where a sentence calls something off: "So we're not buying the van."
fn called_off(lower: &[String]) -> Option<(usize, usize)> {
    CALLED_OFF.find(lower).filter(|&(at, _)| {
        at <= 2
            && lower[..at].iter().all(|w| {
                matches!(
                    w.as_str(),
                    "so" | "okay" | "ok" | "then" | "therefore" | "decide"
                )
            })
    })
}

/// The words of a reversal as said, from lower-case words.
fn reversal(sentence: &Sentence) -> Option<String> {
    let (at, len) = REVERSALS
        .find(&sentence.lower)
        .or_else(|| called_off(&sentence.lower))?;
    Some(sentence.lower.get(at..at + len)?.join(" "))
}

/// The words with which a decision says that it replaces an earlier one ("instead of", "we're not
/// buying"), in lower case; `None` when it does not say so.
pub fn reversal_hint(text: &str) -> Option<String> {
    let turn = Turn {
        id: 0_u8,
        speaker: String::new(),
        text: text.to_owned(),
        start_ms: 0,
        end_ms: 0,
    };
    let read = Transcript::read(&[turn]);
    read.sentences.iter().find_map(reversal)
}

/// The turn in which another speaker agreed before anyone objected.
fn agreement<Id>(
    turns: &[Turn<Id>],
    read: &Transcript,
    after: usize,
    speaker: &str,
) -> Option<usize> {
    let mut agreed = None;
    for (t, turn) in turns.iter().enumerate().skip(after + 1).take(REPLY_TURNS) {
        if turn.speaker == speaker {
            continue;
        }
        if DISSENTS.at(&read.turn_lower[t]).is_some() {
            return None;
        }
        if agreed.is_none() && AGREEMENTS.at(&read.turn_lower[t]).is_some() {
            agreed = Some(t);
        }
    }
    agreed
}

/// How many different content words a sentence has beside its formula.
fn content(sentence: &Sentence) -> usize {
    let mut terms: Vec<u32> = sentence.terms().collect();
    terms.sort_unstable();
    terms.dedup();
    terms.len()
}

/// The decisions in order.
pub(crate) fn find<Id: Copy>(turns: &[Turn<Id>], read: &Transcript) -> Vec<DecisionCandidate<Id>> {
    let mut out: Vec<DecisionCandidate<Id>> = Vec::new();
    for (place, sentence) in read.sentences.iter().enumerate() {
        let first = sentence.first_turn();
        let Some(turn) = turns.get(first) else {
            continue;
        };
        let mut cited = sentence.turns.clone();
        let mut text = sentence.text.clone();
        let marker = if let Some(rest) = marked(&sentence.text) {
            text = clean::capitalise(rest.trim());
            Marker::Explicit
        } else if !read.english || sentence.question {
            continue;
        } else if let Some((at, len)) = DECIDED.find(&sentence.lower) {
            let after = &sentence.lower[at + len..];
            if is_unsettled(&sentence.lower[..at], after)
                || after.len() < 2
                || content(sentence) < 2
            {
                continue;
            }
            Marker::Explicit
        } else if let Some((at, len)) = called_off(&sentence.lower) {
            if sentence.lower.len() < at + len + 2 || content(sentence) < 2 {
                continue;
            }
            Marker::Pattern
        } else if let Some((at, len)) = PROPOSALS.find(&sentence.lower) {
            let after = &sentence.lower[at + len..];
            let opener = sentence.lower[at] == "agreed";
            // "Agreed, we ship on Friday" settles by itself; a lone "agreed" belongs to what it answers.
            if is_unsettled(&sentence.lower[..at], after)
                || (opener && (at > 1 || after.len() < 3 || content(sentence) < 2))
            {
                continue;
            }
            let last = sentence.turns.last().copied().unwrap_or(first);
            let Some(reply) = agreement(turns, read, last, &turn.speaker) else {
                continue;
            };
            // "Let's go with that" says nothing without the sentence before.
            if content(sentence) < 1 || (after.len() <= 1 && content(sentence) < 2) {
                let Some(before) = place.checked_sub(1).and_then(|p| {
                    read.sentences[..=p]
                        .iter()
                        .rev()
                        .take(3)
                        .find(|s| content(s) >= 2 && !s.question)
                }) else {
                    continue;
                };
                text = format!("{} {}", before.text, sentence.text);
                cited.splice(0..0, before.turns.iter().copied());
            }
            cited.push(reply);
            Marker::Pattern
        } else {
            continue;
        };
        if text.chars().filter(|c| c.is_alphanumeric()).count() < 3 {
            continue;
        }
        cited.sort_unstable();
        cited.dedup();
        out.push(DecisionCandidate {
            text,
            marker,
            segment_ids: ids(turns, &cited),
            reverses_hint: reversal(sentence),
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::local::{DecisionCandidate, Marker, NotesOptions, Turn, notes};

    fn decisions(lines: &[(&str, &str)]) -> Vec<DecisionCandidate<usize>> {
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
        notes(&turns, &NotesOptions::default()).decisions
    }

    #[test]
    fn marked_decisions_need_no_agreement() {
        for (text, shown) in [
            ("Decision: ship on Friday.", "Ship on Friday."),
            ("/decide we use Postgres", "We use Postgres"),
            (
                "So we decided to target the younger group.",
                "We decided to target the younger group.",
            ),
        ] {
            let found = decisions(&[("Anna", text)]);
            assert_eq!(found.len(), 1, "{text}");
            assert_eq!(
                (found[0].text.as_str(), found[0].marker),
                (shown, Marker::Explicit)
            );
        }
    }

    #[test]
    fn a_proposal_needs_the_agreement_of_another() {
        let proposal = (
            "Anna",
            "Okay, let's go with the rubber case instead of the plastic one.",
        );
        let agreed = decisions(&[proposal, ("Bob", "Yeah, sounds good.")]);
        assert_eq!(agreed.len(), 1);
        assert_eq!(agreed[0].segment_ids, [0, 1]);
        assert_eq!(agreed[0].reverses_hint.as_deref(), Some("instead of"));
        assert!(decisions(&[proposal, ("Bob", "Wait, that is too expensive for us.")]).is_empty());
        assert!(decisions(&[proposal, ("Anna", "Yeah, sounds good.")]).is_empty());
        assert!(decisions(&[proposal]).is_empty());
    }

    #[test]
    fn what_is_called_off_is_a_decision_that_reverses() {
        let found = decisions(&[
            (
                "Anna",
                "So we're not buying the van, because the brakes have failed.",
            ),
            ("Anna", "Why we're not buying the van I told you last week."),
        ]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].marker, Marker::Pattern);
        assert_eq!(found[0].reverses_hint.as_deref(), Some("we're not buying"));
    }

    #[test]
    fn a_decision_by_itself_says_what_it_reverses() {
        let hint = |text| super::reversal_hint(text);
        let off = "We're not buying the Hallberg, because the filler bowl is cracked.";
        assert_eq!(hint(off).as_deref(), Some("we're not buying"));
        assert_eq!(
            hint("Use batteries instead of the charger.").as_deref(),
            Some("instead of")
        );
        assert_eq!(hint("We buy the used Hallberg from Odense."), None);
    }

    #[test]
    fn a_pronoun_takes_the_sentence_it_stands_for() {
        let found = decisions(&[
            ("Bob", "The kinetic charger is cheaper than batteries."),
            ("Anna", "Let's go with that."),
            ("Bob", "Agreed."),
        ]);
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].text,
            "The kinetic charger is cheaper than batteries. Let's go with that."
        );
        assert_eq!(found[0].segment_ids, [0, 1, 2]);
    }

    #[test]
    fn talk_about_deciding_is_no_decision() {
        for text in [
            "What did we decide about the battery last week?",
            "We haven't decided on the colour of the case.",
            "We have to decide on the colour of the case.",
            "If we decided to use rubber it would be costly.",
            "Let's go to the next slide about the market.",
        ] {
            let found = decisions(&[("Anna", text), ("Bob", "Okay.")]);
            assert!(found.is_empty(), "{text}: {found:?}");
        }
    }
}
