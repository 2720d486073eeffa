// Package errs holds the kinds of failure that a caller can tell apart. It imports nothing of the
// project: domains return these errors, and internal/transport alone turns them into gRPC codes
// and HTTP problems.
package errs

import (
	"errors"
	"fmt"
	"time"
)

// Code is the stable name of a failure, as clients of the HTTP contract see it.
type Code string

// The codes of the HTTP contract.
const (
	InvalidRequest       Code = "invalid_request"
	Unauthenticated      Code = "unauthenticated"
	Forbidden            Code = "forbidden"
	SaleNotStarted       Code = "sale_not_started"
	SaleEnded            Code = "sale_ended"
	SalePaused           Code = "sale_paused"
	NotFound             Code = "not_found"
	MethodNotAllowed     Code = "method_not_allowed"
	SoldOut              Code = "sold_out"
	LimitReached         Code = "limit_reached"
	UsernameTaken        Code = "username_taken"
	StateConflict        Code = "state_conflict"
	TooLarge             Code = "too_large"
	UnsupportedMediaType Code = "unsupported_media_type"
	IdempotencyKeyReused Code = "idempotency_key_reused"
	RateLimited          Code = "rate_limited"
	SaleRebuilding       Code = "sale_rebuilding"
	Overloaded           Code = "overloaded"
	Unavailable          Code = "unavailable"
	UnknownOutcome       Code = "unknown_outcome"
	// Internal is a fault of the platform itself; its message never reaches a client.
	Internal Code = "internal"
)

// Error is a failure with all that an answer to a client needs.
type Error struct {
	Code Code
	// Message is for people.
	Message string
	// Field names the input at fault, with InvalidRequest; a JSON name such as "quantity".
	Field string
	// OrderID is the standing order, with LimitReached; 0 when there is none.
	OrderID int64
	// RetryAfter is when to try again; 0 where trying again is of no use.
	RetryAfter time.Duration
	cause      error
}

// Error is the code, the field and the message, then the cause.
func (e *Error) Error() string {
	s := string(e.Code)
	if e.Field != "" {
		s += " (" + e.Field + ")"
	}
	if e.Message != "" {
		s += ": " + e.Message
	}
	if e.cause != nil {
		s += ": " + e.cause.Error()
	}
	return s
}

// Unwrap is the cause, for errors.Is and errors.As; clients never see it.
func (e *Error) Unwrap() error { return e.cause }

// Is matches any Error with the same code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// New makes an Error with a message for people.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Invalid says that a field of the input is malformed or out of range.
func Invalid(field, format string, args ...any) *Error {
	return &Error{Code: InvalidRequest, Field: field, Message: fmt.Sprintf(format, args...)}
}

// Wrap makes an Error around a cause that stays out of the client's sight.
func Wrap(cause error, code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), cause: cause}
}

// CodeOf is the code of the first Error in err's chain, Internal for any other error, and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Internal
}

// From is the first Error in err's chain, or an Internal one around err.
func From(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return Wrap(err, Internal, "internal error")
}
