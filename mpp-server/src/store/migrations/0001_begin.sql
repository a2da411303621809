-- Times are milliseconds since 1970, UTC. Amounts are in the smallest unit of their currency.

CREATE TABLE users (
    customer_id TEXT NOT NULL PRIMARY KEY,
    status TEXT NOT NULL CHECK (status IN ('ACTIVE', 'FROZEN', 'CLOSED')),
    kyc BIGINT NOT NULL CHECK (kyc IN (0, 1)),
    currency TEXT NOT NULL,
    balance BIGINT NOT NULL CHECK (balance >= 0),
    limit_payment BIGINT CHECK (limit_payment >= 0),
    limit_day BIGINT CHECK (limit_day >= 0),
    limit_day_count BIGINT CHECK (limit_day_count >= 0),
    -- The first millisecond of the business day (UTC+8) that the next two columns count.
    day BIGINT NOT NULL,
    day_amount BIGINT NOT NULL CHECK (day_amount >= 0),
    day_count BIGINT NOT NULL CHECK (day_count >= 0),
    created_at BIGINT NOT NULL
);

-- One row is one whole entry: what is debited is credited. Rows are never changed.
CREATE TABLE journal (
    entry TEXT NOT NULL PRIMARY KEY,
    debit TEXT NOT NULL,
    credit TEXT NOT NULL CHECK (credit <> debit),
    currency TEXT NOT NULL,
    amount BIGINT NOT NULL CHECK (amount > 0),
    booked_at BIGINT NOT NULL
);

-- The two sides of each entry. Those of one entry, and so all, sum to zero.
CREATE VIEW postings AS
    SELECT entry, debit AS account, currency, -amount AS amount FROM journal
    UNION ALL
    SELECT entry, credit AS account, currency, amount FROM journal;

-- A payment that was cancelled before it came has an id, a caller, times and nothing else.
CREATE TABLE payments (
    payment_request_id TEXT NOT NULL PRIMARY KEY,
    acquirer_id TEXT NOT NULL,
    psp_id TEXT NOT NULL,
    status TEXT NOT NULL
        CHECK (status IN ('PROCESSING', 'SUCCESS', 'FAILED', 'CLOSED', 'PARTIALLY_REFUNDED', 'REFUNDED')),
    -- Why it failed or was closed.
    result_code TEXT,
    cancelled_at BIGINT,
    created_at BIGINT NOT NULL,
    -- When it was decided.
    payment_time BIGINT,
    key_parameters TEXT,
    payment_id TEXT,
    customer_id TEXT,
    currency TEXT,
    amount BIGINT CHECK (amount > 0),
    -- What the user pays, in the user's currency.
    charged_currency TEXT,
    charged BIGINT CHECK (charged > 0),
    quote_id TEXT,
    quote_pair TEXT,
    quote_price TEXT,
    reference TEXT,
    merchant_name TEXT,
    merchant_mcc TEXT,
    expires_at BIGINT,
    notify_url TEXT,
    -- Parts of `amount` and `charged`.
    refunded_amount BIGINT NOT NULL CHECK (refunded_amount >= 0),
    refunded_charged BIGINT NOT NULL CHECK (refunded_charged >= 0),
    refunds BIGINT NOT NULL CHECK (refunds >= 0),
    CHECK (refunded_amount <= amount),
    CHECK (refunded_charged <= charged)
);

CREATE INDEX payments_of_user ON payments (customer_id, created_at);
CREATE INDEX payments_by_reference ON payments (reference) WHERE reference IS NOT NULL;
CREATE INDEX payments_open ON payments (expires_at) WHERE status = 'PROCESSING';

-- `api` is 'refund' or 'adjustRefund': each has its own ids.
CREATE TABLE refunds (
    api TEXT NOT NULL CHECK (api IN ('refund', 'adjustRefund')),
    refund_request_id TEXT NOT NULL,
    acquirer_id TEXT NOT NULL,
    psp_id TEXT NOT NULL,
    key_parameters TEXT NOT NULL,
    result_code TEXT NOT NULL,
    refund_id TEXT,
    refund_time BIGINT NOT NULL,
    payment_request_id TEXT,
    customer_id TEXT,
    currency TEXT NOT NULL,
    amount BIGINT NOT NULL,
    credited_currency TEXT,
    credited BIGINT,
    PRIMARY KEY (api, refund_request_id)
);

CREATE INDEX refunds_of_payment ON refunds (payment_request_id, refund_time);
CREATE INDEX refunds_of_user ON refunds (customer_id, refund_time);

CREATE TABLE notices (
    payment_request_id TEXT NOT NULL PRIMARY KEY,
    status TEXT NOT NULL CHECK (status IN ('WAITING', 'ACKNOWLEDGED', 'STOPPED', 'GIVEN_UP')),
    created_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    -- Who sends it now, and until when nobody else may.
    lease TEXT,
    leased_until BIGINT NOT NULL
);

CREATE INDEX notices_due ON notices (due_at) WHERE status = 'WAITING';
