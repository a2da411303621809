//! What goes into a statement, and what comes out of a row: text, integers and nothing.

use super::StoreError;

/// A value for a placeholder.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    /// No value.
    Null,
    /// BIGINT.
    Int(i64),
    /// BIGINT; more than `i64::MAX` fails the statement with [`StoreError::Range`].
    Unsigned(u64),
    /// TEXT.
    Text(&'a str),
}

impl Value<'_> {
    /// As the columns know it.
    pub(super) fn integer(self) -> Result<Option<i64>, StoreError> {
        match self {
            Self::Int(number) => Ok(Some(number)),
            Self::Unsigned(number) => i64::try_from(number).map(Some).map_err(|_| StoreError::Range),
            Self::Null | Self::Text(_) => Ok(None),
        }
    }
}

impl std::fmt::Debug for Value<'_> {
    /// Values may be personal data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Value(..)")
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u64> for Value<'_> {
    fn from(number: u64) -> Self {
        Self::Unsigned(number)
    }
}

impl From<bool> for Value<'_> {
    fn from(flag: bool) -> Self {
        Self::Int(i64::from(flag))
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// What a column holds.
pub(super) enum Cell {
    Null,
    Int(i64),
    Text(String),
}

/// A row. Its columns are read in their order, each once.
pub struct Row {
    cells: std::vec::IntoIter<Cell>,
}

impl Row {
    pub(super) fn new(cells: Vec<Cell>) -> Self {
        Self { cells: cells.into_iter() }
    }

    /// The next column.
    ///
    /// # Errors
    /// [`StoreError::Column`] if it is not text; so for all getters.
    pub fn text(&mut self) -> Result<String, StoreError> {
        self.optional_text()?.ok_or(StoreError::Column { expected: "text" })
    }

    /// The next column: text, or nothing.
    ///
    /// # Errors
    /// [`StoreError::Column`] if it is a number.
    pub fn optional_text(&mut self) -> Result<Option<String>, StoreError> {
        match self.cells.next() {
            Some(Cell::Text(text)) => Ok(Some(text)),
            Some(Cell::Null) => Ok(None),
            Some(Cell::Int(_)) | None => Err(StoreError::Column { expected: "text" }),
        }
    }

    /// The next column: a number.
    ///
    /// # Errors
    /// [`StoreError::Column`] if it is none.
    pub fn int(&mut self) -> Result<i64, StoreError> {
        self.optional_int()?.ok_or(StoreError::Column { expected: "a number" })
    }

    /// The next column: a number, or nothing.
    ///
    /// # Errors
    /// [`StoreError::Column`] if it is text.
    pub fn optional_int(&mut self) -> Result<Option<i64>, StoreError> {
        match self.cells.next() {
            Some(Cell::Int(number)) => Ok(Some(number)),
            Some(Cell::Null) => Ok(None),
            Some(Cell::Text(_)) | None => Err(StoreError::Column { expected: "a number" }),
        }
    }

    /// The next column: a number from 0.
    ///
    /// # Errors
    /// [`StoreError::Column`] if it is none.
    pub fn unsigned(&mut self) -> Result<u64, StoreError> {
        self.optional_unsigned()?.ok_or(StoreError::Column { expected: "a number from 0" })
    }

    /// The next column: a number from 0, or nothing.
    ///
    /// # Errors
    /// [`StoreError::Column`] if it is below 0, or text.
    pub fn optional_unsigned(&mut self) -> Result<Option<u64>, StoreError> {
        let number = self.optional_int()?.map(u64::try_from).transpose();
        number.map_err(|_| StoreError::Column { expected: "a number from 0" })
    }

    /// The next column: 0 or 1.
    ///
    /// # Errors
    /// [`StoreError::Column`] if it is neither.
    pub fn flag(&mut self) -> Result<bool, StoreError> {
        match self.int()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(StoreError::Column { expected: "0 or 1" }),
        }
    }
}
