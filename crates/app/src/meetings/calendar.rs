//! A meeting as a calendar file (RFC 5545).

use meetmind_core::{Ctx, Meeting, MeetingAction, MeetingId, Result, Timestamp};

use super::access::meeting_access;
use crate::App;

/// The longest content line, in octets, without its line break (RFC 5545, 3.1).
const LINE_OCTETS: usize = 75;

impl App {
    /// A meeting as a calendar file with one event; all times in UTC.
    ///
    /// # Errors
    /// `NOT_FOUND` for who has no part in it.
    pub async fn meeting_ics(&self, ctx: &Ctx, id: MeetingId) -> Result<String> {
        let mut conn = self.store().read().await?;
        let access = meeting_access(&mut conn, ctx, id, MeetingAction::Read).await?;
        Ok(calendar(&access.meeting, &self.settings().public_url))
    }
}

fn calendar(meeting: &Meeting, public_url: &str) -> String {
    let host = url::Url::parse(public_url)
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned))
        .unwrap_or_else(|| "localhost".to_owned());
    let start = meeting
        .starts_at
        .or(meeting.started_at)
        .unwrap_or(meeting.created_at);
    let end = meeting.ends_at.or(meeting.ended_at);
    let mut lines = vec![
        "BEGIN:VCALENDAR".to_owned(),
        "VERSION:2.0".to_owned(),
        "PRODID:-//MeetMind//MeetMind//EN".to_owned(),
        "CALSCALE:GREGORIAN".to_owned(),
        "BEGIN:VEVENT".to_owned(),
        format!("UID:{}@{host}", meeting.id),
        format!("DTSTAMP:{}", utc(meeting.updated_at)),
        format!("CREATED:{}", utc(meeting.created_at)),
        format!("LAST-MODIFIED:{}", utc(meeting.updated_at)),
        format!("SEQUENCE:{}", meeting.version - 1),
        format!("DTSTART:{}", utc(start)),
    ];
    // An end that is not later than the start is left out: readers refuse such an event.
    if let Some(end) = end.filter(|end| end.seconds() > start.seconds()) {
        lines.push(format!("DTEND:{}", utc(end)));
    }
    lines.push(format!("SUMMARY:{}", escaped(&meeting.title)));
    if let Some(description) = &meeting.description {
        lines.push(format!("DESCRIPTION:{}", escaped(description)));
    }
    lines.push(format!("URL:{public_url}/app/meetings/{}", meeting.id));
    lines.push("END:VEVENT".to_owned());
    lines.push("END:VCALENDAR".to_owned());
    lines.iter().map(|line| folded(line)).collect()
}

/// A moment as `20260302T090000Z`.
fn utc(moment: Timestamp) -> String {
    let text = moment.to_string();
    let digits: String = text
        .split('.')
        .next()
        .unwrap_or_default()
        .chars()
        .filter(|letter| !matches!(letter, '-' | ':'))
        .collect();
    format!("{digits}Z")
}

/// Escapes a TEXT value; control characters that the format cannot hold are left out.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.replace("\r\n", "\n").chars() {
        match letter {
            '\\' | ';' | ',' => {
                out.push('\\');
                out.push(letter);
            }
            '\n' | '\r' => out.push_str("\\n"),
            '\t' => out.push('\t'),
            letter if letter.is_control() => {}
            letter => out.push(letter),
        }
    }
    out
}

/// Folds a content line at 75 octets, never within a character, and ends it with CRLF.
fn folded(line: &str) -> String {
    let mut out = String::with_capacity(line.len() + line.len() / 32 + 2);
    let mut octets = 0;
    for letter in line.chars() {
        if octets + letter.len_utf8() > LINE_OCTETS {
            out.push_str("\r\n ");
            octets = 1;
        }
        out.push(letter);
        octets += letter.len_utf8();
    }
    out.push_str("\r\n");
    out
}

#[cfg(test)]
mod tests {
    use meetmind_core::{
        ConsentPolicy, Id, MeetingAccess, MeetingStatus, MemoryMode, UserId, uuid_v7,
    };
    use proptest::prelude::*;

    use super::*;

    fn meeting(title: &str, description: &str) -> Meeting {
        let now = Timestamp::parse("2026-03-02T09:00:00Z").expect("a valid time");
        Meeting {
            id: MeetingId::from_uuid(uuid_v7(now, 1)),
            owner_id: UserId::from_uuid(uuid_v7(now, 2)),
            series_id: None,
            title: title.to_owned(),
            description: Some(description.to_owned()),
            status: MeetingStatus::Scheduled,
            starts_at: Timestamp::parse("2026-03-03T10:30:00.5+01:00").ok(),
            ends_at: Timestamp::parse("2026-03-03T11:00:00+01:00").ok(),
            time_zone: Some("Europe/Stockholm".to_owned()),
            started_at: None,
            ended_at: None,
            access: MeetingAccess::Invite,
            lobby: false,
            locked: false,
            consent_policy: ConsentPolicy::Ask,
            memory_mode: MemoryMode::Auto,
            memory_retention_days: None,
            glossary: Vec::new(),
            version: 3,
            created_at: now,
            updated_at: now,
            archived_at: None,
        }
    }

    /// What a reader makes of the file: lines unfolded, one property per line.
    fn unfolded(file: &str) -> Vec<String> {
        file.replace("\r\n ", "")
            .split_terminator("\r\n")
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn times_are_utc_and_text_is_escaped() {
        let meeting = meeting("Plan; cost, risk \\ \u{7}time", "one\r\ntwo\nBEGIN:VALARM");
        let lines = unfolded(&calendar(&meeting, "https://meet.example.com"));
        for expected in [
            format!("UID:{}@meet.example.com", meeting.id),
            "DTSTART:20260303T093000Z".to_owned(),
            "DTEND:20260303T100000Z".to_owned(),
            "SEQUENCE:2".to_owned(),
            "SUMMARY:Plan\\; cost\\, risk \\\\ time".to_owned(),
            "DESCRIPTION:one\\ntwo\\nBEGIN:VALARM".to_owned(),
        ] {
            assert!(lines.contains(&expected), "{expected} in {lines:#?}");
        }
        assert_eq!(lines.first().map(String::as_str), Some("BEGIN:VCALENDAR"));
        assert_eq!(lines.last().map(String::as_str), Some("END:VCALENDAR"));
    }

    #[test]
    fn a_meeting_without_plan_has_a_start_and_no_end() {
        let meeting = Meeting {
            starts_at: None,
            ends_at: None,
            ..meeting("x", "y")
        };
        let lines = unfolded(&calendar(&meeting, "http://127.0.0.1:8000"));
        assert!(lines.contains(&"DTSTART:20260302T090000Z".to_owned()));
        assert!(!lines.iter().any(|line| line.starts_with("DTEND")));
        assert!(lines.contains(&format!("UID:{}@127.0.0.1", meeting.id)));
    }

    proptest! {
        #[test]
        fn no_line_is_longer_than_75_octets_and_nothing_breaks_out(title in "\\PC{1,200}", description in "(?s).{0,400}") {
            let file = calendar(&meeting(&title, &description), "https://meet.example.com");
            for line in file.split_terminator("\r\n") {
                prop_assert!(line.len() <= LINE_OCTETS, "{} octets", line.len());
                prop_assert!(!line.contains(['\r', '\n']));
            }
            let lines = unfolded(&file);
            prop_assert_eq!(lines.iter().filter(|line| line.starts_with("END:")).count(), 2);
            prop_assert_eq!(lines.len(), 17);
        }
    }
}
