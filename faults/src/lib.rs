//! A disk under SQLite that loses power, tears writes, fills up and fails when it is told to.
//!
//! [`Disk::install`] makes itself SQLite's default virtual file system, so that every database of the
//! process, also one that is opened deep inside a library, lies on it. Its files are real files: what
//! a program reads is what it wrote. Beside them the disk remembers which bytes were synced, and when
//! the power is cut it leaves of the others what a real disk might: nothing, all, some, halves of
//! some.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use nfcwallet_faults::Disk;
//!
//! let disk = Disk::install()?;
//! let directory = tempfile::tempdir()?;
//! let folder = disk.folder(directory.path());
//! let path = directory.path().join("a.db");
//! let database = rusqlite::Connection::open(&path)?;
//! database.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1);")?;
//!
//! folder.cut_power_at(3, 7); // at the third operation from now; seed 7 decides what is lost
//! assert!(database.execute_batch("INSERT INTO t VALUES (2);").is_err());
//! drop(database);
//!
//! folder.restore_power();
//! let database = rusqlite::Connection::open(&path)?;
//! let rows: i64 = database.query_row("SELECT count(*) FROM t", [], |row| row.get(0))?;
//! assert_eq!(rows, 1);
//! # Ok(())
//! # }
//! ```

mod disk;
mod model;
mod vfs;

pub use disk::{Counts, Disk, Fault, FaultKind, Folder, InstallError};
