package product_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/rpc/product/internal/product"
	"github.com/seckill-go/seckill/rpc/product/internal/product/producttest"
	"pgregory.net/rapid"
)

var lamp = product.Fields{
	Title: "Lamp", Description: "It glows.\nBrightly.", ImageURL: "https://shop.example/lamp.jpg", Price: 4999, Currency: "EUR",
}

type world struct {
	*product.Service
	store *producttest.Memory
	now   time.Time
}

func newWorld() *world {
	w := &world{store: &producttest.Memory{}, now: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)}
	s, err := product.New(w.store, func() time.Time { return w.now })
	if err != nil {
		panic(err)
	}
	w.Service = s
	return w
}

func wantCode(t testing.TB, err error, code errs.Code, field string) {
	t.Helper()
	if e := errs.From(err); err == nil || e.Code != code || e.Field != field {
		t.Errorf("error %v; want %s (%s)", err, code, field)
	}
}

func TestNewRefusesGaps(t *testing.T) {
	if _, err := product.New(nil, time.Now); err == nil {
		t.Error("a service without a store")
	}
	if _, err := product.New(&producttest.Memory{}, nil); err == nil {
		t.Error("a service without a clock")
	}
}

func TestCreate(t *testing.T) {
	w := newWorld()
	f := lamp
	f.Title = "\u00a0 Lamp\n"
	p, err := w.Create(t.Context(), f)
	if err != nil || p != (product.Product{ID: 1, Fields: lamp, CreatedAt: w.now, UpdatedAt: w.now}) {
		t.Fatalf("Create = %+v, %v", p, err)
	}
	if got, err := w.Product(t.Context(), 1); err != nil || got != p {
		t.Errorf("Product = %+v, %v", got, err)
	}
	_, err = w.Product(t.Context(), 2)
	wantCode(t, err, errs.NotFound, "")
}

// bounds are inputs on both sides of each rule, by the JSON name of their field.
var bounds = []struct {
	field     string
	good, bad []any
}{
	{"title",
		[]any{"x", strings.Repeat("ä", 120), " " + strings.Repeat("🪔", 120) + " "},
		[]any{"", " \t\n", strings.Repeat("x", 121), "a\nb", "a\x00b", "a\u0085b", "\xff"}},
	{"description",
		[]any{"", "line\r\n\tline", strings.Repeat("灯", 4000)},
		[]any{strings.Repeat("x", 4001), "a\x00b", "\x1b[31m", "\xff"}},
	{"imageUrl",
		[]any{"", "http://a", "HTTPS://shop.example:8443/a?b=c#d", "https://[::1]/x", "https://a/" + strings.Repeat("x", 2038)},
		[]any{"a.jpg", "/a.jpg", "//shop.example/a.jpg", "ftp://a/b", "javascript:alert(1)", "data:image/png;base64,AA==",
			"https://", "https:///a.jpg", "https://:80/a", "http:a", "https://a/\n", "https://a b/", "https://a/\xff", "%", "https://a/" + strings.Repeat("x", 2039)}},
	{"price", []any{int64(0), int64(1_000_000_000_000)}, []any{int64(-1), int64(1_000_000_000_001)}},
	{"currency", []any{"EUR", "JPY", "CNY"}, []any{"", "eur", "Eur", "EU", "EURO", "QQQ", "E1R", "ЕUR"}},
}

// input makes of one value a creation and a change of that field.
func input(field string, v any) (product.Fields, product.Changes) {
	f, c := lamp, product.Changes{}
	switch v := v.(type) {
	case int64:
		f.Price, c.Price = v, &v
	case string:
		switch field {
		case "title":
			f.Title, c.Title = v, &v
		case "description":
			f.Description, c.Description = v, &v
		case "imageUrl":
			f.ImageURL, c.ImageURL = v, &v
		case "currency":
			f.Currency, c.Currency = v, &v
		}
	}
	return f, c
}

func TestBounds(t *testing.T) {
	w := newWorld()
	if _, err := w.Create(t.Context(), lamp); err != nil {
		t.Fatal(err)
	}
	for _, b := range bounds {
		for _, v := range b.good {
			f, c := input(b.field, v)
			if _, err := w.Create(t.Context(), f); err != nil {
				t.Errorf("create with %s %.40q: %v", b.field, v, err)
			}
			if _, err := w.Update(t.Context(), 1, c); err != nil {
				t.Errorf("update to %s %.40q: %v", b.field, v, err)
			}
		}
		for _, v := range b.bad {
			f, c := input(b.field, v)
			_, err := w.Create(t.Context(), f)
			wantCode(t, err, errs.InvalidRequest, b.field)
			before, _ := w.Product(t.Context(), 1)
			_, err = w.Update(t.Context(), 1, c)
			wantCode(t, err, errs.InvalidRequest, b.field)
			if after, _ := w.Product(t.Context(), 1); after != before {
				t.Errorf("a refused update to %s %.40q left %+v", b.field, v, after)
			}
		}
	}
}

func TestUpdate(t *testing.T) {
	w := newWorld()
	p, err := w.Create(t.Context(), lamp)
	if err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(time.Hour)
	title := "  Lantern "
	p.Title, p.UpdatedAt = "Lantern", w.now
	if got, err := w.Update(t.Context(), 1, product.Changes{Title: &title}); err != nil || got != p {
		t.Errorf("Update = %+v, %v; want %+v", got, err, p)
	}
	if title != "  Lantern " {
		t.Error("the caller's string was changed")
	}
	_, err = w.Update(t.Context(), 1, product.Changes{})
	wantCode(t, err, errs.InvalidRequest, "")
	_, err = w.Update(t.Context(), 9, product.Changes{Title: &title})
	wantCode(t, err, errs.NotFound, "")
}

func TestFailuresAreReturned(t *testing.T) {
	w := newWorld()
	w.store.Err = errors.New("broken")
	title := "x"
	for name, call := range map[string]func() error{
		"Create":  func() error { _, err := w.Create(t.Context(), lamp); return err },
		"Update":  func() error { _, err := w.Update(t.Context(), 1, product.Changes{Title: &title}); return err },
		"Product": func() error { _, err := w.Product(t.Context(), 1); return err },
		"List":    func() error { _, err := w.List(t.Context(), "", 0); return err },
		"Ping":    func() error { return w.Ping(t.Context()) },
	} {
		if err := call(); !errors.Is(err, w.store.Err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestListRefuses(t *testing.T) {
	w := newWorld()
	for _, limit := range []int64{-1, 101, 1 << 40} {
		_, err := w.List(t.Context(), "", limit)
		wantCode(t, err, errs.InvalidRequest, "limit")
	}
	for _, cursor := range []string{"x", "1", "cA", strings.Repeat("A", 12), strings.Repeat("A", 4000), "\xff"} {
		_, err := w.List(t.Context(), cursor, 0)
		wantCode(t, err, errs.InvalidRequest, "cursor")
	}
}

func TestListDefault(t *testing.T) {
	w := newWorld()
	if page, err := w.List(t.Context(), "", 0); err != nil || len(page.Items) != 0 || page.NextCursor != "" {
		t.Errorf("an empty list: %+v, %v", page, err)
	}
	for range 21 {
		if _, err := w.Create(t.Context(), lamp); err != nil {
			t.Fatal(err)
		}
	}
	page, err := w.List(t.Context(), "", 0)
	if err != nil || len(page.Items) != 20 || page.Items[0].ID != 21 || page.NextCursor == "" {
		t.Errorf("%d items, cursor %q, %v", len(page.Items), page.NextCursor, err)
	}
}

// TestPages follows the cursors: every product that was there at the first page comes once, newest
// first, whatever is made meanwhile.
func TestPages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		count := rapid.IntRange(0, 12).Draw(t, "count")
		for range count {
			if _, err := w.Create(context.Background(), lamp); err != nil {
				t.Fatal(err)
			}
		}
		limit := rapid.IntRange(1, 5).Draw(t, "limit")
		var seen []int64
		for cursor, first := "", true; first || cursor != ""; first = false {
			page, err := w.List(context.Background(), cursor, int64(limit))
			if err != nil {
				t.Fatal(err)
			}
			if len(page.Items) > limit || (page.NextCursor != "" && len(page.Items) < limit) {
				t.Fatalf("a page of %d with limit %d", len(page.Items), limit)
			}
			for _, p := range page.Items {
				seen = append(seen, p.ID)
			}
			if cursor = page.NextCursor; cursor != "" {
				if _, err := w.Create(context.Background(), lamp); err != nil {
					t.Fatal(err)
				}
			}
		}
		var want []int64
		for id := int64(count); id > 0; id-- {
			want = append(want, id)
		}
		if !slices.Equal(seen, want) {
			t.Fatalf("seen %v, want %v", seen, want)
		}
	})
}
