//! A transaction, as the other rooms see it.

use super::StoreError;
use super::value::{Row, Value};

/// A statement and its values, `$1` first. `FOR UPDATE` may end it: PostgreSQL then keeps the rows for
/// this transaction, and SQLite, which has one writer at a time, is not told.
#[derive(Debug, Clone, Copy)]
pub struct Statement<'a> {
    pub(super) sql: &'static str,
    pub(super) values: &'a [Value<'a>],
}

impl<'a> Statement<'a> {
    /// `sql` with `values`.
    #[must_use]
    pub fn new(sql: &'static str, values: &'a [Value<'a>]) -> Self {
        Self { sql, values }
    }
}

/// What a statement did.
pub struct Done {
    /// The rows of a query, or of `RETURNING`.
    pub rows: Vec<Row>,
    /// How many rows were written.
    pub changed: u64,
}

/// A connection that is inside of a transaction.
pub(super) trait Link {
    fn run(&mut self, statements: &[Statement<'_>]) -> Result<Vec<Done>, StoreError>;
    /// Several statements in one text, without values.
    fn batch(&mut self, sql: &str) -> Result<(), StoreError>;
}

/// A transaction. What it did counts if the job returns `Ok` and no statement failed.
pub struct Tx<'c> {
    link: &'c mut dyn Link,
    failure: Option<StoreError>,
}

impl<'c> Tx<'c> {
    pub(super) fn new(link: &'c mut dyn Link) -> Self {
        Self { link, failure: None }
    }

    /// The first statement that failed. It decides, whatever the job made of it.
    pub(super) fn into_failure(self) -> Option<StoreError> {
        self.failure
    }

    /// Runs all statements in their order, in one round trip to the database.
    ///
    /// # Errors
    /// The first failure. The transaction is lost then.
    pub fn run(&mut self, statements: &[Statement<'_>]) -> Result<Vec<Done>, StoreError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let done = self.link.run(statements);
        if let Err(error) = &done {
            self.failure = Some(error.clone());
        }
        done
    }

    /// How many rows `sql` wrote.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<u64, StoreError> {
        Ok(self.one(sql, values)?.changed)
    }

    /// The first row.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn query_one(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Option<Row>, StoreError> {
        Ok(self.one(sql, values)?.rows.into_iter().next())
    }

    /// All rows.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn query_all(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        Ok(self.one(sql, values)?.rows)
    }

    fn one(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Done, StoreError> {
        let done = self.run(&[Statement::new(sql, values)])?;
        done.into_iter().next().ok_or(StoreError::Column { expected: "there" })
    }
}
