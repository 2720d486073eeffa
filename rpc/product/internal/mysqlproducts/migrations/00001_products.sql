-- Every statement runs on MySQL, MariaDB and SQLite. Times are milliseconds since the Unix epoch.
-- /*! … */ is read by MySQL and MariaDB alone.

-- +goose Up

-- Services that share a database share this table; each has rows of its own.
CREATE TABLE IF NOT EXISTS counters (
    name  VARCHAR(64) NOT NULL PRIMARY KEY,
    value BIGINT      NOT NULL
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;

-- price is in minor units of the currency (ISO 4217).
CREATE TABLE IF NOT EXISTS products (
    id            BIGINT        NOT NULL PRIMARY KEY,
    title         VARCHAR(120)  NOT NULL,
    description   TEXT          NOT NULL,
    image_url     VARCHAR(2048) NOT NULL,
    price         BIGINT        NOT NULL,
    currency      CHAR(3)       NOT NULL,
    created_at_ms BIGINT        NOT NULL,
    updated_at_ms BIGINT        NOT NULL
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;

-- Like the tables, not made twice: a migration that was cut off runs again.
INSERT INTO counters (name, value)
SELECT 'products', 0 FROM (SELECT 1 AS one) AS once
WHERE NOT EXISTS (SELECT 1 FROM counters WHERE name = 'products');

-- +goose Down
DROP TABLE products;
DELETE FROM counters WHERE name = 'products';
