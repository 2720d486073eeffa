package product

import "time"

// Fields are what an admin says about a product.
type Fields struct {
	Title       string
	Description string
	// ImageURL is an absolute http or https URL, or "".
	ImageURL string
	// Price is the list price, in minor units of Currency; a sale has a price of its own.
	Price int64
	// Currency is an ISO 4217 code.
	Currency string
}

// Product is a product of the catalogue.
type Product struct {
	ID int64
	Fields
	CreatedAt, UpdatedAt time.Time
}

// Changes are the fields to be changed; nil leaves one as it is.
type Changes struct {
	Title       *string
	Description *string
	ImageURL    *string
	Price       *int64
	Currency    *string
}

// Page is a page of the list, newest first.
type Page struct {
	Items []Product
	// NextCursor asks for the next page; "" on the last.
	NextCursor string
}
