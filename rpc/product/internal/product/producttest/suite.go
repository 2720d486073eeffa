package producttest

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seckill-go/seckill/rpc/product/internal/product"
	"pgregory.net/rapid"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, int(678*time.Millisecond), time.UTC)

var lamp = product.Fields{
	Title: "Lamp", Description: "It glows.", ImageURL: "https://shop.example/lamp.jpg", Price: 4999, Currency: "EUR",
}

// Run runs the tests that every product.Store must pass on a store that is empty and stays the
// test's.
func Run(t *testing.T, store product.Store) {
	s := suite{store: store}
	t.Run("create and read", s.create)
	t.Run("update", s.update)
	t.Run("largest values", s.largest)
	t.Run("many at once", s.parallel)
	t.Run("list", s.list)
	t.Run("model", s.model)
	t.Run("a caller that is gone", s.cancelled)
}

type suite struct{ store product.Store }

func (s suite) add(t *testing.T, f product.Fields) product.Product {
	t.Helper()
	p, err := s.store.Create(t.Context(), f, epoch)
	if err != nil {
		t.Fatalf("Create: %v", err)
	}
	return p
}

func (s suite) create(t *testing.T) {
	p := s.add(t, lamp)
	if want := (product.Product{ID: p.ID, Fields: lamp, CreatedAt: epoch, UpdatedAt: epoch}); p != want || p.ID < 1 {
		t.Fatalf("Create = %+v", p)
	}
	if got, err := s.store.Product(t.Context(), p.ID); err != nil || got != p {
		t.Errorf("Product = %+v, %v; want %+v", got, err, p)
	}
	if next := s.add(t, lamp); next.ID <= p.ID {
		t.Errorf("id %d came after %d", next.ID, p.ID)
	}
	for _, id := range []int64{0, -1, math.MaxInt64} {
		if _, err := s.store.Product(t.Context(), id); !errors.Is(err, product.ErrNoProduct) {
			t.Errorf("Product(%d): %v", id, err)
		}
	}
	if err := s.store.Ping(t.Context()); err != nil {
		t.Errorf("Ping: %v", err)
	}
}

func (s suite) update(t *testing.T) {
	p, bystander := s.add(t, lamp), s.add(t, lamp)
	empty, title, zero, later := "", "Lantern", int64(0), epoch.Add(time.Hour)
	for _, c := range []struct {
		change product.Changes
		apply  func(*product.Product)
	}{
		{product.Changes{Title: &title}, func(p *product.Product) { p.Title = title }},
		{product.Changes{Title: &title}, func(*product.Product) {}}, // no row changes, and it is still found
		{product.Changes{Description: &empty, ImageURL: &empty}, func(p *product.Product) { p.Description, p.ImageURL = "", "" }},
		{product.Changes{Price: &zero}, func(p *product.Product) { p.Price = 0 }},
	} {
		c.apply(&p)
		p.UpdatedAt = later
		if got, err := s.store.Update(t.Context(), p.ID, c.change, later); err != nil || got != p {
			t.Errorf("Update = %+v, %v; want %+v", got, err, p)
		}
		if got, err := s.store.Product(t.Context(), p.ID); err != nil || got != p {
			t.Errorf("after Update: %+v, %v; want %+v", got, err, p)
		}
	}
	if got, err := s.store.Product(t.Context(), bystander.ID); err != nil || got != bystander {
		t.Errorf("the other product: %+v, %v; want %+v", got, err, bystander)
	}
	if _, err := s.store.Update(t.Context(), math.MaxInt64, product.Changes{Title: &title}, later); !errors.Is(err, product.ErrNoProduct) {
		t.Errorf("Update of none: %v", err)
	}
}

func (s suite) largest(t *testing.T) {
	f := product.Fields{
		Title: strings.Repeat("🪔", 120), Description: strings.Repeat("灯", 3999) + "\n",
		ImageURL: "https://shop.example/" + strings.Repeat("x", 2048-21), Price: 1_000_000_000_000, Currency: "JPY",
	}
	p := s.add(t, f)
	if got, err := s.store.Product(t.Context(), p.ID); err != nil || got.Fields != f {
		t.Errorf("Product = %+v, %v", got, err)
	}
}

func (s suite) parallel(t *testing.T) {
	const calls = 8
	ids, failures := make([]int64, calls), make([]error, calls)
	var all sync.WaitGroup
	for i := range calls {
		all.Go(func() {
			p, err := s.store.Create(context.Background(), lamp, epoch)
			ids[i], failures[i] = p.ID, err
		})
	}
	all.Wait()
	if err := errors.Join(failures...); err != nil {
		t.Fatal(err)
	}
	slices.Sort(ids)
	if len(slices.Compact(ids)) != calls {
		t.Errorf("ids %v", ids)
	}
}

func (s suite) list(t *testing.T) {
	var made []int64
	for range 5 {
		made = append(made, s.add(t, lamp).ID)
	}
	slices.Reverse(made)
	for _, c := range []struct {
		before int64
		limit  int
		want   []int64
	}{
		{math.MaxInt64, 3, made[:3]}, {made[0], 2, made[1:3]}, {made[3], 1, made[4:]}, {1, 10, nil},
	} {
		page, err := s.store.Before(t.Context(), c.before, c.limit)
		var got []int64
		for _, p := range page {
			got = append(got, p.ID)
			if p.Fields != lamp {
				t.Errorf("listed %+v", p)
			}
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("Before(%d, %d) = %v, %v; want %v", c.before, c.limit, got, err, c.want)
		}
	}
}

// model compares the store with Memory over random histories.
func (s suite) model(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ctx, model := context.Background(), &Memory{}
		first, err := s.store.Create(ctx, lamp, epoch)
		if err != nil {
			rt.Fatal(err)
		}
		if _, err := model.Create(ctx, lamp, epoch); err != nil {
			rt.Fatal(err)
		}
		shift := first.ID - 1 // what the store's ids are ahead of the model's
		for i, step := range rapid.SliceOfN(rapid.IntRange(0, 2), 1, 10).Draw(rt, "steps") {
			now := epoch.Add(time.Duration(i) * time.Second)
			if step == 0 {
				f := product.Fields{Title: rapid.String().Draw(rt, "title"), Currency: "EUR"}
				if len([]rune(f.Title)) > 120 {
					f.Title = "long"
				}
				got, err := s.store.Create(ctx, f, now)
				if err != nil {
					rt.Fatal(err)
				}
				if want, err := model.Create(ctx, f, now); err != nil || got.ID != want.ID+shift {
					rt.Fatalf("id %d, the model's %d, %v", got.ID-shift, want.ID, err)
				}
				continue
			}
			id := rapid.Int64Range(1, int64(len(model.products))+1).Draw(rt, "id")
			price := rapid.Int64Range(0, 3).Draw(rt, "price")
			want, wantErr := model.Update(ctx, id, product.Changes{Price: &price}, now)
			got, err := s.store.Update(ctx, id+shift, product.Changes{Price: &price}, now)
			got.ID -= shift
			if wantErr != nil {
				got.ID = 0
			}
			if !errors.Is(err, wantErr) || got != want {
				rt.Fatalf("Update(%d) = %+v, %v; want %+v, %v", id, got, err, want, wantErr)
			}
		}
		want, err := model.Before(ctx, math.MaxInt64, 100)
		if err != nil {
			rt.Fatal(err)
		}
		got, err := s.store.Before(ctx, math.MaxInt64, len(want))
		if err != nil {
			rt.Fatal(err)
		}
		for i := range got {
			got[i].ID -= shift
		}
		if !slices.Equal(got, want) {
			rt.Fatalf("listed %+v; want %+v", got, want)
		}
	})
}

func (s suite) cancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.store.Product(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Product: %v", err)
	}
	if _, err := s.store.Create(ctx, lamp, epoch); !errors.Is(err, context.Canceled) {
		t.Errorf("Create: %v", err)
	}
}
