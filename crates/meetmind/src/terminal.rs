//! Printing for people: width, colour, wrapped lines.

use std::io::IsTerminal as _;

use crate::config::Sources;

/// How standard output is to be written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal {
    colour: bool,
    width: usize,
}

/// What a piece of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Strong,
    Quiet,
    Accent,
}

impl Terminal {
    /// Colours only on a terminal and without `NO_COLOR`; lines as wide as it is, 100 at most, so
    /// that they stay readable.
    pub(crate) fn of_stdout(sources: &Sources) -> Self {
        let stdout = std::io::stdout();
        let is_terminal = stdout.is_terminal();
        let columns = rustix::termios::tcgetwinsize(&stdout)
            .ok()
            .map(|size| usize::from(size.ws_col))
            .filter(|columns| *columns > 0);
        Self {
            colour: is_terminal && wants_colour(sources),
            width: columns.unwrap_or(100).clamp(40, 100),
        }
    }

    /// The text in a tone.
    pub(crate) fn toned(self, tone: Tone, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Strong => "1",
            Tone::Quiet => "2",
            Tone::Accent => "36",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    /// Prints text behind a head, wrapped, the lines after the first under the text.
    pub(crate) fn item(self, head: &str, tone: Tone, text: &str) {
        let indent = head.chars().count();
        let lines = wrapped(text, self.width.saturating_sub(indent).max(20));
        for (number, line) in lines.iter().enumerate() {
            if number == 0 {
                println!("{}{line}", self.toned(tone, head));
            } else {
                println!("{:indent$}{line}", "");
            }
        }
    }

    /// Prints a heading with an empty line above.
    pub(crate) fn heading(self, text: &str) {
        println!("\n{}", self.toned(Tone::Strong, text));
    }
}

/// Whether the environment leaves colours on.
pub(crate) fn wants_colour(sources: &Sources) -> bool {
    sources.variable("NO_COLOR").is_none() && sources.variable("TERM") != Some("dumb")
}

/// Milliseconds as `m:ss`, from an hour on `h:mm:ss`.
pub(crate) fn clock(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

/// Lines of at most `width` characters, broken between words; a longer word stands alone. Control
/// characters are left out: words of meetings must not steer the terminal.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let word: String = word.chars().filter(|letter| !letter.is_control()).collect();
        let last = lines.len() - 1;
        let used = lines[last].chars().count();
        if used > 0 && used + 1 + word.chars().count() > width {
            lines.push(word);
        } else {
            if used > 0 {
                lines[last].push(' ');
            }
            lines[last].push_str(&word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{clock, wrapped};

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("longerthanwide x", 5), ["longerthanwide", "x"]);
        assert_eq!(wrapped("", 5), [""]);
        assert_eq!(wrapped("a\u{1b}[31mb", 20), ["a[31mb"]);
    }

    #[test]
    fn times_read_as_people_say_them() {
        assert_eq!(
            (clock(0), clock(64_999), clock(3_725_000)),
            ("0:00".into(), "1:04".into(), "1:02:05".into())
        );
    }
}
