package logic

import (
	"github.com/seckill-go/seckill/rpc/product/internal/product"
	"github.com/seckill-go/seckill/rpc/product/productpb"
)

func productOf(p product.Product) *productpb.Product {
	return &productpb.Product{
		ProductId: p.ID, Title: p.Title, Description: p.Description, ImageUrl: p.ImageURL,
		Price: p.Price, Currency: p.Currency,
		CreatedAtMs: p.CreatedAt.UnixMilli(), UpdatedAtMs: p.UpdatedAt.UnixMilli(),
	}
}
