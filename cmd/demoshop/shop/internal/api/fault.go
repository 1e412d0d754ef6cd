package api

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"

	"parallax/cmd/demoshop/shop/internal/data"
)

// Fault is an error that the caller is told.
type Fault struct {
	Status int    `json:"-"`
	Text   string `json:"error"`
}

// Error returns the text.
func (f Fault) Error() string { return f.Text }

// What versions tell their callers.
var (
	NoSession    = Fault{http.StatusUnauthorized, "there is no such session: log in"}
	WrongLogin   = Fault{http.StatusUnauthorized, "wrong email or password"}
	EmailTaken   = Fault{http.StatusConflict, "somebody with this email is registered"}
	NoOrder      = Fault{http.StatusNotFound, "there is no such order"}
	NotOpen      = Fault{http.StatusConflict, "the order is paid or cancelled"}
	WrongAmount  = Fault{http.StatusUnprocessableEntity, "the amount is not the order's total"}
	WrongCursor  = Fault{http.StatusBadRequest, "there is no such cursor"}
	NotOnOrder   = Fault{http.StatusUnprocessableEntity, "a product is not on the order"}
	NoProduct    = Fault{http.StatusUnprocessableEntity, "there is no such product"}
	SoldOut      = Fault{http.StatusConflict, "a product is sold out"}
	errDuplicate = Fault{http.StatusConflict, "this was done already"}
	errAway      = Fault{http.StatusServiceUnavailable, "the database is away"}
	errInternal  = Fault{http.StatusInternalServerError, "something went wrong; the log knows what"}
)

// bad is a fault of the request.
func bad(text string) Fault { return Fault{http.StatusUnprocessableEntity, text} }

// faultOf finds out what the caller is told of an error.
func faultOf(err error) Fault {
	var f Fault
	switch {
	case errors.As(err, &f):
		return f
	case data.IsDuplicate(err):
		return errDuplicate
	case data.IsAway(err):
		return errAway
	}
	return errInternal
}

// fail answers with an error, and logs what is nobody's fault but ours.
func fail(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
	f := faultOf(err)
	if f.Status >= http.StatusInternalServerError && r.Context().Err() == nil {
		log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	answer(w, f.Status, f)
}

func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // the caller may be gone
}
