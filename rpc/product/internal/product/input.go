package product

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/seckill-go/seckill/internal/errs"
	"golang.org/x/text/currency"
)

// The bounds of a product's fields: runes of text, bytes of URL, minor units of money.
const (
	maxTitle       = 120
	maxDescription = 4000
	maxImageURL    = 2048
	maxPrice       = 1_000_000_000_000
)

// checkTitle returns the title without the space around it.
func checkTitle(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", errs.Invalid("title", "must be UTF-8")
	}
	s = strings.TrimSpace(s)
	if n := utf8.RuneCountInString(s); n < 1 || n > maxTitle {
		return "", errs.Invalid("title", "must have 1 to %d characters", maxTitle)
	}
	if strings.ContainsFunc(s, unicode.IsControl) {
		return "", errs.Invalid("title", "must not hold control characters")
	}
	return s, nil
}

func checkDescription(s string) error {
	if !utf8.ValidString(s) {
		return errs.Invalid("description", "must be UTF-8")
	}
	if utf8.RuneCountInString(s) > maxDescription {
		return errs.Invalid("description", "must have at most %d characters", maxDescription)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && !strings.ContainsRune("\n\r\t", r) }) {
		return errs.Invalid("description", "must not hold control characters but line breaks and tabs")
	}
	return nil
}

func checkImageURL(s string) error {
	if s == "" {
		return nil
	}
	if len(s) > maxImageURL {
		return errs.Invalid("imageUrl", "must have at most %d bytes", maxImageURL)
	}
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || !utf8.ValidString(s) {
		return errs.Invalid("imageUrl", "must be empty or an absolute http or https URL")
	}
	return nil
}

func checkPrice(price int64) error {
	if price < 0 || price > maxPrice {
		return errs.Invalid("price", "must be from 0 to %d minor units", int64(maxPrice))
	}
	return nil
}

func checkCurrency(s string) error {
	shape := len(s) == 3
	for _, c := range []byte(s) {
		shape = shape && c >= 'A' && c <= 'Z'
	}
	if shape {
		if _, err := currency.ParseISO(s); err == nil {
			return nil
		}
	}
	return errs.Invalid("currency", "must be an ISO 4217 code such as EUR")
}

// check refuses fields outside their bounds and names the first; the title is returned trimmed.
func (f Fields) check() (Fields, error) {
	c, err := Changes{
		Title: &f.Title, Description: &f.Description, ImageURL: &f.ImageURL, Price: &f.Price, Currency: &f.Currency,
	}.check()
	if err != nil {
		return Fields{}, err
	}
	f.Title = *c.Title
	return f, nil
}

// check refuses set fields outside their bounds and names the first; the title is returned trimmed.
func (c Changes) check() (Changes, error) {
	if c.Title != nil {
		title, err := checkTitle(*c.Title)
		if err != nil {
			return Changes{}, err
		}
		c.Title = &title
	}
	if c.Description != nil {
		if err := checkDescription(*c.Description); err != nil {
			return Changes{}, err
		}
	}
	if c.ImageURL != nil {
		if err := checkImageURL(*c.ImageURL); err != nil {
			return Changes{}, err
		}
	}
	if c.Price != nil {
		if err := checkPrice(*c.Price); err != nil {
			return Changes{}, err
		}
	}
	if c.Currency != nil {
		if err := checkCurrency(*c.Currency); err != nil {
			return Changes{}, err
		}
	}
	return c, nil
}
