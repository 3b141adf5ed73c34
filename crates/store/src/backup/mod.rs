//! All rows out and in, in one form for both engines: what backups and moves between engines use.
//!
//! A row is a JSON array in the order of [`backup_columns`]: ids and texts as strings, times as
//! microseconds since 1970, bytes in hexadecimal, real numbers as strings so that no digit is lost.

mod tables;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use futures_util::TryStreamExt;
use meetmind_core::Timestamp;
use serde_json::value::RawValue;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use crate::db::{Db, execute, fetch_one, on_engine};
use crate::{Conn, Error, Result, Store};
use tables::{Kind, TABLES, Table};

/// Takes one row: the table's name and the row as a JSON array on one line.
pub type RowSink<'a> = dyn FnMut(&'static str, String) -> std::io::Result<()> + Send + 'a;

/// Rows per table.
pub type RowCounts = BTreeMap<String, u64>;

/// Every table of a backup with its columns, parents before children.
pub fn backup_columns() -> Vec<(&'static str, Vec<&'static str>)> {
    TABLES
        .iter()
        .map(|table| {
            (
                table.name,
                table.columns.iter().map(|(name, _)| *name).collect(),
            )
        })
        .collect()
}

/// Reads every table of one snapshot; expects the engine's own transaction.
macro_rules! dump_tables {
    ($tx:expr, $sink:expr, $counts:expr) => {
        for table in TABLES {
            let sql = format!(
                "SELECT {} FROM {} ORDER BY {}",
                table.column_names(),
                table.name,
                table.key.join(", ")
            );
            let mut rows = sqlx::query(AssertSqlSafe(sql)).fetch(&mut *$tx);
            let mut count = 0u64;
            while let Some(row) = rows.try_next().await? {
                let mut line = String::from("[");
                for (index, (_, kind)) in table.columns.iter().enumerate() {
                    if index > 0 {
                        line.push(',');
                    }
                    match kind {
                        Kind::Uuid => quoted(&mut line, row.try_get::<Option<Uuid>, _>(index)?),
                        Kind::Text => text(&mut line, row.try_get::<Option<String>, _>(index)?),
                        Kind::Int => plain(&mut line, row.try_get::<Option<i64>, _>(index)?),
                        Kind::Real => quoted(&mut line, row.try_get::<Option<f64>, _>(index)?),
                        Kind::Bool => plain(&mut line, row.try_get::<Option<bool>, _>(index)?),
                        Kind::Time => plain(
                            &mut line,
                            row.try_get::<Option<Timestamp>, _>(index)?
                                .map(Timestamp::micros),
                        ),
                        Kind::Bytes => bytes(&mut line, row.try_get::<Option<Vec<u8>>, _>(index)?),
                        Kind::Json => plain(
                            &mut line,
                            row.try_get::<Option<Json<Box<RawValue>>>, _>(index)?
                                // Line breaks between tokens say nothing; those in texts are escaped.
                                .map(|json| json.0.get().replace(['\n', '\r'], " ")),
                        ),
                    }
                }
                line.push(']');
                $sink(table.name, line).map_err(|error| Error::Setup(error.to_string()))?;
                count += 1;
            }
            $counts.insert(table.name.to_owned(), count);
        }
    };
}

impl Store {
    /// Hands every row of the database to `sink`, as one consistent snapshot while others write.
    /// Gives the number of rows per table.
    ///
    /// # Errors
    /// When the database cannot be read, or the sink fails.
    pub async fn dump(&self, sink: &mut RowSink<'_>) -> Result<RowCounts> {
        let mut counts = RowCounts::new();
        match &self.db {
            Db::Sqlite { read, .. } => {
                let mut tx = read.begin().await?;
                dump_tables!(tx, sink, counts);
            }
            Db::Postgres(pool) => {
                let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
                let mut tx = pool.begin_with(begin).await?;
                // A big table takes longer than a request may.
                sqlx::query("SET LOCAL statement_timeout = 0")
                    .execute(&mut *tx)
                    .await?;
                dump_tables!(tx, sink, counts);
            }
        }
        Ok(counts)
    }

    /// Begins to load rows into this empty, migrated database, in one transaction.
    ///
    /// # Errors
    /// [`Error::Setup`] when a table holds rows already.
    pub async fn load(&self) -> Result<Load> {
        let mut conn = self.begin().await?;
        for table in TABLES.iter().filter(|table| table.name != "instance") {
            let sql = format!(
                "SELECT COUNT(*) FROM (SELECT 1 FROM {} LIMIT 1) AS found",
                table.name
            );
            let (rows,): (i64,) = fetch_one!(conn, AssertSqlSafe(sql.as_str()))?;
            if rows > 0 {
                return Err(Error::Setup(format!(
                    "the database is not empty: {} has rows",
                    table.name
                )));
            }
        }
        execute!(conn, "DELETE FROM instance")?;
        Ok(Load {
            conn,
            counts: RowCounts::new(),
            links: Vec::new(),
            insert: None,
        })
    }

    /// What is damaged in the database file, as the engine reports it; empty when all is well.
    /// Postgres checks itself as it reads.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn damage(&self) -> Result<Vec<String>> {
        let Db::Sqlite { read, .. } = &self.db else {
            return Ok(Vec::new());
        };
        let mut faults: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check")
            .fetch_all(read)
            .await?;
        faults.retain(|fault| fault != "ok");
        let dangling = sqlx::query("PRAGMA foreign_key_check")
            .fetch_all(read)
            .await?;
        for row in dangling {
            let table: String = row.try_get(0)?;
            faults.push(format!("a row of {table} refers to one that is not there"));
        }
        Ok(faults)
    }
}

/// A load under way; dropped without [`Load::finish`], the database stays empty.
#[derive(Debug)]
pub struct Load {
    conn: Conn,
    counts: RowCounts,
    /// Table, own id, id of the row it refers to.
    links: Vec<(&'static Table, Uuid, Uuid)>,
    insert: Option<(&'static Table, String)>,
}

impl Load {
    /// Puts one row in; tables come in the order of the dump.
    ///
    /// # Errors
    /// [`Error::Setup`] for a row that is none of ours, else what the database says.
    pub async fn row(&mut self, table: &str, row: &str) -> Result<()> {
        let broken = |what: &str| Error::Setup(format!("a row of {table} {what}"));
        if self
            .insert
            .as_ref()
            .is_none_or(|(last, _)| last.name != table)
        {
            let table = Table::find(table).ok_or_else(|| broken("belongs to no table of ours"))?;
            self.insert = Some((table, insert_sql(table)));
        }
        let Some((shape, sql)) = &self.insert else {
            return Err(broken("has no table"));
        };
        let shape: &'static Table = shape;
        let cells: Vec<Option<&RawValue>> =
            serde_json::from_str(row).map_err(|_| broken("is not a JSON array"))?;
        if cells.len() != shape.columns.len() {
            return Err(broken("has another number of columns"));
        }
        let mut own_id = None;
        let mut values = Vec::with_capacity(cells.len());
        for ((name, kind), cell) in shape.columns.iter().zip(cells) {
            let cell = cell.filter(|cell| cell.get() != "null");
            let value = Value::parse(*kind, cell.map(RawValue::get))
                .ok_or_else(|| broken(&format!("has a wrong value in {name}")))?;
            if let (true, Value::Uuid(Some(id))) = (*name == "id", &value) {
                own_id = Some(*id);
            }
            match (shape.link == Some(*name), &value, own_id) {
                (true, Value::Uuid(Some(to)), Some(own)) => {
                    self.links.push((shape, own, *to));
                    values.push(Value::Uuid(None));
                }
                _ => values.push(value),
            }
        }
        on_engine!(self.conn, handle => {
            let mut query = sqlx::query(AssertSqlSafe(sql.as_str()));
            for value in values {
                query = match value {
                    Value::Uuid(value) => query.bind(value),
                    Value::Text(value) => query.bind(value),
                    Value::Int(value) => query.bind(value),
                    Value::Real(value) => query.bind(value),
                    Value::Bool(value) => query.bind(value),
                    Value::Time(value) => query.bind(value),
                    Value::Bytes(value) => query.bind(value),
                    Value::Json(value) => query.bind(value.map(Json)),
                };
            }
            query.execute(handle).await.map(drop)
        })?;
        *self.counts.entry(shape.name.to_owned()).or_default() += 1;
        Ok(())
    }

    /// Closes the circle of rows that refer to each other and makes it all last. Gives the number
    /// of rows per table.
    ///
    /// # Errors
    /// When a row refers to one that is not there.
    pub async fn finish(mut self) -> Result<RowCounts> {
        for (table, id, to) in &self.links {
            if let Some(column) = table.link {
                let sql = format!("UPDATE {} SET {column} = $1 WHERE id = $2", table.name);
                execute!(self.conn, AssertSqlSafe(sql.as_str()), *to, *id)?;
            }
        }
        self.conn.commit().await?;
        Ok(self.counts)
    }
}

fn insert_sql(table: &Table) -> String {
    let places: Vec<String> = (1..=table.columns.len())
        .map(|place| format!("${place}"))
        .collect();
    format!(
        "INSERT INTO {} ({}) VALUES ({})",
        table.name,
        table.column_names(),
        places.join(", ")
    )
}

/// One value on its way in.
enum Value {
    Uuid(Option<Uuid>),
    Text(Option<String>),
    Int(Option<i64>),
    Real(Option<f64>),
    Bool(Option<bool>),
    Time(Option<Timestamp>),
    Bytes(Option<Vec<u8>>),
    Json(Option<Box<RawValue>>),
}

impl Value {
    /// Reads the JSON of one cell; `None` when it is not of the kind.
    fn parse(kind: Kind, cell: Option<&str>) -> Option<Self> {
        /// An absent cell is a null; a present one must be read.
        fn each<T>(cell: Option<&str>, read: impl Fn(&str) -> Option<T>) -> Option<Option<T>> {
            match cell {
                None => Some(None),
                Some(cell) => read(cell).map(Some),
            }
        }
        let string = |cell: &str| serde_json::from_str::<String>(cell).ok();
        Some(match kind {
            Kind::Uuid => Value::Uuid(each(cell, |cell| string(cell)?.parse().ok())?),
            Kind::Text => Value::Text(each(cell, string)?),
            Kind::Int => Value::Int(each(cell, |cell| cell.parse().ok())?),
            Kind::Real => Value::Real(each(cell, |cell| string(cell)?.parse().ok())?),
            Kind::Bool => Value::Bool(each(cell, |cell| cell.parse().ok())?),
            Kind::Time => Value::Time(each(cell, |cell| {
                cell.parse().ok().map(Timestamp::from_micros)
            })?),
            Kind::Bytes => Value::Bytes(each(cell, |cell| unhex(&string(cell)?))?),
            Kind::Json => Value::Json(each(cell, |cell| {
                RawValue::from_string(cell.to_owned()).ok()
            })?),
        })
    }
}

fn plain(line: &mut String, value: Option<impl std::fmt::Display>) {
    match value {
        Some(value) => {
            let _ = write!(line, "{value}");
        }
        None => line.push_str("null"),
    }
}

/// For values whose text needs no escapes.
fn quoted(line: &mut String, value: Option<impl std::fmt::Display>) {
    plain(line, value.map(|value| format!("\"{value}\"")));
}

fn text(line: &mut String, value: Option<String>) {
    plain(line, value.map(serde_json::Value::String));
}

fn bytes(line: &mut String, value: Option<Vec<u8>>) {
    quoted(
        line,
        value.map(|bytes| {
            bytes.iter().fold(String::new(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            })
        }),
    );
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    // `from_str_radix` would take a sign.
    if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_of_the_wrong_kind_are_refused() {
        assert!(Value::parse(Kind::Int, Some("\"7\"")).is_none());
        assert!(Value::parse(Kind::Uuid, Some("\"seven\"")).is_none());
        assert!(Value::parse(Kind::Bytes, Some("\"0\"")).is_none());
        assert!(Value::parse(Kind::Bytes, Some("\"+1\"")).is_none());
        assert!(matches!(
            Value::parse(Kind::Int, None),
            Some(Value::Int(None))
        ));
    }

    #[test]
    fn a_real_number_keeps_every_digit() {
        for number in [0.1 + 0.2, f64::MIN_POSITIVE, 1.0 / 3.0, 1e300] {
            let mut line = String::new();
            quoted(&mut line, Some(number));
            let Some(Value::Real(Some(back))) = Value::parse(Kind::Real, Some(&line)) else {
                panic!("{line} is not read");
            };
            assert_eq!(back.to_bits(), number.to_bits());
        }
    }
}
