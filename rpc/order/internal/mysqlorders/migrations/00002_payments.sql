-- +goose Up

-- A payment is open or captured at most once an order: order_key is the order while its payment is
-- created or captured, else NULL.
CREATE TABLE payments (
  id VARCHAR(64) NOT NULL PRIMARY KEY,
  order_id BIGINT NOT NULL,
  order_key BIGINT NULL,
  amount BIGINT NOT NULL,
  currency VARCHAR(3) NOT NULL,
  state VARCHAR(16) NOT NULL,
  created_at_ms BIGINT NOT NULL,
  updated_at_ms BIGINT NOT NULL,
  CONSTRAINT payments_one_open UNIQUE (order_key)
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;

CREATE INDEX payments_of_order ON payments (order_id);

-- What the provider reported, once an event.
CREATE TABLE payment_events (
  event_id VARCHAR(64) NOT NULL PRIMARY KEY,
  payment_id VARCHAR(64) NOT NULL,
  type VARCHAR(32) NOT NULL,
  created_at_ms BIGINT NOT NULL
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;

-- A capture whose order had ended; refunded_at_ms is 0 until the provider gave it back.
CREATE TABLE refunds (
  payment_id VARCHAR(64) NOT NULL PRIMARY KEY,
  order_id BIGINT NOT NULL,
  amount BIGINT NOT NULL,
  currency VARCHAR(3) NOT NULL,
  created_at_ms BIGINT NOT NULL,
  refunded_at_ms BIGINT NOT NULL
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;

CREATE INDEX refunds_due ON refunds (refunded_at_ms, created_at_ms);

-- +goose Down

DROP TABLE refunds;
DROP TABLE payment_events;
DROP TABLE payments;
