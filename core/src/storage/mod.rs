//! SQLite, migrations, sealing, rollback guard.
//!
//! Owns every byte on disk. May touch `host` (key store, entropy) and the plain types of other rooms.
