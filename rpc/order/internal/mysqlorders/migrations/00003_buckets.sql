-- Over how many hash slots of Redis the sale's stock is spread; fixed when the sale is created, so that
-- every rebuild looks for the sale's state where it was built.

-- +goose Up
ALTER TABLE sales ADD COLUMN buckets SMALLINT NOT NULL DEFAULT 1;

-- +goose Down
ALTER TABLE sales DROP COLUMN buckets;
