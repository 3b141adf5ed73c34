//! Every statement of the crate, so that one test can prepare them all on both engines.

use crate::Engine;

/// On which engines a statement runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// The same text on both.
    Both,
    /// One form of a pair.
    Only(Engine),
}

/// Declares named statements and the list of them. Of a pair that must differ, each form names
/// its engine: `NAME_SQLITE(sqlite) = …;` and `NAME_POSTGRES(postgres) = …;`.
macro_rules! statements {
    ($($(#[$meta:meta])* $name:ident $(($engine:ident))? = $sql:expr;)*) => {
        $($(#[$meta])* const $name: &str = $sql;)*
        /// Name, text and engine of each statement above.
        pub(crate) const STATEMENTS: &[(&str, &str, $crate::statements::On)] =
            &[$((stringify!($name), $name, $crate::statements::statements!(@on $($engine)?))),*];
    };
    (@on) => { $crate::statements::On::Both };
    (@on sqlite) => { $crate::statements::On::Only($crate::Engine::Sqlite) };
    (@on postgres) => { $crate::statements::On::Only($crate::Engine::Postgres) };
}
pub(crate) use statements;

/// A statement of one module: name, text, engine.
type Named = (&'static str, &'static str, On);

/// All statements: module, name, text, engine.
pub fn all() -> Vec<(&'static str, &'static str, &'static str, On)> {
    let parts: &[(&'static str, &[Named])] = &[
        ("account", crate::account::STATEMENTS),
        ("agents", crate::agents::STATEMENTS),
        ("audit", crate::audit::STATEMENTS),
        ("corrections", crate::corrections::STATEMENTS),
        ("erasure", crate::erasure::STATEMENTS),
        ("events", crate::events::STATEMENTS),
        ("idempotency", crate::idempotency::STATEMENTS),
        ("jobs", crate::jobs::STATEMENTS),
        ("keys", crate::keys::STATEMENTS),
        ("meetings", crate::meetings::STATEMENTS),
        ("memories", crate::memories::STATEMENTS),
        ("mentions", crate::mentions::STATEMENTS),
        ("messages", crate::messages::STATEMENTS),
        ("notes", crate::notes::STATEMENTS),
        ("one_time", crate::one_time::STATEMENTS),
        ("participants", crate::participants::STATEMENTS),
        ("rooms", crate::rooms::STATEMENTS),
        ("recordings", crate::recordings::STATEMENTS),
        ("runs", crate::runs::STATEMENTS),
        ("runs", crate::runs::QUERY_STATEMENTS),
        ("search", crate::search::STATEMENTS),
        ("segments", crate::segments::STATEMENTS),
        ("sessions", crate::sessions::STATEMENTS),
        ("users", crate::users::STATEMENTS),
        ("webhooks", crate::webhooks::STATEMENTS),
    ];
    parts
        .iter()
        .flat_map(|(part, list)| {
            list.iter()
                .map(move |(name, sql, on)| (*part, *name, *sql, *on))
        })
        .collect()
}
