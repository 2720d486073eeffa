package registry

import (
	"encoding/json"
	"fmt"

	wire "github.com/nacos-group/nacos-sdk-go/v2/api/grpc"
	"github.com/nacos-group/nacos-sdk-go/v2/common/constant"
	"github.com/nacos-group/nacos-sdk-go/v2/common/remote/rpc/rpc_request"
	"google.golang.org/protobuf/types/known/anypb"
)

// Codes of Nacos's refusals.
const (
	codeNoDocument   = 300
	codeUnregistered = constant.UN_REGISTER // the server does not know the connection
	codeForbidden    = 403
)

// Refusal is a request that Nacos understood and did not carry out.
type Refusal struct {
	// Code is Nacos's own, close to those of HTTP.
	Code    int
	Message string
}

// Error is Nacos's message with its code.
func (r *Refusal) Error() string { return fmt.Sprintf("nacos refused: %s (%d)", r.Message, r.Code) }

// outcome is what every answer has.
type outcome struct {
	ResultCode int    `json:"resultCode"`
	ErrorCode  int    `json:"errorCode"`
	Message    string `json:"message"`
	RequestID  string `json:"requestId"`
	// Success is left out by some versions of the server; ResultCode tells then.
	Success *bool `json:"success,omitempty"`
}

func (o outcome) err() error {
	success := o.ResultCode == constant.RESPONSE_CODE_SUCCESS
	if o.Success != nil {
		success = *o.Success
	}
	if success {
		return nil
	}
	code := o.ErrorCode
	if code == 0 {
		code = o.ResultCode
	}
	return &Refusal{Code: code, Message: o.Message}
}

// encode makes a request's payload; the token may be empty.
func encode(req rpc_request.IRequest, ip, token string) (*wire.Payload, error) {
	body, err := json.Marshal(req)
	if err != nil {
		return nil, fmt.Errorf("nacos %s: %w", req.GetRequestType(), err)
	}
	headers := map[string]string{}
	if token != "" {
		headers[constant.KEY_ACCESS_TOKEN] = token
	}
	return payload(req.GetRequestType(), ip, headers, body), nil
}

// acknowledge is the answer to what the server sent by itself.
func acknowledge(kind, requestID, ip string) (*wire.Payload, error) {
	success := true
	body, err := json.Marshal(outcome{ResultCode: constant.RESPONSE_CODE_SUCCESS, Success: &success, RequestID: requestID})
	if err != nil {
		return nil, fmt.Errorf("nacos %s: %w", kind, err)
	}
	return payload(kind, ip, nil, body), nil
}

func payload(kind, ip string, headers map[string]string, body []byte) *wire.Payload {
	return &wire.Payload{
		Metadata: &wire.Metadata{Type: kind, ClientIp: ip, Headers: headers},
		Body:     &anypb.Any{Value: body},
	}
}

// decode reads an answer; answer may be nil where nothing but its outcome matters. A refusal is a
// *Refusal.
func decode(p *wire.Payload, answer any) error {
	var o outcome
	if err := json.Unmarshal(p.GetBody().GetValue(), &o); err != nil {
		return fmt.Errorf("nacos %s: %w", p.GetMetadata().GetType(), err)
	}
	if err := o.err(); err != nil || answer == nil {
		return err
	}
	if err := json.Unmarshal(p.GetBody().GetValue(), answer); err != nil {
		return fmt.Errorf("nacos %s: %w", p.GetMetadata().GetType(), err)
	}
	return nil
}
