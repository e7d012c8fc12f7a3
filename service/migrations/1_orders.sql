-- For SQLite and PostgreSQL alike: plain types, and no key that the database makes.

CREATE TABLE orders (
    id TEXT NOT NULL PRIMARY KEY, -- a UUID of version 7, which grows from order to order
    idempotency_key TEXT NOT NULL UNIQUE,
    item TEXT NOT NULL,
    quantity BIGINT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('accepted', 'settled'))
);

-- What is to be done for an order: written together with it, removed together with the proof that it was done.
CREATE TABLE outbox (
    order_id TEXT NOT NULL PRIMARY KEY REFERENCES orders (id),
    holder TEXT NOT NULL DEFAULT '', -- the instance that has it in its hands
    held_until BIGINT NOT NULL DEFAULT 0 -- milliseconds of Unix time; after that anybody may take it
);

CREATE TABLE settlements (
    order_id TEXT NOT NULL PRIMARY KEY REFERENCES orders (id),
    settled_at BIGINT NOT NULL -- milliseconds of Unix time
);
