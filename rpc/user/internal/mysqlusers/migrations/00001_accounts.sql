-- Every statement runs on MySQL, MariaDB and SQLite. Times are milliseconds since the Unix epoch.

-- +goose Up

-- Services that share a database share this table; each has rows of its own.
CREATE TABLE IF NOT EXISTS counters (
    name  VARCHAR(64) NOT NULL PRIMARY KEY,
    value BIGINT      NOT NULL
);

CREATE TABLE IF NOT EXISTS users (
    id            BIGINT       NOT NULL PRIMARY KEY,
    username      VARCHAR(32)  NOT NULL UNIQUE,
    password_hash VARCHAR(255) NOT NULL,
    role          VARCHAR(16)  NOT NULL,
    created_at_ms BIGINT       NOT NULL
);

-- digest is the SHA-256 of the token, in hexadecimal; family that of the family's first token;
-- rotated_at_ms is 0 while the token is live. The unique keys are plain indexes: this is the form
-- that every dialect takes inside CREATE TABLE, so that the table never exists without them.
CREATE TABLE IF NOT EXISTS refresh_tokens (
    digest        CHAR(64) NOT NULL PRIMARY KEY,
    family        CHAR(64) NOT NULL,
    user_id       BIGINT   NOT NULL,
    issued_at_ms  BIGINT   NOT NULL,
    expires_at_ms BIGINT   NOT NULL,
    rotated_at_ms BIGINT   NOT NULL,
    UNIQUE (family, digest),
    UNIQUE (user_id, digest),
    UNIQUE (expires_at_ms, digest)
);

-- Last, so that a migration that was cut off can run again.
INSERT INTO counters (name, value) VALUES ('users', 0);

-- +goose Down
DROP TABLE refresh_tokens;
DROP TABLE users;
DELETE FROM counters WHERE name = 'users';
