module github.com/seckill-go/seckill/tools/ci

go 1.26.0

tool github.com/boumenot/gocover-cobertura

require (
	github.com/boumenot/gocover-cobertura v1.4.0 // indirect
	golang.org/x/mod v0.22.0 // indirect
	golang.org/x/sync v0.10.0 // indirect
	golang.org/x/tools v0.29.0 // indirect
)
