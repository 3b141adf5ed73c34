//! Progress bars for long work, on a terminal only.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over `total` steps on standard error; nothing when `wanted` is false or nobody watches.
pub(crate) fn bar(wanted: bool, total: Option<u64>, what: &str) -> ProgressBar {
    if !wanted {
        return ProgressBar::hidden();
    }
    let (bar, template) = match total {
        Some(total) => (
            ProgressBar::new(total),
            "{msg:<14} {bar:30} {human_pos} of {human_len}, {eta} left",
        ),
        None => (
            ProgressBar::new_spinner(),
            "{msg:<14} {human_pos}, {elapsed}",
        ),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar
}
