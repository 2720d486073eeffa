package productapp_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/embedded"
	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/internal/process"
	"github.com/seckill-go/seckill/internal/sqldb"
	"github.com/seckill-go/seckill/internal/testservers"
	"github.com/seckill-go/seckill/internal/transport"
	"github.com/seckill-go/seckill/rpc/product/productapp"
	"github.com/seckill-go/seckill/rpc/product/productpb"
	"github.com/seckill-go/seckill/rpc/user/userapp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
)

func TestMain(m *testing.M) {
	code := m.Run()
	testservers.StopMariaDB()
	if code == 0 {
		if err := goleak.Find(ignored...); err != nil {
			_, _ = os.Stderr.WriteString(err.Error())
			code = 1
		}
	}
	os.Exit(code)
}

// ignored are goroutines of libraries that last as long as the process: gorm's, which ages a pool's
// prepared statements, and go-zero's signal handler, what waits for it behind every server, and CPU meter.
var ignored = []goleak.Option{
	goleak.IgnoreTopFunction("gorm.io/gorm/internal/lru.NewLRU[...].func1"),
	goleak.IgnoreTopFunction("github.com/zeromicro/go-zero/core/proc.init.1.func1"),
	goleak.IgnoreTopFunction("github.com/zeromicro/go-zero/core/stat.init.1.func1"),
	goleak.IgnoreAnyFunction("github.com/zeromicro/go-zero/core/proc.(*listenerManager).addListener.func2"),
}

func sqliteDSN(t *testing.T) string {
	t.Helper()
	dsn, err := embedded.SQLiteDSN(filepath.Join(t.TempDir(), "products.db"))
	if err != nil {
		t.Fatal(err)
	}
	return dsn
}

// config is a valid one on a free port.
func config(t *testing.T, dsn string) productapp.Config {
	t.Helper()
	cfg := productapp.Defaults(testservers.FreeAddr(t))
	cfg.Database.DSN = dsn
	cfg.Timeout = 20_000 // the machine may be busy
	return cfg
}

// start runs a service until the test ends and returns a client of it.
func start(t *testing.T, cfg productapp.Config) productpb.ProductServiceClient {
	t.Helper()
	app, err := productapp.New(cfg, process.Process{})
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(cfg.ListenOn, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUnaryInterceptor(transport.UnaryClientInterceptor))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := errors.Join(conn.Close(), app.Stop(ctx)); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return productpb.NewProductServiceClient(conn)
}

func wantCode(t *testing.T, err error, code errs.Code, field string) {
	t.Helper()
	var e *errs.Error
	if !errors.As(err, &e) || e.Code != code || e.Field != field {
		t.Errorf("error %v; want %s (%s)", err, code, field)
	}
}

func TestOnSQLite(t *testing.T) { scenario(t, sqliteDSN(t)) }

func TestOnMariaDB(t *testing.T) { scenario(t, testservers.MariaDB(t)) }

// scenario calls every method, for what it gives and for every error that it has.
func scenario(t *testing.T, dsn string) {
	c, ctx := start(t, config(t, dsn)), t.Context()
	in := &productpb.CreateProductRequest{
		Title: " Lamp 🪔 ", Description: "It glows.", ImageUrl: "https://shop.example/lamp.jpg", Price: 4999, Currency: "EUR",
	}
	begin := time.Now().UnixMilli()
	made, err := c.CreateProduct(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	end := time.Now().UnixMilli()
	want := &productpb.Product{
		ProductId: made.GetProductId(), Title: "Lamp 🪔", Description: in.GetDescription(), ImageUrl: in.GetImageUrl(),
		Price: in.GetPrice(), Currency: in.GetCurrency(), CreatedAtMs: made.GetCreatedAtMs(), UpdatedAtMs: made.GetCreatedAtMs(),
	}
	if !proto.Equal(made, want) || made.GetProductId() < 1 || made.GetCreatedAtMs() < begin || made.GetCreatedAtMs() > end {
		t.Errorf("CreateProduct = %v; want %v", made, want)
	}
	if got, err := c.GetProduct(ctx, &productpb.GetProductRequest{ProductId: made.GetProductId()}); err != nil || !proto.Equal(got, want) {
		t.Errorf("GetProduct = %v, %v; want %v", got, err, want)
	}
	_, err = c.CreateProduct(ctx, &productpb.CreateProductRequest{Title: "Lamp", Price: -1, Currency: "EUR"})
	wantCode(t, err, errs.InvalidRequest, "price")
	_, err = c.GetProduct(ctx, &productpb.GetProductRequest{ProductId: 1 << 40})
	wantCode(t, err, errs.NotFound, "")

	changed, err := c.UpdateProduct(ctx, &productpb.UpdateProductRequest{
		ProductId: made.GetProductId(), Title: proto.String("Lantern"), Description: proto.String(""), ImageUrl: proto.String(""),
		Price: proto.Int64(0), Currency: proto.String("JPY"),
	})
	if err != nil {
		t.Fatal(err)
	}
	want = &productpb.Product{
		ProductId: made.GetProductId(), Title: "Lantern", Currency: "JPY",
		CreatedAtMs: made.GetCreatedAtMs(), UpdatedAtMs: changed.GetUpdatedAtMs(),
	}
	if !proto.Equal(changed, want) || changed.GetUpdatedAtMs() < made.GetUpdatedAtMs() {
		t.Errorf("UpdateProduct = %v; want %v", changed, want)
	}
	_, err = c.UpdateProduct(ctx, &productpb.UpdateProductRequest{ProductId: made.GetProductId()})
	wantCode(t, err, errs.InvalidRequest, "")
	_, err = c.UpdateProduct(ctx, &productpb.UpdateProductRequest{ProductId: made.GetProductId(), Currency: proto.String("yen")})
	wantCode(t, err, errs.InvalidRequest, "currency")
	_, err = c.UpdateProduct(ctx, &productpb.UpdateProductRequest{ProductId: 1 << 40, Price: proto.Int64(1)})
	wantCode(t, err, errs.NotFound, "")

	second, err := c.CreateProduct(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	page, err := c.ListProducts(ctx, &productpb.ListProductsRequest{Limit: 1})
	if err != nil || len(page.GetItems()) != 1 || !proto.Equal(page.GetItems()[0], second) || page.GetNextCursor() == "" {
		t.Fatalf("first page %v, %v", page, err)
	}
	page, err = c.ListProducts(ctx, &productpb.ListProductsRequest{Cursor: page.GetNextCursor()})
	if err != nil || len(page.GetItems()) != 1 || !proto.Equal(page.GetItems()[0], changed) || page.GetNextCursor() != "" {
		t.Errorf("last page %v, %v", page, err)
	}
	_, err = c.ListProducts(ctx, &productpb.ListProductsRequest{Limit: 101})
	wantCode(t, err, errs.InvalidRequest, "limit")
	_, err = c.ListProducts(ctx, &productpb.ListProductsRequest{Cursor: "x"})
	wantCode(t, err, errs.InvalidRequest, "cursor")

	h, err := c.Health(ctx, &productpb.HealthRequest{})
	if err != nil || len(h.GetParts()) != 1 || h.GetParts()[0].GetName() != "mysql" || !h.GetParts()[0].GetUp() || h.GetParts()[0].GetDetail() != "" {
		t.Errorf("Health = %v, %v", h, err)
	}
}

// What is not a failure of the caller is internal, and its cause stays behind.
func TestInternal(t *testing.T) {
	dsn := sqliteDSN(t)
	c := start(t, config(t, dsn))
	db, err := sqldb.Open(sqldb.Config{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Exec("DROP TABLE products").Error, sqldb.Close(db)); err != nil {
		t.Fatal(err)
	}
	_, err = c.ListProducts(t.Context(), &productpb.ListProductsRequest{})
	wantCode(t, err, errs.Internal, "")
	if strings.Contains(errs.From(err).Message, "products") {
		t.Errorf("the message tells the cause: %v", err)
	}
}

// One database may serve several services.
func TestSharesDatabase(t *testing.T) {
	for name, dsn := range map[string]string{"SQLite": sqliteDSN(t), "MariaDB": testservers.MariaDB(t)} {
		t.Run(name, func(t *testing.T) {
			cfg := userapp.Defaults(config(t, dsn).ListenOn)
			cfg.Database.DSN, cfg.AccessToken.Secret = dsn, strings.Repeat("s", 32)
			users, err := userapp.New(cfg, process.Process{})
			if err != nil {
				t.Fatal(err)
			}
			if err := users.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := users.Stop(context.Background()); err != nil {
					t.Error(err)
				}
			}()
			made, err := start(t, config(t, dsn)).CreateProduct(t.Context(), &productpb.CreateProductRequest{Title: "Lamp", Currency: "EUR"})
			if err != nil || made.GetProductId() != 1 {
				t.Errorf("CreateProduct = %v, %v", made, err)
			}
		})
	}
}

// Products outlive the process.
func TestRestart(t *testing.T) {
	dsn := sqliteDSN(t)
	made, err := start(t, config(t, dsn)).CreateProduct(t.Context(), &productpb.CreateProductRequest{Title: "Lamp", Currency: "EUR"})
	if err != nil {
		t.Fatal(err)
	}
	cfg := config(t, dsn)
	cfg.Migrate = false
	got, err := start(t, cfg).GetProduct(t.Context(), &productpb.GetProductRequest{ProductId: made.GetProductId()})
	if err != nil || !proto.Equal(got, made) {
		t.Errorf("GetProduct = %v, %v; want %v", got, err, made)
	}
}

func TestSchemaIsChecked(t *testing.T) {
	cfg := config(t, sqliteDSN(t))
	cfg.Migrate = false
	board := new(process.Board)
	app, err := productapp.New(cfg, process.Process{Board: board})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		// It says what it waits for, until somebody migrates or it is stopped.
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			parts, _ := board.Ready(ctx)
			if slices.ContainsFunc(parts, func(p process.Part) bool { return strings.Contains(p.Detail, "migration") }) {
				break
			}
		}
		cancel()
	}()
	if err := app.Start(ctx); err == nil || !strings.Contains(err.Error(), "migration") {
		t.Errorf("started on an empty database: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	cfg := config(t, "")
	if _, err := productapp.New(cfg, process.Process{}); err == nil {
		t.Error("a service without a database")
	}
}
