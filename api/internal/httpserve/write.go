// Package httpserve is the gateway's edge: what every request passes before it is routed, what is
// said when no route matches, and how JSON answers are written.
package httpserve

import (
	"encoding/json"
	"net/http"

	"github.com/seckill-go/seckill/internal/transport"
)

// WriteJSON answers with v. An answer may hold what only its user may see, so nothing on the way may
// keep it.
func WriteJSON(w http.ResponseWriter, r *http.Request, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		transport.WriteProblem(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client is gone when this fails
}
