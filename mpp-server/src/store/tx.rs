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
    /// As `run`, for the last statements of a transaction, which may commit them at once.
    fn finish(&mut self, statements: &[Statement<'_>]) -> Result<Vec<Done>, StoreError> {
        self.run(statements)
    }
    /// Several statements in one text, without values.
    fn batch(&mut self, sql: &str) -> Result<(), StoreError>;
}

/// A transaction. What it did counts if the job returns `Ok` and no statement failed.
pub struct Tx<'c> {
    link: &'c mut dyn Link,
    failure: Option<StoreError>,
    finished: bool,
}

impl<'c> Tx<'c> {
    pub(super) fn new(link: &'c mut dyn Link) -> Self {
        Self { link, failure: None, finished: false }
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
        self.checked(statements, |link| link.run(statements))
    }

    /// As [`Self::run`], for the last statements of a job: where that saves a round trip, they are
    /// committed at once. The job must return `Ok` if they succeed; a further statement fails.
    ///
    /// # Errors
    /// As [`Self::run`], and those of a commit.
    pub fn finish(&mut self, statements: &[Statement<'_>]) -> Result<Vec<Done>, StoreError> {
        let done = self.checked(statements, |link| link.finish(statements));
        self.finished = true;
        done
    }

    fn checked(
        &mut self,
        statements: &[Statement<'_>],
        run: impl FnOnce(&mut dyn Link) -> Result<Vec<Done>, StoreError>,
    ) -> Result<Vec<Done>, StoreError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let done = if self.finished {
            Err(StoreError::Statement { code: "after the last one".to_owned() })
        } else {
            check_numbers(statements).and_then(|()| run(self.link))
        };
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

fn check_numbers(statements: &[Statement<'_>]) -> Result<(), StoreError> {
    statements.iter().flat_map(|statement| statement.values).try_for_each(|value| value.integer().map(drop))
}
