// Package product is the domain of the catalogue: what a product must be like, and how the list is
// paged. Sales and stock are the order service's. It knows no driver; see Store.
package product
