// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

package health

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seckill-go/seckill/api/internal/svc"
	"github.com/seckill-go/seckill/api/internal/types"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"github.com/seckill-go/seckill/rpc/product/productpb"
	"github.com/seckill-go/seckill/rpc/user/userpb"
)

const (
	// patience is how long a service may take to tell about itself.
	patience     = time.Second
	notAnswering = "not answering"
	// maxDetail is in bytes.
	maxDetail = 80
)

// ReadyzLogic tells whether the platform can work.
type ReadyzLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewReadyzLogic makes the logic of one request.
func NewReadyzLogic(ctx context.Context, svcCtx *svc.ServiceContext) *ReadyzLogic {
	return &ReadyzLogic{ctx: ctx, svcCtx: svcCtx}
}

// Readyz asks every service at once. It returns all parts when those that are needed are up, otherwise
// those that are down and false.
func (l *ReadyzLogic) Readyz() (*types.HealthResp, bool) {
	ctx, cancel := context.WithTimeout(l.ctx, patience)
	defer cancel()
	services := []struct {
		name string
		ask  func() ([]part, error)
	}{
		{"user", func() ([]part, error) {
			resp, err := l.svcCtx.Users.Health(ctx, &userpb.HealthRequest{})
			return parts(resp.GetParts()), err
		}},
		{"product", func() ([]part, error) {
			resp, err := l.svcCtx.Products.Health(ctx, &productpb.HealthRequest{})
			return parts(resp.GetParts()), err
		}},
		{"order", func() ([]part, error) {
			resp, err := l.svcCtx.Orders.Health(ctx, &orderpb.HealthRequest{})
			return parts(resp.GetParts()), err
		}},
	}
	found := make([][]types.HealthPart, len(services))
	var group sync.WaitGroup
	for i, service := range services {
		group.Go(func() {
			answer, err := service.ask()
			found[i] = describe(service.name, answer, err)
		})
	}
	group.Wait()
	return judge(slices.Concat(found...))
}

// describe names a service's parts. A service that cannot be asked is itself a part that is down; it
// is listed as one that is up otherwise.
func describe(service string, answer []part, err error) []types.HealthPart {
	if err != nil {
		return []types.HealthPart{{Name: service, Detail: notAnswering}}
	}
	list := []types.HealthPart{{Name: service, Up: true}}
	for _, p := range answer {
		list = append(list, types.HealthPart{
			Name: service + "." + p.GetName(), Up: p.GetUp(), Detail: harmless(p.GetDetail()), Optional: p.GetOptional(),
		})
	}
	return list
}

func judge(all []types.HealthPart) (*types.HealthResp, bool) {
	if !slices.ContainsFunc(all, func(p types.HealthPart) bool { return !p.Up && !p.Optional }) {
		return &types.HealthResp{Status: "ok", Parts: all}, true
	}
	down := slices.DeleteFunc(all, func(p types.HealthPart) bool { return p.Up })
	return &types.HealthResp{Status: "unavailable", Parts: down}, false
}

// harmless keeps a short plain text. Anyone may ask for readiness, and an error's text may hold the
// addresses of what is behind the gateway.
func harmless(detail string) string {
	if len(detail) > maxDetail || strings.ContainsFunc(detail, func(c rune) bool {
		return c != ' ' && c != ',' && c != '-' && c != '_' && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9')
	}) {
		return notAnswering
	}
	return detail
}

// part is what the services' messages about a part have in common.
type part interface {
	GetName() string
	GetUp() bool
	GetDetail() string
	GetOptional() bool
}

func parts[P part](list []P) []part {
	all := make([]part, 0, len(list))
	for _, p := range list {
		all = append(all, p)
	}
	return all
}
