package strictjson

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/seckill-go/seckill/internal/errs"
)

// MaxBody is the most a request body may hold, in bytes.
const MaxBody = 64 << 10

const jsonType = "application/json"

// Body reads a whole body that is declared as JSON and not compressed. Errors: unsupported_media_type,
// too_large, invalid_request when it cannot be read to its end. The request's body must be limited to
// MaxBody by an http.MaxBytesReader.
func Body(r *http.Request) ([]byte, error) {
	if err := declared(r); err != nil {
		return nil, err
	}
	return Raw(r)
}

// Raw reads a whole body of any type. Errors: too_large, invalid_request when it cannot be read to its
// end.
func Raw(r *http.Request) ([]byte, error) {
	n := r.ContentLength
	if n > MaxBody {
		return nil, tooLarge()
	}
	var (
		body []byte
		err  error
	)
	if n >= 0 {
		body = make([]byte, n)
		_, err = io.ReadFull(r.Body, body)
	} else {
		body, err = io.ReadAll(r.Body)
	}
	if err == nil || errors.Is(err, io.EOF) { // EOF: empty, as declared
		return body, nil
	}
	var limit *http.MaxBytesError
	if errors.As(err, &limit) {
		return nil, tooLarge()
	}
	return nil, errs.Wrap(err, errs.InvalidRequest, "the body could not be read to its end")
}

func tooLarge() error {
	return errs.New(errs.TooLarge, "a body may hold at most %d bytes", MaxBody)
}

// Nothing accepts a request that has no body, or an empty JSON object for clients that always send one.
func Nothing(r *http.Request) error {
	body, err := Raw(r)
	if err != nil || len(body) == 0 {
		return err
	}
	if err := declared(r); err != nil {
		return err
	}
	return Decode(body, &struct{}{})
}

// declared refuses what does not say that it is plain JSON in UTF-8.
func declared(r *http.Request) error {
	if encoding := r.Header["Content-Encoding"]; len(encoding) > 1 ||
		len(encoding) == 1 && !strings.EqualFold(encoding[0], "identity") {
		return errs.New(errs.UnsupportedMediaType, "an encoded body is not accepted")
	}
	values := r.Header["Content-Type"]
	if len(values) != 1 {
		return errs.New(errs.UnsupportedMediaType, "the Content-Type must be given once, as %s", jsonType)
	}
	if values[0] == jsonType {
		return nil
	}
	media, params, err := mime.ParseMediaType(values[0])
	if err != nil || media != jsonType {
		return errs.New(errs.UnsupportedMediaType, "the Content-Type must be %s", jsonType)
	}
	for name, value := range params {
		if name != "charset" || !strings.EqualFold(value, "utf-8") {
			return errs.New(errs.UnsupportedMediaType, "the only parameter of %s here is charset=utf-8", jsonType)
		}
	}
	return nil
}
