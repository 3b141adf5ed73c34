//! Deadlines as they are said: "by Friday", "before the next meeting", "tomorrow morning".

use super::words;

const WEEKDAYS: &[&str] = &[
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];
const MONTHS: &[&str] = &[
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const PERIODS: &[&str] = &[
    "day",
    "week",
    "month",
    "quarter",
    "year",
    "sprint",
    "weekend",
    "morning",
    "afternoon",
    "evening",
];
const EVENTS: &[&str] = &[
    "meeting",
    "call",
    "release",
    "launch",
    "demo",
    "standup",
    "review",
    "retro",
    "workshop",
    "conference",
    "session",
    "deadline",
    "lunch",
    "freeze",
    "presentation",
];
const NAMED: &[&str] = &[
    "tomorrow",
    "today",
    "tonight",
    "noon",
    "midnight",
    "eod",
    "cob",
    "eow",
    "lunchtime",
];

/// Reads words from a place; every method gives how many it took.
struct Reader<'a>(&'a [String]);

impl Reader<'_> {
    fn word(&self, at: usize) -> &str {
        self.0.get(at).map_or("", String::as_str)
    }

    fn is(&self, at: usize, list: &[&str]) -> bool {
        list.contains(&self.word(at))
    }

    fn is_number(&self, at: usize) -> bool {
        let word = self.word(at);
        let digits = word
            .trim_end_matches("st")
            .trim_end_matches("nd")
            .trim_end_matches("rd")
            .trim_end_matches("th");
        (!digits.is_empty() && digits.len() <= 4 && digits.bytes().all(|b| b.is_ascii_digit()))
            || self.is(
                at,
                &[
                    "two",
                    "three",
                    "four",
                    "five",
                    "six",
                    "seven",
                    "eight",
                    "nine",
                    "ten",
                    "first",
                    "second",
                    "third",
                    "fifth",
                    "tenth",
                    "fifteenth",
                    "twentieth",
                    "thirtieth",
                ],
            )
    }

    fn is_ordinal(&self, at: usize) -> bool {
        let word = self.word(at);
        self.is_number(at)
            && !word.bytes().all(|b| b.is_ascii_digit())
            && (word.ends_with("th")
                || word.ends_with("st")
                || word.ends_with("nd")
                || word.ends_with("rd"))
    }

    /// "5pm", "17:00", "five o'clock".
    fn clock(&self, at: usize) -> Option<usize> {
        let word = self.word(at);
        let stamp = word.split_once(':').is_some_and(|(h, m)| {
            !h.is_empty()
                && h.len() <= 2
                && m.len() >= 2
                && h.bytes()
                    .chain(m.bytes().take(2))
                    .all(|b| b.is_ascii_digit())
        });
        let fused = word
            .strip_suffix("pm")
            .or_else(|| word.strip_suffix("am"))
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit() || b == b':'));
        if fused {
            return Some(1);
        }
        let half = self.is(at + 1, &["am", "pm", "a.m", "p.m", "o'clock"]);
        if half && (stamp || self.is_number(at)) {
            return Some(2);
        }
        stamp.then_some(1)
    }

    /// A day or period that can follow "by" or stand alone.
    fn moment(&self, at: usize) -> Option<usize> {
        if self.is(at, WEEKDAYS) || self.is(at, &["tomorrow", "today"]) {
            let part = self.is(
                at + 1,
                &["morning", "afternoon", "evening", "night", "noon", "lunch"],
            );
            let clock = (self.word(at + 1) == "at")
                .then(|| self.clock(at + 2))
                .flatten()
                .map_or(0, |n| n + 1);
            return Some(1 + usize::from(part) + if part { 0 } else { clock });
        }
        if self.is(at, NAMED) {
            return Some(1);
        }
        if self.is(at, MONTHS) && self.is_number(at + 1) {
            return Some(2);
        }
        if self.is_number(at) && self.is(at + 1, MONTHS) {
            return Some(2);
        }
        if self.is_number(at) && self.word(at + 1) == "of" && self.is(at + 2, MONTHS) {
            return Some(3);
        }
        if self.is(
            at,
            &[
                "next",
                "this",
                "the",
                "coming",
                "following",
                "early",
                "late",
            ],
        ) {
            let inner = at
                + 1
                + usize::from(
                    self.word(at) == "the" && self.is(at + 1, &["next", "coming", "following"]),
                );
            if self.is(inner, WEEKDAYS)
                || (inner - at >= 1 && self.word(at) != "the" || inner - at == 2)
                    && self.is(inner, PERIODS)
            {
                return Some(inner + 1 - at);
            }
            if (self.word(at) != "this" && self.word(at) != "the" || inner - at == 2)
                && self.is(inner, EVENTS)
            {
                return Some(inner + 1 - at);
            }
        }
        None
    }

    /// "end of the week", "the end of March".
    fn end_of(&self, at: usize) -> Option<usize> {
        let from = at + usize::from(self.word(at) == "the");
        if self.word(from) != "end" || self.word(from + 1) != "of" {
            return None;
        }
        let inner = from + 2;
        if let Some(len) = self.moment(inner) {
            return Some(inner + len - at);
        }
        let inner = inner + usize::from(self.is(inner, &["the", "this", "next"]));
        let ends = self.is(inner, PERIODS)
            || self.is(inner, MONTHS)
            || self.is(inner, &["business", "play"]);
        ends.then_some(inner + 1 - at)
    }

    /// What "by" or "before" may point to.
    fn target(&self, at: usize) -> Option<usize> {
        if let Some(len) = self
            .end_of(at)
            .or_else(|| self.moment(at))
            .or_else(|| self.clock(at))
        {
            return Some(len);
        }
        if self.is(at, MONTHS) {
            return Some(1);
        }
        if self.word(at) == "the" && self.is_ordinal(at + 1) {
            let month = self.word(at + 2) == "of" && self.is(at + 3, MONTHS);
            return Some(if month { 4 } else { 2 });
        }
        let inner = at + usize::from(self.is(at, &["the", "our", "your", "this"]));
        for skip in 0..=1 {
            if self.is(inner + skip, EVENTS) && (inner > at || skip == 0) {
                return Some(inner + skip + 1 - at);
            }
        }
        None
    }

    /// The length of a deadline that starts here.
    fn deadline(&self, at: usize) -> Option<usize> {
        let from = |skip: usize, len: Option<usize>| len.map(|n| n + skip);
        match self.word(at) {
            "by" | "before" | "until" | "till" | "due" => {
                let skip = 1 + usize::from(self.is(at + 1, &["on", "by"]));
                from(skip, self.target(at + skip))
            }
            "no" | "not" if self.word(at + 1) == "later" && self.word(at + 2) == "than" => {
                from(3, self.target(at + 3))
            }
            "on" | "for" => from(
                1,
                self.moment(at + 1).filter(|_| !self.is(at + 1, &["today"])),
            ),
            "after" if self.is(at + 1, &["the", "this"]) && self.is(at + 2, EVENTS) => Some(3),
            "after" if self.word(at + 1) == "lunch" => Some(2),
            "within" | "in" => {
                let fuzzy = self.is(at + 1, &["a", "an", "the"]);
                let inner = at
                    + 1
                    + usize::from(fuzzy)
                    + usize::from(self.is(at + 1 + usize::from(fuzzy), &["next", "few"]));
                let inner = inner + usize::from(self.is_number(inner));
                let unit = [
                    "hour", "hours", "day", "days", "week", "weeks", "month", "months",
                ];
                (inner > at + 1 && self.is(inner, &unit)).then_some(inner + 1 - at)
            }
            "asap" => Some(1),
            "as" if self.word(at + 1) == "soon"
                && self.word(at + 2) == "as"
                && self.word(at + 3) == "possible" =>
            {
                Some(4)
            }
            "later" if self.word(at + 1) == "today" => Some(2),
            "first" if self.word(at + 1) == "thing" => from(2, self.moment(at + 2)),
            "end" | "the" if self.end_of(at).is_some() => self.end_of(at),
            "this" | "next" | "tomorrow" | "tonight" | "today" => self.moment(at),
            word if WEEKDAYS.contains(&word) => self.moment(at),
            _ => None,
        }
    }
}

/// The deadline in a text, as said; the one with the most words when there are several.
pub(crate) fn find(text: &str) -> Option<String> {
    let pieces: Vec<&str> = text.split_whitespace().collect();
    let lower: Vec<String> = pieces
        .iter()
        .map(|p| words::lower(p.trim_matches(|c: char| !c.is_alphanumeric())))
        .collect();
    let reader = Reader(&lower);
    let mut best: Option<(usize, usize)> = None;
    let mut at = 0;
    while at < lower.len() {
        match reader.deadline(at) {
            Some(len) => {
                if best.is_none_or(|(_, most)| len > most) {
                    best = Some((at, len));
                }
                at += len;
            }
            None => at += 1,
        }
    }
    let (at, len) = best?;
    let said = pieces.get(at..at + len)?.join(" ");
    let said = said.trim_matches(|c: char| !c.is_alphanumeric());
    (!said.is_empty()).then(|| said.to_owned())
}

/// Whether cleaned text mentions a moment in time, for questions that ask "when".
pub(crate) fn mentions_time(lower: &[String]) -> bool {
    let reader = Reader(lower);
    let extra = [
        "yesterday",
        "ago",
        "week",
        "weeks",
        "month",
        "months",
        "year",
        "years",
        "deadline",
        "birthday",
        "days",
    ];
    (0..lower.len()).any(|at| {
        reader.deadline(at).is_some()
            || reader.is(at, &extra)
            || (reader.is(at, MONTHS) && lower[at] != "may")
            || reader.clock(at).is_some()
            || (lower[at].len() == 4 && lower[at].starts_with("20") && reader.is_number(at))
    })
}

/// Whether a lower-case word is the name of a weekday, which is written with a capital.
pub(crate) fn is_named_day(lower: &str) -> bool {
    WEEKDAYS.contains(&lower)
}

/// The number of a month named by a lower-case word, 1 to 12.
pub(crate) fn month(lower: &str) -> Option<u8> {
    MONTHS
        .iter()
        .position(|m| *m == lower)
        .and_then(|at| u8::try_from(at + 1).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_given_as_said() {
        for (text, due) in [
            ("I'll send it by Friday.", "by Friday"),
            (
                "Please review before the next meeting, Bob.",
                "before the next meeting",
            ),
            ("I'll do it tomorrow morning", "tomorrow morning"),
            (
                "Ship it no later than the 5th of March",
                "no later than the 5th of March",
            ),
            ("done by the end of the week!", "by the end of the week"),
            ("by 5 pm on it", "by 5 pm"),
            ("I'll have it on Tuesday at 10:30.", "on Tuesday at 10:30"),
            (
                "get the minutes up as soon as possible",
                "as soon as possible",
            ),
            ("within two weeks", "within two weeks"),
            ("we'll have it next week", "next week"),
            ("by EOD", "by EOD"),
            ("before the launch", "before the launch"),
        ] {
            assert_eq!(find(text).as_deref(), Some(due), "{text}");
        }
    }

    #[test]
    fn other_uses_of_by_and_in_are_none() {
        for text in [
            "by the way",
            "made by Anna",
            "in the morning light",
            "in the end",
            "may I",
            "on the table",
            "before we go",
            "this is the meeting",
            "",
            "因为明天",
            "the end of it",
            "in this design",
        ] {
            assert_eq!(find(text), None, "{text}");
        }
    }
}
