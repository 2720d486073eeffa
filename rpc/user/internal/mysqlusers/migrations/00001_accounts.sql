-- Every statement runs on MySQL, MariaDB and SQLite. Times are milliseconds since the Unix epoch.
-- /*! … */ is read by MySQL and MariaDB alone.

-- +goose Up

-- Services that share a database share this table; each has rows of its own.
CREATE TABLE IF NOT EXISTS counters (
    name  VARCHAR(64) NOT NULL PRIMARY KEY,
    value BIGINT      NOT NULL
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;

CREATE TABLE IF NOT EXISTS users (
    id            BIGINT       NOT NULL PRIMARY KEY,
    username      VARCHAR(32)  NOT NULL UNIQUE,
    password_hash VARCHAR(255) NOT NULL,
    role          VARCHAR(16)  NOT NULL,
    created_at_ms BIGINT       NOT NULL
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;

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
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;

-- Like the tables, not made twice: a migration that was cut off runs again.
INSERT INTO counters (name, value)
SELECT 'users', 0 FROM (SELECT 1 AS one) AS once
WHERE NOT EXISTS (SELECT 1 FROM counters WHERE name = 'users');

-- +goose Down
DROP TABLE refresh_tokens;
DROP TABLE users;
DELETE FROM counters WHERE name = 'users';
