-- Every time is in milliseconds since the epoch, every amount in minor units of its currency.
-- What stands in /*! */ is read by MySQL and MariaDB alone: strings compare byte by byte, as they
-- do on SQLite.

-- +goose Up

-- Shared with other services where they use the same database.
CREATE TABLE IF NOT EXISTS counters (
  name VARCHAR(64) NOT NULL PRIMARY KEY,
  value BIGINT NOT NULL
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;

INSERT INTO counters (name, value)
SELECT 'sale', 0 FROM (SELECT 1 AS one) AS once
WHERE NOT EXISTS (SELECT 1 FROM counters WHERE name = 'sale');

CREATE TABLE sales (
  id BIGINT NOT NULL PRIMARY KEY,
  product_id BIGINT NOT NULL,
  title VARCHAR(512) NOT NULL,
  price BIGINT NOT NULL,
  currency VARCHAR(3) NOT NULL,
  stock BIGINT NOT NULL,
  sold BIGINT NOT NULL,
  per_user_limit BIGINT NOT NULL,
  starts_at_ms BIGINT NOT NULL,
  ends_at_ms BIGINT NOT NULL,
  payment_timeout_ms BIGINT NOT NULL,
  phase VARCHAR(16) NOT NULL,
  version BIGINT NOT NULL,
  generation BIGINT NOT NULL,
  floor_generation BIGINT NOT NULL,
  created_at_ms BIGINT NOT NULL,
  updated_at_ms BIGINT NOT NULL,
  -- Promise 1, whatever the code above the database does.
  CONSTRAINT sales_never_oversold CHECK (sold >= 0 AND sold <= stock)
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;

-- The id holds the sale in its upper bits, so that the primary key is a sale's orders in sequence.
-- active_user is the user while the order holds stock on a sale whose limit was 1 when it was
-- written, else NULL: no such user holds two orders. key_hash is NULL for rejected orders: the
-- key may have another order.
CREATE TABLE orders (
  id BIGINT NOT NULL PRIMARY KEY,
  sale_id BIGINT NOT NULL,
  product_id BIGINT NOT NULL,
  user_id BIGINT NOT NULL,
  quantity BIGINT NOT NULL,
  amount BIGINT NOT NULL,
  currency VARCHAR(3) NOT NULL,
  state VARCHAR(16) NOT NULL,
  key_hash CHAR(16) NULL,
  active_user BIGINT NULL,
  reason VARCHAR(64) NOT NULL,
  created_at_ms BIGINT NOT NULL,
  expires_at_ms BIGINT NOT NULL,
  updated_at_ms BIGINT NOT NULL,
  CONSTRAINT orders_one_active UNIQUE (sale_id, active_user),
  CONSTRAINT orders_one_key UNIQUE (user_id, sale_id, key_hash)
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;

CREATE INDEX orders_of_user ON orders (user_id, created_at_ms, id);
CREATE INDEX orders_due ON orders (state, expires_at_ms);
CREATE INDEX orders_of_sale ON orders (sale_id, state, quantity);

-- Units on their way from an ended order back to Redis; a row is deleted when that is settled.
CREATE TABLE unit_returns (
  order_id BIGINT NOT NULL PRIMARY KEY,
  sale_id BIGINT NOT NULL,
  user_id BIGINT NOT NULL,
  quantity BIGINT NOT NULL,
  floor_generation BIGINT NOT NULL,
  created_at_ms BIGINT NOT NULL
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;

CREATE INDEX unit_returns_by_age ON unit_returns (created_at_ms, order_id);
CREATE INDEX unit_returns_of_sale ON unit_returns (sale_id);

CREATE TABLE restocks (
  sale_id BIGINT NOT NULL,
  restock_id VARCHAR(128) NOT NULL,
  units BIGINT NOT NULL,
  created_at_ms BIGINT NOT NULL,
  PRIMARY KEY (sale_id, restock_id)
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;

-- +goose Down
DROP TABLE restocks;
DROP TABLE unit_returns;
DROP TABLE orders;
DROP TABLE sales;
DELETE FROM counters WHERE name = 'sale';
