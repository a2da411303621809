CREATE TABLE activation_journal (
    user INTEGER PRIMARY KEY REFERENCES user (id),
    -- sealed
    entry BLOB NOT NULL
) STRICT;
CREATE TABLE counter (
    reference TEXT PRIMARY KEY,
    highest_burnt_atc INTEGER NOT NULL CHECK (highest_burnt_atc BETWEEN 0 AND 65535),
    spent INTEGER NOT NULL CHECK (spent > 0)
) STRICT, WITHOUT ROWID;
CREATE TABLE credential (
    user INTEGER NOT NULL REFERENCES token (user),
    atc INTEGER NOT NULL CHECK (atc BETWEEN 0 AND 65535),
    expires_at_ms INTEGER NOT NULL,
    -- sealed
    session_key BLOB NOT NULL,
    PRIMARY KEY (user, atc)
) STRICT, WITHOUT ROWID;
CREATE TABLE history (
    user INTEGER NOT NULL REFERENCES user (id),
    number INTEGER NOT NULL CHECK (number > 0),
    -- sealed
    entry BLOB NOT NULL,
    PRIMARY KEY (user, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE message (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE replenish_request (
    user INTEGER PRIMARY KEY REFERENCES user (id),
    request_id BLOB NOT NULL CHECK (length(request_id) = 16),
    count INTEGER NOT NULL CHECK (count BETWEEN 0 AND 4294967295)
) STRICT;
CREATE TABLE setting (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE store (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    instance BLOB NOT NULL CHECK (length(instance) = 16),
    -- Drawn anew whenever the store starts over, so that older copies never match again.
    epoch BLOB NOT NULL CHECK (length(epoch) = 8),
    -- One more with each guarded commit. 0: never anchored, holds nothing payable.
    generation INTEGER NOT NULL CHECK (generation >= 0),
    -- Sum of counter.spent: shows pages that come from different times.
    spent INTEGER NOT NULL CHECK (spent >= 0),
    wrapped_key BLOB,
    -- sealed: proves that the host unwrapped the right key
    key_check BLOB,
    key_lost INTEGER NOT NULL CHECK (key_lost IN (0, 1)),
    connected INTEGER REFERENCES user (id)
) STRICT;
CREATE TABLE token (
    user INTEGER PRIMARY KEY REFERENCES user (id),
    reference TEXT NOT NULL UNIQUE,
    phase INTEGER NOT NULL CHECK (phase BETWEEN 1 AND 4),
    -- Bits: 1 user, 2 issuer, 4 scheme.
    suspended_by INTEGER NOT NULL CHECK (suspended_by BETWEEN 0 AND 7),
    pending_kind INTEGER CHECK (pending_kind BETWEEN 1 AND 3),
    pending_request BLOB CHECK (length(pending_request) = 16),
    -- sealed
    profile BLOB NOT NULL,
    CHECK ((pending_kind IS NULL) = (pending_request IS NULL))
) STRICT;
CREATE TABLE usage (
    reference TEXT NOT NULL,
    atc INTEGER NOT NULL CHECK (atc BETWEEN 0 AND 65535),
    user INTEGER NOT NULL REFERENCES user (id),
    -- 1 used, 2 discarded
    outcome INTEGER NOT NULL CHECK (outcome IN (1, 2)),
    PRIMARY KEY (reference, atc)
) STRICT, WITHOUT ROWID;
CREATE TABLE user (
    id INTEGER PRIMARY KEY,
    -- HMAC-SHA256(instance, user id): finds the row again after the key was lost.
    tag BLOB NOT NULL UNIQUE CHECK (length(tag) = 32),
    -- sealed; NULL until the user connects with a working key
    name BLOB
) STRICT;
