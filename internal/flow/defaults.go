package flow

// Routes of the gateway with limits of their own.
const (
	routePurchase = "POST /api/v1/sales/:saleId/orders"
	routeRegister = "POST /api/v1/users"
	routeLogin    = "POST /api/v1/sessions"
	routeRefresh  = "POST /api/v1/sessions/refresh"
	routeWebhook  = "POST /api/v1/payments/webhook"
)

// Links of the gateway, as its configuration names them.
const (
	LinkUsers    = "UserRPC"
	LinkProducts = "ProductRPC"
	LinkOrders   = "OrderRPC"
)

// breaker is every link's: it opens when a service is gone or stuck, not when it is merely slow under the
// rush that the platform is built for.
var breaker = Breaker{WindowMs: 10_000, MinCalls: 100, OpenMs: 2000, ErrorRatio: 0.6, SlowMs: 2500, SlowRatio: 0.9}

// system leaves CPU out: a process that uses all of its CPUs during a sale does what it is for.
var system = System{LoadPerCore: 32, Concurrency: 50_000}

// GatewayDefaults are the gateway's rules until a document is read: docs/flow/seckill-api.json.
func GatewayDefaults(service string) Rules {
	return Rules{
		Service: service, Version: 1, System: system,
		Routes: map[string]Route{
			anyRoute: {
				PerSecond: 20_000, Concurrency: 8192,
				PerUser: &Limit{Count: 200, Seconds: 1, Burst: 200}, PerAddress: &Limit{Count: 1000, Seconds: 1, Burst: 1000},
			},
			routePurchase: {
				PerSecond: 50_000, Concurrency: 16_384,
				PerUser: &Limit{Count: 5, Seconds: 1, Burst: 195}, PerSale: &Limit{Count: 50_000, Seconds: 1},
				PerAddress: &Limit{Count: 500, Seconds: 1, Burst: 500},
			},
			// Hashing a password takes some 20 ms of a CPU, and guessing one takes many tries.
			routeRegister: {PerSecond: 5000, Concurrency: 2048, PerAddress: &Limit{Count: 10, Seconds: 1, Burst: 50}},
			routeLogin:    {PerSecond: 5000, Concurrency: 2048, PerAddress: &Limit{Count: 10, Seconds: 1, Burst: 50}},
			routeRefresh:  {PerSecond: 10_000, Concurrency: 4096, PerAddress: &Limit{Count: 50, Seconds: 1, Burst: 100}},
			// The provider has few addresses and signs what it sends.
			routeWebhook: {PerSecond: 20_000, Concurrency: 4096},
		},
		Links: map[string]Breaker{LinkUsers: breaker, LinkProducts: breaker, LinkOrders: breaker},
	}
}

// GatewayFloor is the loosest that the gateway's rules may be.
func GatewayFloor() Floor {
	hashing := Route{Concurrency: 8192, PerAddress: &Limit{Count: 100, Seconds: 1, Burst: 100}}
	atLast := Breaker{WindowMs: 10_000, MinCalls: 1000, OpenMs: 1000, ErrorRatio: 0.9, SlowMs: 10_000, SlowRatio: 1}
	return Floor{
		System: System{Concurrency: 200_000},
		Routes: map[string]Route{
			anyRoute: {
				Concurrency: 65_536,
				PerUser:     &Limit{Count: 1000, Seconds: 1, Burst: 1000}, PerAddress: &Limit{Count: 10_000, Seconds: 1, Burst: 10_000},
			},
			routePurchase: {
				Concurrency: 65_536,
				PerUser:     &Limit{Count: 100, Seconds: 1, Burst: 400}, PerAddress: &Limit{Count: 10_000, Seconds: 1, Burst: 10_000},
			},
			routeRegister: hashing,
			routeLogin:    hashing,
			routeRefresh:  {Concurrency: 65_536, PerAddress: &Limit{Count: 1000, Seconds: 1, Burst: 1000}},
			routeWebhook:  {Concurrency: 65_536},
		},
		Links: map[string]Breaker{LinkUsers: atLast, LinkProducts: atLast, LinkOrders: atLast},
	}
}

// RPCDefaults are the rules of an RPC service until a document is read: docs/flow/<service>.json. One
// call of the order service's Reserve holds many purchases.
func RPCDefaults(service string) Rules {
	return Rules{
		Service: service, Version: 1, System: system,
		Routes: map[string]Route{anyRoute: {PerSecond: 50_000, Concurrency: 16_384}},
	}
}

// RPCFloor is the loosest that an RPC service's rules may be.
func RPCFloor() Floor {
	return Floor{System: System{Concurrency: 200_000}, Routes: map[string]Route{anyRoute: {Concurrency: 65_536}}}
}
