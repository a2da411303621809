-- Logins of the app. A token is stored as its SHA-256 in hex, a password as its Argon2id text.

CREATE TABLE passwords (
    customer_id TEXT NOT NULL PRIMARY KEY,
    password_hash TEXT NOT NULL
);

CREATE TABLE sessions (
    token_hash TEXT NOT NULL PRIMARY KEY,
    customer_id TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX sessions_by_end ON sessions (expires_at);

-- The app asks for a payment by this server's name for it.
CREATE INDEX payments_by_payment_id ON payments (payment_id) WHERE payment_id IS NOT NULL;
