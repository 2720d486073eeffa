// Package transport holds the only tables from the codes of internal/errs to gRPC status codes and
// to HTTP problems, and the interceptors that apply them.
package transport

import (
	"net/http"

	"github.com/seckill-go/seckill/internal/errs"
	"google.golang.org/grpc/codes"
)

// mapping is how one code travels.
type mapping struct {
	grpc   codes.Code
	status int
	title  string
}

// table has every code of errs. go-zero's breakers count DeadlineExceeded, Internal, Unavailable,
// DataLoss, Unimplemented and ResourceExhausted as failures of the peer: a business "no" must be
// none of these, so what a client may simply try again travels as Aborted.
var table = map[errs.Code]mapping{
	errs.InvalidRequest:       {codes.InvalidArgument, http.StatusBadRequest, "The request is not valid"},
	errs.Unauthenticated:      {codes.Unauthenticated, http.StatusUnauthorized, "Who is asking could not be established"},
	errs.Forbidden:            {codes.PermissionDenied, http.StatusForbidden, "Not allowed"},
	errs.SaleNotStarted:       {codes.FailedPrecondition, http.StatusForbidden, "The sale has not started"},
	errs.SaleEnded:            {codes.FailedPrecondition, http.StatusForbidden, "The sale has ended"},
	errs.SalePaused:           {codes.FailedPrecondition, http.StatusForbidden, "The sale is paused"},
	errs.NotFound:             {codes.NotFound, http.StatusNotFound, "Not found"},
	errs.MethodNotAllowed:     {codes.FailedPrecondition, http.StatusMethodNotAllowed, "The method is not allowed here"},
	errs.SoldOut:              {codes.FailedPrecondition, http.StatusConflict, "Sold out"},
	errs.LimitReached:         {codes.FailedPrecondition, http.StatusConflict, "The limit per user is reached"},
	errs.UsernameTaken:        {codes.AlreadyExists, http.StatusConflict, "The username is taken"},
	errs.StateConflict:        {codes.FailedPrecondition, http.StatusConflict, "Not possible in this state"},
	errs.TooLarge:             {codes.InvalidArgument, http.StatusRequestEntityTooLarge, "The body is too large"},
	errs.UnsupportedMediaType: {codes.InvalidArgument, http.StatusUnsupportedMediaType, "The body must be application/json"},
	errs.IdempotencyKeyReused: {codes.FailedPrecondition, http.StatusUnprocessableEntity, "The Idempotency-Key was used for another request"},
	errs.RateLimited:          {codes.Aborted, http.StatusTooManyRequests, "Too many requests"},
	errs.SaleRebuilding:       {codes.Aborted, http.StatusServiceUnavailable, "The sale is being rebuilt"},
	errs.Overloaded:           {codes.Aborted, http.StatusServiceUnavailable, "Too much at once"},
	errs.Unavailable:          {codes.Unavailable, http.StatusServiceUnavailable, "A part of the platform is unavailable"},
	errs.UnknownOutcome:       {codes.DeadlineExceeded, http.StatusGatewayTimeout, "The outcome could not be found out in time"},
	errs.Internal:             {codes.Internal, http.StatusInternalServerError, "Internal error"},
}

// HTTPStatus is the status that an answer with this code has.
func HTTPStatus(code errs.Code) int {
	if m, ok := table[code]; ok {
		return m.status
	}
	return http.StatusInternalServerError
}
