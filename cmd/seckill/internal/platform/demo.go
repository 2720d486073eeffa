package platform

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/internal/transport"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"github.com/seckill-go/seckill/rpc/product/productpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// The demo sale: a thousand units at a tenth of the price, one a user, for a year.
const (
	demoStock          = 1000
	demoPrice          = 1990
	demoListPrice      = 19900
	demoWindow         = 365 * 24 * time.Hour
	demoPaymentTimeout = 15 * time.Minute
)

// demoSaleID is the first sale of a database: the demo's, since nobody can make one before it.
const demoSaleID = 1

// ensureDemo makes the demo product and its sale at the first start of a database and returns the
// sale's id. A start that was cut off in between leaves at worst a product or a draft behind.
func ensureDemo(ctx context.Context, productAddr, orderAddr string, now time.Time) (string, error) {
	products, err := dial(productAddr)
	if err != nil {
		return "", err
	}
	defer func() { _ = products.Close() }()
	orders, err := dial(orderAddr)
	if err != nil {
		return "", err
	}
	defer func() { _ = orders.Close() }()
	sales := orderpb.NewOrderServiceClient(orders)

	sale, err := sales.GetSale(ctx, &orderpb.GetSaleRequest{SaleId: demoSaleID})
	if errs.CodeOf(err) == errs.NotFound {
		sale, err = createDemo(ctx, productpb.NewProductServiceClient(products), sales, now)
	}
	if err != nil {
		return "", fmt.Errorf("demo sale: %w", err)
	}
	_, err = sales.ActOnSale(ctx, &orderpb.ActOnSaleRequest{SaleId: sale.GetSaleId(), Action: "preheat"})
	if err != nil {
		return "", fmt.Errorf("demo sale: %w", err)
	}
	return strconv.FormatInt(sale.GetSaleId(), 10), nil
}

func createDemo(ctx context.Context, products productpb.ProductServiceClient, sales orderpb.OrderServiceClient, now time.Time) (*orderpb.Sale, error) {
	product, err := products.CreateProduct(ctx, &productpb.CreateProductRequest{
		Title: "Demo headphones", Description: "Wireless, with a case. The product of the demo sale.",
		Price: demoListPrice, Currency: "EUR",
	})
	if err != nil {
		return nil, err
	}
	return sales.CreateSale(ctx, &orderpb.CreateSaleRequest{
		ProductId: product.GetProductId(), Title: "Demo sale: headphones", Price: demoPrice, Currency: "EUR",
		Stock: demoStock, PerUserLimit: 1,
		StartsAtMs: now.Add(-time.Minute).UnixMilli(), EndsAtMs: now.Add(demoWindow).UnixMilli(),
		PaymentTimeoutSeconds: int64(demoPaymentTimeout / time.Second),
	})
}

func dial(addr string) (*grpc.ClientConn, error) {
	return grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUnaryInterceptor(transport.UnaryClientInterceptor))
}
