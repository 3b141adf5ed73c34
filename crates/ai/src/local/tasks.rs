//! The wording of tasks: which verbs are tasks, and how people commit, ask and accept.

use std::sync::LazyLock;

use super::words::Lexicon;

/// Verbs that are tasks in themselves.
pub(crate) static TASKS: LazyLock<Lexicon> = LazyLock::new(|| {
    Lexicon::new(
        "send|email|e-mail|mail|circulate|distribute|forward|submit|upload|publish|deploy|merge|invite
        draft|prepare|schedule|book|reschedule|arrange|organise|organize|finalise|finalize|compile|coordinate
        update|review|investigate|research|document|deliver|implement|ping|notify|remind|benchmark|refactor
        fix|order|summarise|summarize
        write up
        write the|a|an|that|this|it|our|some|my
        follow up
        look into
        find out
        get back to
        get in touch
        reach out
        set up
        make sure
        check with
        check in with
        double check
        double-check
        talk to|with
        speak to|with
        sync with
        ask the|them|him|her|legal|finance|marketing|sales|our|my
        call the|him|her|them|our|my
        contact
        confirm with|the|that
        share the|my|our|it|that|this|these|those|some
        post the|it|that|this|a
        finish the|it|that|this|my|our
        file|open|create|raise a|an|the ticket|issue|bug|story|task|card
        take care of
        take a look
        take an|that|this|the action
        take another|a _ look
        have a look
        put together
        put it|that|this|them|the on|in|into|up
        run the|a|some tests|numbers|test|report|migration|analysis
        report back
        release the|it|a
        test the|it|that|this",
    )
});

/// Verbs too common in talk to be a task without a deadline.
pub(crate) static ACTIVITIES: LazyLock<Lexicon> = LazyLock::new(|| {
    Lexicon::new(
        "check|do|get|add|put|have|bring|read|give|try|work|look|present|start|change|move|buy|come|discuss|ask|talk|build
        make|clean|write|finish|test|share|post|call|create|open|file|run|ship|complete|design|decide|provide|collect|sort
        set|handle|plan|meet|confirm|release|produce|figure|think|improve|remove|show|hand|return|pay|sign|close",
    )
});

pub(crate) static COMMITMENTS: LazyLock<Lexicon> = LazyLock::new(|| {
    Lexicon::new(
        "i'll
        i will
        i'm going to
        i'm gonna
        i am going to
        i can
        i promise to
        i need to
        i have to",
    )
});

pub(crate) static REQUESTS: LazyLock<Lexicon> = LazyLock::new(|| {
    Lexicon::new(
        "can|could|would|will you
        please
        i need|want you to
        i'd like you to
        you need|have to
        you should|must|will",
    )
});

pub(crate) static OBLIGATIONS: LazyLock<Lexicon> = LazyLock::new(|| {
    Lexicon::new(
        "we|somebody|someone|everybody|everyone need|needs|have|has to
        we|somebody|someone|everybody|everyone should|must|will
        we'll
        next step is to
        next step will be to",
    )
});

pub(crate) static DUTIES: LazyLock<Lexicon> = LazyLock::new(|| {
    Lexicon::new(
        "will|should|must|to
        is|was going to
        is gonna
        needs|has to
        is supposed to",
    )
});

pub(crate) static ACCEPTANCES: LazyLock<Lexicon> = LazyLock::new(|| {
    Lexicon::new(
        "sure|yes|yep|yeah|okay|ok|absolutely|definitely
        will do
        i will|can
        i'll
        of course
        no problem
        on it
        happy to",
    )
});

const ADVERBS: &[&str] = &[
    "just",
    "also",
    "please",
    "then",
    "definitely",
    "probably",
    "maybe",
    "quickly",
    "try",
    "to",
    "go",
    "ahead",
    "and",
    "still",
    "actually",
    "have",
    "personally",
    "first",
    "make",
    "kindly",
    "perhaps",
];

/// How task-like the words after "I'll" are.
#[derive(PartialEq)]
enum Task {
    Certain,
    WithDeadline,
    No,
}

fn task(after: &[String]) -> Task {
    let mut at = 0;
    loop {
        let rest = &after[at.min(after.len())..];
        if TASKS.at(rest).is_some() {
            return Task::Certain;
        }
        let adverb = rest.first().is_some_and(|w| ADVERBS.contains(&w.as_str()));
        if adverb && at < 3 {
            at += 1;
            continue;
        }
        return if ACTIVITIES.at(rest).is_some() {
            Task::WithDeadline
        } else {
            Task::No
        };
    }
}

/// Whether the words after a commitment are a task; weak verbs need a deadline (`due`).
pub(crate) fn is_task(after: &[String], due: bool) -> bool {
    match task(after) {
        Task::Certain => true,
        Task::WithDeadline => due,
        Task::No => false,
    }
}

/// Reported or supposed speech before the match makes it no commitment.
pub(crate) fn is_supposed(before: &[String]) -> bool {
    let near = &before[before.len().saturating_sub(8)..];
    near.iter().any(|w| {
        matches!(
            w.as_str(),
            "if" | "when"
                | "whenever"
                | "said"
                | "says"
                | "say"
                | "saying"
                | "told"
                | "unless"
                | "would've"
                | "imagine"
                | "suppose"
                | "like"
                | "asked"
                | "not"
                | "don't"
                | "never"
                | "what"
                | "where"
                | "how"
                | "whether"
        )
    })
}

/// Whether somebody commits to a task, or asks another for one, anywhere in lower-case words.
pub(crate) fn commits(lower: &[String]) -> bool {
    [&*COMMITMENTS, &*REQUESTS].into_iter().any(|lexicon| {
        (0..lower.len()).any(|at| {
            lexicon
                .at(&lower[at..])
                .is_some_and(|len| !is_supposed(&lower[..at]) && is_task(&lower[at + len..], false))
        })
    })
}
