package contract

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
)

// drain reads a body to its end, closes it and puts an equal one in its place.
func drain(body *io.ReadCloser) ([]byte, error) {
	if *body == nil || *body == http.NoBody {
		return nil, nil
	}
	read, err := io.ReadAll(*body)
	if closeErr := (*body).Close(); err == nil {
		err = closeErr
	}
	*body = io.NopCloser(bytes.NewReader(read))
	return read, err
}

func decode(body []byte) (any, error) {
	var value any
	err := json.Unmarshal(body, &value)
	return value, err
}
